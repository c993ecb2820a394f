"""Noisy cells are measured again: a runner of the test's own says what is noisy, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vbench import bench as bench_module
from vbench import sweep as sweep_module
from vbench.analysis.frame import records_frame
from vbench.cell import Cell
from vbench.errors import GridError
from vbench.grid import Grid, grid_from_document
from vbench.measure import survey as survey_module
from vbench.measure.runner import Journal, Settings
from vbench.results import Counts, Failed, Measured, Record
from vbench.store import Store
from vbench.sweep import Outcome, Sweep

QUIET, LOUD = "clean", "noisy: other processes used 0.93 cores"
A, B = "core:axial", "core:space"


@dataclass
class Script:
    """What each model's attempts say in turn, the last one for ever; `None` is a crash. A cell takes `cell_s`."""

    attempts: dict[str, list[str | None]]
    cell_s: float = 1.0
    now_s: float = 1000.0
    ran: list[str] = field(default_factory=list)

    def next(self, model: str) -> str | None:
        number = self.ran.count(model)
        self.ran.append(model)
        self.now_s += self.cell_s
        says = self.attempts[model]
        return says[min(number, len(says) - 1)]

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make) -> Callable[..., tuple[Outcome, list[Record]]]:
    def start(script: Script, **limits: object) -> tuple[Outcome, list[Record]]:
        class StubRunner:
            def __init__(self, _settings: Settings, fingerprint: str) -> None:
                self._fingerprint = fingerprint

            def count(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Counts]]:
                yield from ((cell, make.counts(macs=10**9)) for cell in cells)

            def floor_bytes(self, _device: str, _threads: int) -> int:
                return 300 * 2**20

            def ceilings(self, _device: str, _threads: int) -> None:
                """Not measured."""

            def measure(self, cell: Cell, counts: Counts, _journal: Journal) -> Record:
                said = script.next(cell.model)
                frame = {"cell": cell, "subject": make.subject(), "environment": self._fingerprint, "counts": counts}
                if said is None:
                    return Failed(**frame, reason="crash")
                latency_s, harness_s = 0.1 * script.ran.count(cell.model), script.cell_s / 2
                runs = [make.process((latency_s,), harness_s=harness_s, quality=word) for word in (QUIET, said)]
                return Measured(**frame, processes=tuple(runs), stop_reason="2 processes")

        class Silent:
            def say(self, line: str) -> None:
                """Nothing."""

            def progress(self, done: int, total: int, left_s: float, last: str) -> None:
                """Nothing."""

        monkeypatch.setattr(sweep_module, "Runner", StubRunner)
        monkeypatch.setattr(bench_module, "Runner", StubRunner)
        monkeypatch.setattr(survey_module, "Runner", StubRunner)
        monkeypatch.setattr(sweep_module, "time", script)
        outcome = Sweep(_grid(**limits), tmp_path / "out", Silent()).run()
        return outcome, Store(tmp_path / "out").records()

    return start


def _grid(**limits: object) -> Grid:
    return grid_from_document({"block": [{"models": [A, B], "grids": "2x2x2"}], **limits}, "test")


def told(outcome: Outcome) -> tuple[int, int]:
    return outcome.measured_again, outcome.still_noisy


def test_a_cell_that_is_noisy_twice_is_measured_until_it_is_clean_after_the_others_had_their_turn(run) -> None:
    script = Script({A: [LOUD, LOUD, QUIET], B: [QUIET]})
    outcome, records = run(script)
    assert script.ran == [A, B, A, A]
    assert [(record.cell.model, record.attempt) for record in records] == [(A, 1), (B, 1), (A, 2), (A, 3)]
    assert told(outcome) == (1, 0)
    assert outcome.statuses == {"measured": 2}


def test_all_noisy_cells_have_a_second_attempt_before_any_has_a_third(run) -> None:
    script = Script({A: [LOUD], B: [LOUD]})
    outcome, _ = run(script)
    assert script.ran == [A, B, A, B, A, B]
    assert told(outcome) == (2, 2)


def test_quiet_cells_run_once(run) -> None:
    script = Script({A: [QUIET], B: [QUIET]})
    assert told(run(script)[0]) == (0, 0)
    assert script.ran == [A, B]


@pytest.mark.parametrize(("attempts", "ran"), [(1, [A, B]), (2, [A, B, A])])
def test_the_number_of_attempts_is_a_setting(run, attempts: int, ran: list[str]) -> None:
    script = Script({A: [LOUD], B: [QUIET]})
    assert told(run(script, attempts=attempts)[0]) == (len(ran) - 2, 1)
    assert script.ran == ran


def test_no_attempts_at_all_is_a_mistake() -> None:
    with pytest.raises(GridError, match="attempts must be whole numbers of at least 1"):
        _grid(attempts=0)


def test_the_budget_ends_the_repetitions(run) -> None:
    script = Script({A: [LOUD], B: [LOUD]}, cell_s=20.0)
    assert told(run(script, budget="2m", attempts=9)[0])[1] == 2
    assert 4 <= len(script.ran) <= 6
    assert script.now_s <= 1000 + 120


def test_without_a_budget_repetitions_take_a_modest_share_of_what_the_rest_took(run) -> None:
    script = Script({A: [LOUD], B: [LOUD]}, cell_s=100.0)
    outcome, _ = run(script)
    assert told(outcome) == (0, 2)
    assert script.ran == [A, B]


def test_a_crash_in_a_second_attempt_takes_nothing_from_the_first(run) -> None:
    outcome, records = run(Script({A: [LOUD, None], B: [QUIET]}))
    assert outcome.statuses == {"measured": 2}
    row = records_frame(records, {}).set_index("model").loc[A]
    assert (row["status"], row["quality"]) == ("measured", LOUD)


def test_the_frame_shows_the_attempt_that_was_clean_and_else_the_last(run) -> None:
    _, records = run(Script({A: [LOUD, QUIET], B: [LOUD]}))
    frame = records_frame(records, {}).set_index("model")
    assert (frame.loc[A, "quality"], frame.loc[A, "latency_median_s"]) == ("clean", 0.2)
    assert (frame.loc[B, "quality"], frame.loc[B, "latency_median_s"]) == (LOUD, pytest.approx(0.3))


def test_a_sweep_that_resumes_finds_every_attempt_and_runs_nothing(run) -> None:
    _, first = run(Script({A: [LOUD, QUIET], B: [QUIET]}))
    again = Script({A: [LOUD], B: [LOUD]})
    outcome, records = run(again)
    assert (outcome.resumed, again.ran) == (2, [])
    assert records == first
