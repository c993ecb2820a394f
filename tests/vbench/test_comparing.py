"""Comparisons from end to end: two models, two revisions, and what the command line makes of them.

Verdicts rest on ten and more times the work, never on a time.
"""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from vbench.analysis.sequential import FEWEST
from vbench.cell import Cell
from vbench.cli.comparing import compare as command
from vbench.cli.comparing import parse_fraction
from vbench.comparing import Comparison, compare, compare_cells
from vbench.comparing.course import Course
from vbench.errors import AxisError, UnknownNameError, VbenchError
from vbench.measure.pairs import Pair, SideError
from vbench.measure.revisions import RevisionError

MODEL = """
import torch
from torch import nn

STEPS = {steps}


class Steps(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.weight = nn.Parameter(torch.eye(128))

    def forward(self, video):
        x = video.reshape(-1, 128)
        for _ in range(self.steps):
            x = x @ self.weight
        return x


def build(clip):
    return Steps(STEPS)


def build_long(clip):
    return Steps(10 * STEPS)


def build_pattern(grid, dim, num_heads):
    return nn.Linear(dim, dim)
"""
CLIP = {"frames": 2, "height": 16, "width": 32}
DOCUMENTED = ["ratio", "low", "high", "verdict", "pairs", "minimum_detectable_effect"]


def git(repository: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", "-C", str(repository), *arguments]
    subprocess.run(command, capture_output=True, check=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a model that does 10 times the work of its last commit; we stand in it."""
    (tmp_path / "model.py").write_text(MODEL.format(steps=20))
    git(tmp_path, "init", "--quiet", ".")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "short")
    (tmp_path / "model.py").write_text(MODEL.format(steps=200))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*arguments, "--frames", "2", "--size", "16x32"])


def test_less_work_is_faster(repository: Path) -> None:
    found = compare("model.py:build_long", "model.py:build", **CLIP, budget_s=120)
    assert (found.verdict, found.a.params, found.a.macs) == ("faster", found.b.params, 10 * found.b.macs)
    assert found.low < found.ratio < found.high < 1


def test_a_revision_with_less_work_makes_the_present_slower_and_exits_with_1(repository: Path) -> None:
    answer = run("model.py:build", "--against", "HEAD", "--budget", "120s", "--json")
    document = json.loads(answer.stdout)
    assert list(document)[: len(DOCUMENTED)] == DOCUMENTED
    assert document["verdict"] == "slower"
    assert document["b"]["macs"] == 10 * document["a"]["macs"]
    assert (document["a"]["name"], document["b"]["name"]) == ("model.py:build at HEAD", "model.py:build now")
    assert answer.exit_code == 1


def test_two_models_with_a_verdict_exit_with_0_and_a_table_of_both(repository: Path) -> None:
    answer = run("model.py:build", "model.py:build_long", "--budget", "120s")
    assert answer.exit_code == 0
    for words in ("latency", "peak memory", "parameters", "MACs", "Slower: model.py:build_long", "ratio B / A", "pairs",
                  "looks at", "smallest effect", "A/A rate", "10.000"):  # fmt: skip
        assert words in answer.stdout


def test_too_short_a_budget_is_inconclusive_and_exits_with_3(repository: Path) -> None:
    answer = run("model.py:build", "model.py:build_long", "--budget", "10ms", "--json")
    document = json.loads(answer.stdout)
    assert answer.exit_code == 3
    assert (document["verdict"], document["pairs"], document["low"]) == ("inconclusive", 1, 0.0)
    assert document["high"] is None
    assert f"a verdict takes {FEWEST}" in document["stop_reason"]
    assert run("model.py:build", "model.py:build_long", "--budget", "10ms").exit_code == 3


def test_cells_are_compared_as_they_are() -> None:
    cell = Cell(model="core:space", frames=1, height=2, width=2, unit="tokens", threads=1)
    much = Cell(model="core:joint", frames=8, height=8, width=8, unit="tokens", threads=1)
    assert compare_cells(cell, much, budget_s=120).verdict == "slower"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (("model.py:build",), {}, AxisError, "two models A B, or one NAME with --against"),
        (("model.py:build", "model.py:build"), {"against": "HEAD"}, AxisError, "two models A B, or one NAME"),
        (("timesformer_c", "model.py:build"), {}, UnknownNameError, "did you mean 'timesformer_"),
        (("model.py:build", "no.py:build"), {}, UnknownNameError, "no file 'no.py'"),
        (("model.py:build",), {"against": "nowhere"}, RevisionError, "unknown revision 'nowhere'"),
        (("model.py:absent",), {"against": "HEAD"}, SideError, "absent at HEAD: 'model.py' has no function"),
        (("model.py:build", "model.py:build"), {"margin": 0.0}, AxisError, "margin must lie between 0 and 1"),
        (("model.py:build", "model.py:build"), {"batch": 0}, AxisError, "batch must be at least 1"),
        (("model.py:build", "model.py:build"), {"precision": "fp8"}, UnknownNameError, "unknown precision 'fp8'"),
        (("model.py:build", "model.py:build"), {"grid": (1, 2, 3)}, AxisError, "it takes --frames and --size"),
        (("space", "joint"), {"frames": 8}, AxisError, "it takes --grids T x H x W"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    repository: Path, arguments: tuple[str, ...], options: dict[str, Any], error: type[VbenchError], words: str
) -> None:
    with pytest.raises(error) as caught:
        compare(*arguments, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_sides_that_do_not_fit_side_by_side_are_not_started(repository: Path) -> None:
    with pytest.raises(SideError, match=r"out of memory, predicted: .* needed side by side"):
        compare("model.py:build", "model.py:build", frames=64, height=16384, width=16384)


@pytest.mark.parametrize(("text", "fraction"), [("2%", 0.02), ("0.5 %", 0.005), ("0.02", 0.02), ("1.%", 0.01)])
def test_a_margin_is_a_percentage_or_a_fraction(text: str, fraction: float) -> None:
    assert parse_fraction(text) == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["two", "", "-1%", "2%%", "nan"])
def test_other_margins_are_refused(text: str) -> None:
    with pytest.raises(AxisError, match="malformed margin"):
        parse_fraction(text)


class Simulated:
    """Pairs of given ratios, each of which takes a given time."""

    def __init__(self, ratio_of: Callable[[int], float]) -> None:
        self.ratio_of, self.measured = ratio_of, 0

    def measure(self, number: int) -> Pair:
        assert number == self.measured
        self.measured += 1
        turns_s = (1.0, 1.0), (self.ratio_of(number),) * 2
        return Pair(
            order="ABBA", turns_s=turns_s, quickest_s=turns_s, walls_s=turns_s, peak_memory_bytes=(1, 1), elapsed_s=1.0,
        )  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Time as the course sees it: a second passes with each pair."""
    now = {"s": 0.0}
    monkeypatch.setattr("vbench.comparing.course.time.monotonic", lambda: now["s"])
    measure = Simulated.measure

    def one_second_later(self: Simulated, number: int) -> Pair:
        now["s"] += 1.0
        return measure(self, number)

    monkeypatch.setattr(Simulated, "measure", one_second_later)
    return now


def course(ratio_of: Callable[[int], float], budget_s: float) -> tuple[Course, Simulated]:
    pairs = Simulated(ratio_of)
    conducted = Course(pairs, margin=0.02, alpha=0.002, deadline_s=budget_s, told=lambda _: None)  # type: ignore[arg-type]
    conducted.run()
    return conducted, pairs


def noise(number: int) -> float:
    return math.sin(1 + number * 2.4)


def test_a_clear_difference_ends_at_the_first_look(clock: dict[str, float]) -> None:
    conducted, pairs = course(lambda number: 2.0 + 0.001 * noise(number), 100)
    assert (conducted.verdict, pairs.measured, len(conducted.looks)) == ("slower", 8, 1)


def test_it_goes_on_while_inconclusive_and_stops_within_the_budget(clock: dict[str, float]) -> None:
    conducted, pairs = course(lambda number: 1.0 + 0.3 * noise(number), 30)
    assert (conducted.verdict, conducted.stop_reason) == ("inconclusive", "the budget is used up")
    assert 24 <= pairs.measured <= 30
    assert clock["s"] <= 30
    assert [look.pairs for look in conducted.looks] == sorted({look.pairs for look in conducted.looks})


def test_levels_of_all_looks_are_a_plan_s(clock: dict[str, float]) -> None:
    """Each look's level is below alpha, and the last look that was planned has what is left."""
    conducted, _ = course(lambda number: 1.0 + 0.3 * noise(number), 45)
    assert all(0 < look.level < conducted.alpha for look in conducted.looks)
    assert conducted.looks[-1].pairs == conducted.planned


def test_an_unforeseen_end_spends_what_is_left(clock: dict[str, float]) -> None:
    """Pairs that become slow meet the end before the last look that was planned."""

    def ratio(number: int) -> float:
        clock["s"] += 2.0 if number > 12 else 0.0
        return 1.0 + 0.3 * noise(number)

    conducted, pairs = course(ratio, 40)
    assert FEWEST < pairs.measured < conducted.planned
    assert conducted.looks[-1].pairs == pairs.measured


def test_the_document_has_no_word_that_json_lacks(repository: Path) -> None:
    found = compare("model.py:build", "model.py:build", **CLIP, budget_s=0.01)
    assert isinstance(found, Comparison)
    assert math.isinf(found.high)
    json.dumps(found.to_json(), allow_nan=False)
