"""Where the cells of a sweep are measured: `Bench`, the seam between a sweep and this machine, or a fleet.

A sweep decides which cells are due, in which order and within which budget, and keeps what comes back. A bench takes
the cells as it has room for them, so that each is counted no earlier than right before its turn. `LocalBench` is this
machine, one cell at a time; `InRounds` the same with all cells taking turns; `vbench.fleet` has one for many machines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vbench.cell import Cell
from vbench.measure.environment import environment
from vbench.measure.runner import Journal, Runner, Settings
from vbench.measure.survey import surveyed, taken_over
from vbench.measure.user_models import user_source_hash
from vbench.results import Counts, Environment, Record

ALL = sys.maxsize
NO_WORKER = "no worker"  # the reason of such a skipped cell begins so: it is not settled once there is one


@dataclass(frozen=True, slots=True)
class Due:
    """A cell whose turn has come, what it costs, and where its processes are written down."""

    cell: Cell
    counts: Counts
    journal: Journal


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What became of a cell."""

    record: Record
    environment: Environment | None = None  # of the machine that ran it, where that is not the sweep's own
    lost: int = 0  # times that it was begun before, and the machine was lost
    where: str = ""  # in words, and how far that kind of machine is


MayStart = Callable[[Due], bool]


class Bench(Protocol):
    """Machines that measure cells."""

    @property
    def slots(self) -> int:
        """How many cells are measured at a time."""

    @property
    def ahead(self) -> int:
        """How many cells to count at a time, at least: counting is not to disturb a measurement, nor hold one up."""

    def begin(self, settings: Settings, known: Mapping[str, Environment], *, measures: bool) -> None:
        """Learn how the sweep measures, if it does, and the environments that its directory knows."""

    def environment(self, cell: Cell) -> Environment:
        """Where what the sweep itself does with the cell, counting and skipping, is done."""

    def kinds(self, cell: Cell) -> frozenset[str]:
        """The kinds of environment (`measure.environment.kind_of`) in which the cell is measured."""

    def refusal(self, cell: Cell) -> str:
        """Why the cell cannot be measured here; empty where it can."""

    def measure(self, due: Iterator[Due], may_start: MayStart) -> Generator[Sequence[Taken]]:
        """Measure the cells that are due, as they come; what belongs together is told together.

        Each is asked about right before it starts, for the budget may be used up. Close the generator to stop early.
        """


class LocalBench:
    """The bench that is this machine: one cell at a time."""

    slots = 1
    ahead = 1

    def __init__(self) -> None:
        self._settings = Settings()
        self._known: Mapping[str, Environment] = {}
        self._measures = False
        self._environments: dict[tuple[str, int, str], Environment] = {}

    def begin(self, settings: Settings, known: Mapping[str, Environment], *, measures: bool) -> None:
        """Learn how the sweep measures, if it does, and the environments that its directory knows."""
        self._settings, self._known, self._measures = settings, known, measures

    def environment(self, cell: Cell) -> Environment:
        """The environment of the cell's device, threads and model."""
        key = (cell.device, cell.threads, user_source_hash(cell.model))
        if key not in self._environments:
            here = environment(*key)
            known = self._known.get(here.fingerprint)
            measured = surveyed(here, cell, self._settings, known) if self._measures else taken_over(here, known)
            self._environments[key] = measured
        return self._environments[key]

    def kinds(self, cell: Cell) -> frozenset[str]:
        """The one kind that this machine is: on one machine, an environment's fingerprint is its kind."""
        return frozenset((self.environment(cell).fingerprint,))

    def refusal(self, cell: Cell) -> str:
        """A cell that asks for the hardware of a fleet stays undone."""
        return f"{NO_WORKER}: hardware {cell.hardware!r} is for a fleet, with --cluster" if cell.hardware else ""

    def measure(self, due: Iterator[Due], may_start: MayStart) -> Generator[Sequence[Taken]]:
        """Measure one cell after another."""
        for each in due:
            if may_start(each):
                yield (Taken(record=self._runner(each.cell).measure(each.cell, each.counts, each.journal)),)

    def _runner(self, cell: Cell) -> Runner:
        here = self.environment(cell)
        return Runner(self._settings.on(here), here.fingerprint)


class InRounds(LocalBench):
    """The same with all cells taking turns, a process each: from their ratios the machine's moods cancel."""

    ahead = ALL

    def __init__(self, remark: Callable[[str], None]) -> None:
        super().__init__()
        self._remark = remark

    def measure(self, due: Iterator[Due], may_start: MayStart) -> Generator[Sequence[Taken]]:
        """A process of every cell, then the next of every cell; the journal holds them all until the end."""
        going = {each.cell: self._steps(each) for each in due if may_start(each)}
        taken: list[Taken] = []
        while going:
            for cell, steps in list(going.items()):
                try:
                    next(steps)
                except StopIteration as end:
                    taken.append(Taken(record=end.value))
                    del going[cell]
                self._remark(f"took its turn: {cell.id}")
        yield taken

    def _steps(self, each: Due) -> Generator[None, None, Record]:
        return self._runner(each.cell).in_steps(each.cell, each.counts, each.journal)
