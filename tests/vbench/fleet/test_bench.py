"""What a sweep makes of a bench that is elsewhere: attempts, environments, and cells that nobody could take."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vbench import sweep as sweep_module
from vbench.bench import NO_WORKER, Due, MayStart, Taken
from vbench.cell import Cell
from vbench.grid import grid_from_document
from vbench.measure.environment import kind_of, of_one_host
from vbench.measure.runner import Runner, Settings
from vbench.results import Counts, Environment, Failed
from vbench.store import Store
from vbench.sweep import Outcome, Sweep

GRID = grid_from_document(
    {"block": [{"models": ["core:axial", "core:space"], "grids": ["1x2x2", "2x2x2"]}], "attempts": 1}, "test"
)


@dataclass
class Elsewhere:
    """A bench whose one worker is the test's word; it measures the cells of a batch together."""

    make: Any
    client: Environment
    worker: Environment
    lost: int = 0
    absent: str = ""  # the model that no worker takes
    fails: bool = False
    slots: int = 2
    ahead: int = 3
    batches: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def begin(self, _settings: Settings, _known: Mapping[str, Environment], *, measures: bool) -> None:
        assert measures

    def environment(self, _cell: Cell) -> Environment:
        return self.client

    def kinds(self, _cell: Cell) -> frozenset[str]:
        return frozenset((kind_of(self.worker),))

    def refusal(self, cell: Cell) -> str:
        return f"{NO_WORKER} for it" if cell.model == self.absent else ""

    def measure(self, due: Iterator[Due], may_start: MayStart) -> Generator[Sequence[Taken]]:
        while batch := [each for each in (next(due, None) for _ in range(self.slots)) if each is not None]:
            self.batches.append([each.cell.id for each in batch if may_start(each)])
            yield [self._taken(each) for each in batch]

    def _taken(self, each: Due) -> Taken:
        if self.fails:
            frame = {"cell": each.cell, "subject": self.make.subject(), "environment": self.client.fingerprint}
            return Taken(record=Failed(**frame, reason="crash: 4 workers were lost"), lost=3)
        record = self.make.measured(each.cell, counts=each.counts, environment=self.worker.fingerprint)
        return Taken(record=record, environment=self.worker, lost=self.lost, where=" on far")

    def say(self, line: str) -> None:
        self.said.append(line)

    def progress(self, done: int, total: int, _left_s: float, last: str) -> None:
        self.said.append(f"{done}/{total} {last}")


@pytest.fixture
def elsewhere(make: Any) -> Callable[..., Elsewhere]:
    worker = make.environment(host="far", hardware="Far CPU")
    return lambda **facts: Elsewhere(make, make.environment(host="near"), of_one_host(worker), **facts)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Any) -> Callable[..., tuple[Outcome, Store]]:
    class Counting(Runner):
        def count(self, cells: Sequence[Cell]) -> Generator[tuple[Cell, Counts]]:
            yield from ((cell, make.counts(macs=cell.frames)) for cell in cells)

    def start(bench: Elsewhere, **options: bool) -> tuple[Outcome, Store]:
        monkeypatch.setattr(sweep_module, "Runner", Counting)
        outcome = Sweep(GRID, tmp_path / "out", bench, bench=bench, **options).run()
        return outcome, Store(tmp_path / "out")

    return start


def test_what_comes_from_elsewhere_is_kept_with_its_own_environment_and_told_where_it_ran(run, elsewhere) -> None:
    bench = elsewhere()
    outcome, store = run(bench)
    assert outcome.statuses == {"measured": 4}
    assert {record.environment for record in store.records()} == {bench.worker.fingerprint}
    assert store.environments()[bench.worker.fingerprint].host == "far"
    assert [line.split()[-2:] for line in bench.said if "measured" in line] == [["on", "far"]] * 4
    assert len({cell for batch in bench.batches for cell in batch}) == 4


def test_a_cell_whose_first_tries_were_lost_has_a_later_attempt(run, elsewhere) -> None:
    _, store = run(elsewhere(lost=2))
    assert [record.attempt for record in store.records()] == [3] * 4


def test_another_host_of_the_same_kind_finds_everything_done_and_another_kind_nothing(run, elsewhere, make) -> None:
    run(elsewhere())
    twin, other = elsewhere(), elsewhere()
    twin.worker = of_one_host(make.environment(host="twin", hardware="Far CPU"))
    other.worker = of_one_host(make.environment(host="far", hardware="Other CPU"))
    assert run(twin)[0].resumed == 4
    outcome, store = run(other)
    assert (outcome.resumed, outcome.statuses) == (0, {"measured": 4})
    assert {record.attempt for record in store.records()} == {1}


def test_a_cell_that_nobody_takes_is_a_row_said_first_and_runs_once_somebody_does(run, elsewhere) -> None:
    bench = elsewhere(absent="core:space")
    outcome, store = run(bench)
    assert outcome.statuses == {"measured": 2, "skipped": 2}
    assert bench.said[0] == "2 cells are skipped: no worker for it"
    again, _ = run(elsewhere(absent="core:space"))
    assert (again.resumed, again.statuses) == (4, {})
    then, _ = run(elsewhere())
    assert (then.resumed, then.statuses) == (2, {"measured": 2})
    assert {record.cell.model for record in store.records() if record.status == "skipped"} == {"core:space"}


def test_a_cell_that_lost_all_its_workers_is_a_failed_row_that_can_be_retried(run, elsewhere) -> None:
    outcome, _ = run(elsewhere(fails=True))
    assert outcome.statuses == {"failed": 4}
    again, store = run(elsewhere(), retry_failed=True)
    assert again.statuses == {"measured": 4}
    assert len(store.records()) == 8
