"""The conduct of a sweep, with real processes: resume, budget, order, kills."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import Grid, grid_from_document
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Runner, Settings
from vbench.results import Counts
from vbench.store import RECORDS, Store
from vbench.sweep import Outcome, Sweep

SMALL = {"models": ["core:space", "core:axial"], "grids": ["1x2x2", "2x2x2"]}


@dataclass
class Heard:
    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        assert left_s >= 0
        self.steps.append((done, total))
        self.lines.append(last)


def grid(*blocks: dict, **limits: object) -> Grid:
    return grid_from_document({"block": list(blocks), "attempts": 1, **limits}, "test")


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., tuple[Outcome, Heard]]:
    def run(of: Grid, **options: bool) -> tuple[Outcome, Heard]:
        heard = Heard()
        return Sweep(of, tmp_path / "out", heard, **options).run(), heard

    return run


def statuses(directory: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in Store(directory).records():
        found.setdefault(record.cell.id, []).append(record.status)
    return found


def test_a_second_run_finds_everything_done(sweep: Callable[..., tuple[Outcome, Heard]]) -> None:
    first, _ = sweep(grid(SMALL, processes=1))
    assert first.statuses == {"measured": 4}
    before = (first.directory / RECORDS).read_bytes()
    second, heard = sweep(grid(SMALL, processes=1))
    assert (second.statuses, second.resumed) == ({}, 4)
    assert "4 of 4 cells are there already" in heard.lines
    assert (first.directory / RECORDS).read_bytes() == before


def test_cells_in_rounds_run_a_process_each_by_turns_and_are_resumed_like_others(
    sweep: Callable[..., tuple[Outcome, Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    once = Runner._run_once

    def heard(self: Runner, cell: Cell, *, is_first: bool) -> object:
        ran.append(cell.id)
        return once(self, cell, is_first=is_first)

    monkeypatch.setattr(Runner, "_run_once", heard)
    outcome, _ = sweep(grid(SMALL, processes=3), interleaved=True)
    assert outcome.statuses == {"measured": 4}
    assert len(set(ran[:4])) == 4
    assert ran == 3 * ran[:4]
    assert {len(record.processes) for record in Store(outcome.directory).records()} == {3}
    assert sweep(grid(SMALL, processes=3), interleaved=True)[0].resumed == 4


def test_a_counted_cell_is_measured_when_it_is_asked_for(sweep: Callable[..., tuple[Outcome, Heard]]) -> None:
    sweep(grid(SMALL | {"count_only": True}))
    outcome, _ = sweep(grid(SMALL, processes=1))
    assert set(map(tuple, statuses(outcome.directory).values())) == {("counted", "measured")}


def test_unsupported_and_excluded_cells_are_rows_with_their_reasons(
    sweep: Callable[..., tuple[Outcome, Heard]],
) -> None:
    block = {"models": "timesformer_b", "frames": [1, 2], "sizes": [32, 33], "count_only": True}
    document = {"block": [block], "exclude": [{"frames": 2, "reason": "not today"}]}
    outcome, _ = sweep(grid_from_document(document, "test"))
    assert outcome.statuses == {"counted": 1, "skipped": 3}
    reasons = {
        record.cell.id: record.reason for record in Store(outcome.directory).records() if record.status == "skipped"
    }
    assert sorted("not today" in reason for reason in reasons.values()) == [False, True, True]
    assert "must be a multiple of 16" in next(reason for reason in reasons.values() if reason != "not today")


def test_a_sweep_of_nothing_but_impossible_cells_is_a_mistake(sweep: Callable[..., tuple[Outcome, Heard]]) -> None:
    with pytest.raises(AxisError, match="multiple of 16"):
        sweep(grid({"models": "timesformer_b", "sizes": 33}))


def test_failed_cells_run_again_only_when_asked(sweep: Callable[..., tuple[Outcome, Heard]], tmp_path: Path) -> None:
    model = tmp_path / "flaky.py"
    model.write_text("def build(clip):\n    raise RuntimeError('no')\n")
    block = grid({"models": f"{model}:build", "frames": 1, "sizes": 8})
    assert sweep(block)[0].statuses == {"failed": 1}
    assert sweep(block)[0].statuses == {}
    outcome, _ = sweep(block, retry_failed=True)
    assert [record.attempt for record in Store(outcome.directory).records()] == [1, 2]


def test_a_changed_model_file_is_another_environment(
    sweep: Callable[..., tuple[Outcome, Heard]], tmp_path: Path
) -> None:
    model = tmp_path / "mine.py"
    block = grid({"models": f"{model}:build", "frames": 1, "sizes": 8, "count_only": True})
    for width in (3, 5):
        model.write_text(f"from torch import nn\ndef build(clip):\n    return nn.Conv3d(3, {width}, 1)\n")
        os.utime(model, (0, 0))  # of one length and one time: bytecode cannot tell them apart
        outcome, _ = sweep(block)
        assert outcome.statuses == {"counted": 1}
    assert [record.counts.params for record in Store(outcome.directory).records()] == [3 * 3 + 3, 3 * 5 + 5]


def test_the_budget_says_what_it_left_out(sweep: Callable[..., tuple[Outcome, Heard]]) -> None:
    outcome, heard = sweep(grid({"models": "core:joint", "grids": ["1x2x2", "64x64x64"]}, budget="30s", processes=1))
    assert outcome.statuses == {"measured": 1}
    assert outcome.left_out == ["core:joint/g64x64x64/b1/fp32/infer/eager/fused/cpu"]
    assert (outcome.directory / "left_out.txt").read_text().split() == outcome.left_out
    assert any("left out 1 cells" in line for line in heard.lines)


PROGRAM = """
import sys
from pathlib import Path
from vbench.console import LogLines
from vbench.grid import grid_from_document
from vbench.sweep import Sweep
if __name__ == "__main__":
    block = {"models": ["core:space", "core:axial"], "grids": ["1x2x2", "2x2x2", "3x2x2"]}
    grid = grid_from_document({"block": [block], "processes": 2, "attempts": 1}, "test")
    Sweep(grid, Path(sys.argv[1]), LogLines()).run()
"""


def start(program: Path, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, program, directory], stderr=subprocess.DEVNULL, start_new_session=True)


def descendants_of_session(session: int) -> list[psutil.Process]:
    def is_of_session(process: psutil.Process) -> bool:
        try:
            return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    return [process for process in psutil.process_iter() if is_of_session(process)]


def wait_until_gone(session: int, patience_s: float = 20) -> list[psutil.Process]:
    deadline = time.monotonic() + patience_s
    while (left := descendants_of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_a_sweep_killed_at_random_ends_with_the_same_cells_and_no_orphans(tmp_path: Path, victim: str) -> None:
    program, directory = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    chance = random.Random(victim)
    for _ in range(3):
        sweep = start(program, directory)
        time.sleep(chance.uniform(2.0, 5.0))
        if victim == "parent":
            sweep.kill()
            sweep.wait()
            assert not wait_until_gone(sweep.pid)
        else:
            for worker in descendants_of_session(sweep.pid)[2:]:
                worker.send_signal(signal.SIGKILL)
            sweep.wait(timeout=120)
    assert start(program, directory).wait(timeout=120) == 0
    last = statuses(directory)
    assert len(last) == 6
    wanted = {"measured"} if victim == "parent" else {"measured", "failed"}
    assert {status for found in last.values() for status in found} <= wanted
    assert all(len(found) == 1 for found in last.values())


def test_each_turn_is_counted_right_before_it_runs(sweep: Callable[..., tuple[Outcome, Heard]]) -> None:
    _, heard = sweep(grid(SMALL, processes=1))
    turns = [[line.split()[0] for line in heard.lines if f"/g{frames}x2x2/" in line] for frames in (1, 2)]
    assert turns == [["counted", "counted", "measured", "measured"]] * 2
    assert [f"/g{frames}x2x2/" in line for frames, line in zip((1,) * 4 + (2,) * 4, heard.lines, strict=True)] == [
        True
    ] * 8
    assert heard.steps[-1] == (4, 4)


def test_a_resumed_sweep_does_not_count_again(
    sweep: Callable[..., tuple[Outcome, Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    count = Runner.count

    def listening(runner: Runner, cells: Sequence[Cell]) -> Generator[tuple[Cell, Counts | Refusal]]:
        asked.extend(cell.id for cell in cells)
        return count(runner, cells)

    monkeypatch.setattr(Runner, "count", listening)
    block = {"models": "core:joint", "grids": ["1x2x2", "64x64x64"]}
    first, _ = sweep(grid(block, budget="30s", processes=1))
    assert first.left_out == [asked[1]]
    assert len(asked) == 2
    sweep(grid(block, budget="30s", processes=1))
    assert len(asked) == 2


def test_a_count_that_is_given_up_leaves_no_process_behind() -> None:
    cells = [Cell(model="core:joint", frames=frames, height=4, width=4, unit="tokens") for frames in range(1, 40)]
    counting = Runner(Settings(), "here").count(cells)
    next(counting)
    counting.close()
    assert not [worker for server in psutil.Process().children() for worker in server.children()]
