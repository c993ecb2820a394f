"""The machine's ceilings: best of several, in a process of their own, kept with the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vbench.analysis.frame import records_frame
from vbench.cli.catalog import env
from vbench.grid import grid_from_document
from vbench.measure import ceilings
from vbench.measure.ceilings import ceilings_here, copy_bytes_per_second, matmul_flops_per_second
from vbench.measure.protocol import Ceilings
from vbench.measure.runner import Runner
from vbench.store import ENVIRONMENTS, Store
from vbench.sweep import Sweep

ROOT = Path(__file__).parents[3]
ASK = Runner.ceilings  # in the tests, it is replaced
SMALL = {"sides": (32, 64), "copied_bytes": 2**20}


class Silent:
    """Hears how a sweep goes, and says nothing."""

    def say(self, line: str) -> None: ...

    def progress(self, done: int, total: int, left_s: float, last: str) -> None: ...


class Clock:
    """Says how long calls take, in turn; the last answer holds."""

    def __init__(self, *seconds: float) -> None:
        self.left, self.calls = list(seconds), 0

    def __call__(self, _run: object, _block: int) -> float:
        self.calls += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def with_clock(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> Clock:
    clock = Clock(*seconds)
    monkeypatch.setattr(ceilings, "CLOCKS", {"cpu": clock})
    return clock


def test_a_product_of_a_cube_of_multiply_adds_is_twice_as_many_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    with_clock(monkeypatch, 0.5)
    assert matmul_flops_per_second("fp32", "cpu", [100]) == 2 * 100**3 / 0.5


def test_a_copy_reads_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    with_clock(monkeypatch, 0.25)
    assert copy_bytes_per_second("cpu", 4000) == 2 * 4000 / 0.25


def test_the_quickest_call_counts_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with_clock(monkeypatch, 0.001, 0.5, 0.2, 0.4, 9.0)
    assert copy_bytes_per_second("cpu", 4000) == 2 * 4000 / 0.2


def test_the_best_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {10: 1e-3, 20: 2e-3, 40: 1.0}  # rates rise, then fall
    monkeypatch.setattr(ceilings, "_best_s", lambda run, _device: times[run()])
    monkeypatch.setattr(ceilings, "_product", lambda side, _dtype, _device: lambda: side)
    assert matmul_flops_per_second("fp32", "cpu", [10, 20, 40]) == 2 * 20**3 / 2e-3


def test_a_size_that_promises_to_take_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    monkeypatch.setattr(ceilings, "_product", lambda side, _dtype, _device: lambda: tried.append(side))
    monkeypatch.setattr(ceilings, "_best_s", lambda run, _device: run() or 0.06)
    matmul_flops_per_second("bf16", "cpu", [10, 13, 16, 40])  # of these, 0.13, 0.11 and 0.94 s were to be expected
    assert tried == [10, 13, 16]


def test_every_precision_of_a_cpu_has_a_rate_and_the_copy_too() -> None:
    found = ceilings_here(**SMALL)
    assert set(found.matmul_flops_per_second) == {"fp32", "bf16", "fp16"}
    assert all(rate > 0 for rate in found.matmul_flops_per_second.values())
    assert found.copy_bytes_per_second > 0


def test_a_disturbed_round_lowers_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([({"fp32": 1.0, "bf16": 9.0, "fp16": 1.0}, 2.0), ({"fp32": 8.0, "bf16": 3.0, "fp16": 1.0}, 5.0)])
    monkeypatch.setattr(ceilings, "_round", lambda *_: next(found))
    monkeypatch.setattr(ceilings, "ROUNDS", 2)
    best = ceilings_here()
    assert (best.matmul_flops_per_second, best.copy_bytes_per_second) == ({"fp32": 8.0, "bf16": 9.0, "fp16": 1.0}, 5.0)


def test_a_fresh_process_tells_them_and_env_prints_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    monkeypatch.setattr(Runner, "ceilings", lambda *arguments: told.append(ASK(*arguments)) or told[-1])
    env(ceilings=True, as_json=True)
    document = json.loads(capsys.readouterr().out)
    (found,) = told
    assert document["matmul_flops_per_second"] == found.matmul_flops_per_second
    assert document["copy_bytes_per_second"] == found.copy_bytes_per_second > 0


def test_a_sweep_measures_them_once_and_its_cells_get_their_fractions(
    tmp_path: Path, known_ceilings: Ceilings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = grid_from_document({"block": [{"models": "core:space", "grids": "1x2x2"}], "processes": 1}, "test")
    Sweep(cells, tmp_path, Silent()).run()
    store = Store(tmp_path)
    (row,) = records_frame(store.records(), store.environments()).to_dict("records")
    assert row["matmul_peak_fraction"] == pytest.approx(row["flops_per_second"] / 1e11)
    assert row["roofline_fraction"] * row["latency_median_s"] == pytest.approx(
        max(row["flops"] / 1e11, row["op_bytes"] / known_ceilings.copy_bytes_per_second)
    )
    monkeypatch.setattr(Runner, "ceilings", lambda *_: pytest.fail("measured again"))
    Sweep(cells, tmp_path, Silent()).run()
    assert (tmp_path / ENVIRONMENTS).read_text().count("\n") == 1


def test_a_sweep_that_only_counts_measures_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "ceilings", lambda *_: pytest.fail("measured"))
    block = {"models": "core:space", "grids": "1x2x2", "count_only": True}
    Sweep(grid_from_document({"block": [block]}, "test"), tmp_path, Silent()).run()
    assert [record.status for record in Store(tmp_path).records()] == ["counted"]


def test_env_measures_nothing_unless_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    env(as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["matmul_flops_per_second"], document["copy_bytes_per_second"]) == ({}, 0.0)
    env()
    assert "copy_bytes_per_second: -" in capsys.readouterr().out


def test_what_is_learnt_later_of_an_environment_is_added_and_stands(tmp_path: Path, make) -> None:
    store = Store(tmp_path)
    plain = make.environment()
    knowing = make.environment(matmul_flops_per_second={"fp32": 1e11}, copy_bytes_per_second=1e10)
    with store.writing():
        for environment in (plain, knowing, knowing, plain):
            store.add_environment(environment)
    assert (tmp_path / ENVIRONMENTS).read_text().count("\n") == 2
    assert store.environments() == {"e1": knowing}


def test_the_committed_records_load_without_ceilings_and_have_no_fraction() -> None:
    store = Store(ROOT / "reports" / "reference" / "epyc-2-cores")
    environments = store.environments()
    frame = records_frame(store.records(), environments)
    measured = frame[frame["status"] == "measured"]
    without = {key for key, known in environments.items() if not known.matmul_flops_per_second}
    rows = measured[measured["environment"].isin(without)]
    assert rows["matmul_peak_fraction"].isna().all()
    assert (rows["flops_per_byte"] > 0).all()
    intensity = rows["flops"].astype("float64") / rows["op_bytes"].astype("float64")
    inference = (rows["mode"] == "infer") & (rows["accumulation"] == 1)
    assert (rows["flops_per_byte"] / intensity)[inference].to_list() == pytest.approx([1.0] * int(inference.sum()))
