"""The runner with real processes: what a network does wrong is a record, and nothing stays behind."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from vbench.cell import Cell
from vbench.measure import runner
from vbench.measure.protocol import Refusal
from vbench.measure.quality import judged
from vbench.measure.runner import NO_JOURNAL, Journal, Runner, Settings, processes_for
from vbench.results import Counted, Counts, Failed, Measured, ProcessRun, Record, Skipped, process_from_json
from vbench.stats import median

CORE = Cell(model="core:space", frames=2, height=4, width=4, unit="tokens")


def own(models: Path, function: str) -> Cell:
    return Cell(model=f"{models}:{function}", frames=2, height=8, width=8)


def measure(cell: Cell, journal: Journal = NO_JOURNAL, **settings: float) -> Record:
    runner = Runner(Settings(**settings), "here")
    ((_, counts),) = runner.count([cell])
    assert isinstance(counts, Counts)
    return runner.measure(cell, counts, journal)


def test_a_cell_runs_in_five_fresh_processes_and_keeps_every_sample() -> None:
    record = measure(CORE)
    assert isinstance(record, Measured)
    assert len(record.processes) == 5
    for run in record.processes:
        assert len(run.latency_s) >= 5
        assert all(latency_s > 0 for latency_s in run.latency_s)
        assert run.peak_memory_bytes >= run.floor_bytes > 50 * 2**20
        assert run.kernel_ran == "flash"
        assert run.stop_reason
    assert record.stop_reason == "5 processes"


@pytest.mark.parametrize(("forward_s", "processes"), [(0.01, 5), (0.99, 5), (1.0, 3), (9.9, 3), (10.0, 1), (99, 1)])
def test_longer_forwards_run_in_fewer_processes(forward_s: float, processes: int) -> None:
    assert processes_for(forward_s) == processes


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("build_crash", "crash: the process got SIGSEGV"),
        ("build_killed", "out of memory, or killed by hand: the process got SIGKILL"),
        ("build_no_memory", "out of memory: "),
        ("build_broken", "RuntimeError: a layer is missing"),
    ],
)
def test_what_a_network_does_wrong_is_a_failed_row_with_its_reason(models: Path, function: str, reason: str) -> None:
    record = measure(own(models, function))
    assert isinstance(record, Failed)
    assert record.reason.startswith(reason)
    assert "\n" not in record.reason


def test_a_network_that_hangs_is_a_failed_row_and_its_process_is_gone(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.5)
    record = measure(own(models, "build_endless"), timeout_s=1.0)
    assert isinstance(record, Failed)
    assert record.reason.startswith("time-out")
    assert not [worker for server in psutil.Process().children() for worker in server.children()]


def test_slow_samples_before_a_time_out_are_a_measurement(models: Path) -> None:
    record = measure(own(models, "build_slow"), timeout_s=2.0, processes=1)
    assert isinstance(record, Measured)
    assert len(record.processes[0].latency_s) >= 3


def test_processes_of_the_journal_are_not_run_again() -> None:
    noted: list[ProcessRun] = []
    first = measure(CORE, Journal(lambda _: [], lambda _, run: noted.append(run)))
    assert isinstance(first, Measured)
    assert tuple(noted) == first.processes
    again: list[ProcessRun] = []
    resumed = measure(CORE, Journal(lambda _: noted[:3], lambda _, run: again.append(run)))
    assert isinstance(resumed, Measured)
    assert resumed.processes[:3] == tuple(noted[:3])
    assert len(again) == 2


def test_one_count_that_dies_takes_no_other_with_it(models: Path) -> None:
    bad = tuple(own(models, name) for name in ("build_uncounted", "build_missing"))
    cells = (CORE, *bad, Cell(model="timesformer_b", frames=8, height=100, width=100), own(models, "build"))
    counts = dict(Runner(Settings(), "here").count(cells))
    kinds = [type(counts[cell]) for cell in cells]
    assert kinds == [Counts, Refusal, Refusal, Refusal, Counts]
    assert "cdist" in counts[bad[0]].reason
    assert "no function 'build_missing'" in counts[bad[1]].reason


def test_a_clip_that_does_not_fit_is_skipped_and_says_what_does() -> None:
    cell = Cell(model="timesformer_b", frames=8, height=100, width=224)
    runner = Runner(Settings(), "here")
    ((_, refusal),) = runner.count([cell])
    record = runner.record_of_count(cell, refusal)
    assert isinstance(record, Skipped)
    assert "height must be a multiple of 16" in record.reason
    assert "nearest: 96, 112" in record.reason


def test_a_cell_predicted_not_to_fit_is_skipped_without_running(models: Path) -> None:
    record = measure(own(models, "build_huge"))
    assert isinstance(record, Skipped)
    assert record.reason.startswith("out of memory, predicted: 128 TiB needed")


def test_a_cell_for_cuda_is_held_against_the_accelerator_s_memory() -> None:
    cell = replace(CORE, device="cuda")
    runner = Runner(Settings(accelerator_bytes=1024), "here")
    ((_, counts),) = runner.count([cell])
    assert isinstance(counts, Counts)
    record = runner.measure(cell, counts)
    assert isinstance(record, Skipped)
    assert record.reason.endswith("1.00 KiB available")


def test_a_counted_cell_is_a_counted_record() -> None:
    runner = Runner(Settings(), "here")
    ((cell, counts),) = runner.count([CORE])
    assert isinstance(runner.record_of_count(cell, counts), Counted)


def test_the_parent_imports_no_torch(run_python: Callable[[str], str]) -> None:
    code = """
from vbench.cell import Cell
from vbench.measure.runner import *
runner = Runner(Settings(processes=1), "here")
cell = Cell(model="core:space", frames=2, height=4, width=4, unit="tokens")
((_, counts),) = runner.count([cell])
record = runner.measure(cell, counts)
print(record.status, "torch" in sys.modules)
"""
    assert run_python(f"import sys\nif __name__ == '__main__':\n{_indented(code)}") == "measured False"


def _indented(code: str) -> str:
    return "\n".join("    " + line for line in code.strip().splitlines())


def test_every_process_tells_its_clock_its_warm_up_and_what_went_on_beside_it() -> None:
    record = measure(CORE, processes=1)
    assert isinstance(record, Measured)
    (run,) = record.processes
    assert run.clock_resolution_s is not None
    assert run.clock_cost_s is not None
    sample_s = run.block * median(run.latency_s)
    assert run.clock_resolution_s + run.clock_cost_s <= 1e-3 * sample_s
    assert run.warmup_stop in {"flat", "warm-up time used"}
    assert len(run.warmup_s) >= 3
    assert len(run.probe_s) == 4
    assert {"others_cores", "waited_fraction", "busy_threads"} <= set(run.disturbance)
    assert run.quality == judged(run.disturbance)
    assert process_from_json(json.loads(json.dumps(asdict(run)))) == run
