"""The cells that are under way in a cluster: begun by whom, since when, how often, and what came of them.

Dask tries again by itself where a worker dies; a scheduler that dies takes every task with it, and they are submitted
anew. Either way the workers tell when they begin a cell, so that a record knows how many tries were lost before it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vbench.bench import Due, Taken
from vbench.cell import Cell
from vbench.errors import first_line
from vbench.fleet import remote
from vbench.fleet.announced import demands
from vbench.fleet.line import FAILURES, Begun, Line
from vbench.measure.processes import GRACE_S
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Runner, Settings
from vbench.units import duration

if TYPE_CHECKING:
    from distributed import Future

GATHER_S = 30.0  # for an answer that is there
MOST_BEGINNINGS = 4  # of a cell whose workers are lost one after another; Dask, too, gives up then
MOST_PROCESSES = 5  # of a cell

Demand = tuple[str, str]  # device and hardware


def demand_of(cell: Cell) -> Demand:
    """What decides which workers take the cell, memory aside."""
    return cell.device, cell.hardware


@dataclass(slots=True)
class Errand:
    """A cell that was submitted."""

    due: Due
    future: Future[str]
    begun: list[str] = field(default_factory=list)  # the workers that began it, in turn
    begun_s: float = 0.0

    @property
    def lost(self) -> int:
        """Tries before the last one."""
        return max(0, len(self.begun) - 1)


class Errands:
    """What is under way, by the name of its task."""

    def __init__(
        self, line: Line, settings: Settings, *, version: str, slack_s: float,
        clerk: Callable[[Cell], Runner], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._line, self._settings, self._version = line, settings, version
        self._clerk, self._say = clerk, say
        processes = settings.processes or MOST_PROCESSES
        self._longest_s = processes * (settings.timeout_s + GRACE_S) + slack_s
        self._under_way: dict[str, Errand] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def demands(self) -> Counter[Demand]:
        """How many are under way of each demand."""
        return Counter(demand_of(each.due.cell) for each in self._under_way.values())

    def start(self, due: Due, begun: list[str] | None = None) -> None:
        """Hand a cell to the scheduler; it may have been begun before.

        Raises:
            FleetError: the scheduler is gone for too long.
        """
        resources = demands(due.cell, self._version, due.counts.predicted_peak_bytes)
        while True:
            name = self._line.new_name()
            order = remote.order_of(due, self._settings, name=name, topic=self._line.topic)
            try:
                future = self._line.submit(name, order, resources)
            except FAILURES:
                self._line.reopen()
            else:
                self._under_way[name] = Errand(due, future, begun or [])
                return

    def collect(self, patience_s: float) -> Iterator[tuple[Errand, Taken]]:
        """What came back by now, or within `patience_s`.

        Raises:
            FleetError: the scheduler is gone for too long.
        """
        if self._under_way and not self._line.is_open:
            self._start_all_over()
        for news in self._line.news(patience_s):
            errand = self._under_way.get(news.name)
            if errand is None:
                continue
            if isinstance(news, Begun):
                errand.begun.append(news.worker)
                errand.begun_s = time.monotonic()
            elif errand.future.status == "cancelled":
                self._start_all_over()
            elif taken := self._taken(news.name, errand):
                yield errand, taken

    def _taken(self, name: str, errand: Errand) -> Taken | None:
        """What became of a task that is done; None where Dask has it done again."""
        try:
            record, environment = remote.answer_from(errand.future.result(timeout=GATHER_S))
        except TimeoutError:  # the worker was lost with its answer
            self._line.listen(name, errand.future)
            return None
        except CancelledError:  # the scheduler was lost just now
            self._start_all_over()
            return None
        except remote.WorkerClosedError:
            del self._under_way[name]
            self.start(errand.due, errand.begun)
            return None
        except Exception as error:  # the worker's or Dask's: whatever it is, the cell is a row with its reason
            return self.give_up(name, f"crash: {type(error).__name__}: {first_line(error)}")
        del self._under_way[name]
        return Taken(record=record, environment=environment, lost=errand.lost)

    def _start_all_over(self) -> None:
        """The scheduler is gone, and every task with it: submit them to the next one."""
        self._line.reopen()
        lost, self._under_way = self._under_way, {}
        for errand in lost.values():
            self.start(errand.due, errand.begun)

    def overdue(self) -> Iterator[Taken]:
        """Send workers away that hang; a cell that has lost too many workers is given up."""
        now = time.monotonic()
        for name, errand in list(self._under_way.items()):
            if len(errand.begun) > MOST_BEGINNINGS:
                yield self.give_up(name, f"crash: {errand.lost} workers were lost while they measured it")
            elif errand.begun and now - errand.begun_s > self._longest_s:
                worker = errand.begun[-1]
                self._say(f"worker {worker} has not answered in {duration(self._longest_s)}: it is sent away")
                errand.begun_s = now
                self._line.send_away(worker)

    def forsaken(self, demand: Demand, reason: str) -> Iterator[Taken]:
        """Give up the cells of a demand for which nobody is left."""
        for name, errand in list(self._under_way.items()):
            if demand_of(errand.due.cell) == demand:
                yield self.give_up(name, reason, is_unsupported=True)

    def give_up(self, name: str, reason: str, *, is_unsupported: bool = False) -> Taken:
        """Take the cell back; a row with the reason."""
        errand = self._under_way.pop(name)
        self._line.cancel((errand.future,))
        refusal = Refusal(reason, is_unsupported=is_unsupported)
        record = self._clerk(errand.due.cell).record_of_count(errand.due.cell, refusal)
        return Taken(record=replace(record, counts=errand.due.counts), lost=errand.lost)

    def cancel(self) -> None:
        """Take everything back."""
        self._line.cancel(errand.future for errand in self._under_way.values())
        self._under_way.clear()
