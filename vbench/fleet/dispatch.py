"""`Fleet`: the bench of a sweep that is a Dask cluster.

As many cells are under way as there are workers that can take them; the others wait here, by the device and the
hardware that they demand, so that no kind of machine idles because another one is busy. Which worker takes a cell is
Dask's to say, by the resources that workers announce and cells demand. Nothing but this client writes the store.
"""

from __future__ import annotations

import socket
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vbench.bench import ALL, NO_WORKER, Due, MayStart, Taken
from vbench.cell import Cell
from vbench.errors import FleetError
from vbench.fleet.announced import version_of
from vbench.fleet.errands import Demand, Errand, Errands, demand_of
from vbench.fleet.line import Line
from vbench.fleet.roster import Roster
from vbench.measure.environment import environment
from vbench.measure.protocol import OUT_OF_MEMORY
from vbench.measure.runner import Runner, Settings
from vbench.measure.survey import taken_over
from vbench.measure.user_models import user_source_hash
from vbench.results import Environment
from vbench.units import duration

if TYPE_CHECKING:
    from distributed import Security

REFRESH_S = 2.0  # how often the scheduler is asked who is there
PATIENCE_S = 600.0  # with a scheduler that is gone, and with a kind of worker of which none is left
SLACK_S = 60.0  # of a worker beyond its processes' time-outs: a start, and what is measured once in it
BATCHES_AHEAD = 4  # cells to count at a time, for each worker


class Fleet:
    """A Dask cluster that measures cells: the `Bench` of `vbench sweep --cluster`."""

    def __init__(
        self, url: str, security: Security | None, say: Callable[[str], None], *,
        wait_s: float, wait_for: int = 1, patience_s: float = PATIENCE_S, slack_s: float = SLACK_S,
    ) -> None:  # fmt: skip
        self._version = version_of(environment())
        self._roster = Roster(self._version)
        self._line = Line(url, security, say, patience_s=patience_s)
        self._say, self._patience_s, self._slack_s = say, patience_s, slack_s
        self._wait_s, self._wait_for = wait_s, wait_for
        self._settings = Settings()
        self._known: Mapping[str, Environment] = {}
        self._environments: dict[str, Environment] = {}
        self._waiting: dict[Demand, deque[Due]] = defaultdict(deque)
        self._too_large: list[Due] = []  # for the memory of every worker
        self._done: Counter[str] = Counter()  # cells, by the label of the hardware that measured them
        self._asked_s = -REFRESH_S  # when the scheduler was asked last who is there
        self._able_s: dict[Demand, float] = {}  # when a worker was last there for it

    def __enter__(self) -> Self:
        """Connect, and wait for the workers.

        Raises:
            FleetError: there is no scheduler, or no worker in time.
        """
        self._line.open()
        end_s = time.monotonic() + self._wait_s
        while self._look_around(at_once=True) < self._wait_for and time.monotonic() < end_s:
            time.sleep(0.2)
        if not self._roster.offers:
            self._line.close()
            refused = "; ".join(self._roster.refused.values())
            none = f"no worker came in {duration(self._wait_s)}; start one on each machine: vbench worker ADDRESS"
            raise FleetError(refused or none)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._line.close()

    @property
    def slots(self) -> int:
        """Workers: each measures one cell at a time."""
        return max(1, len(self._roster.offers))

    @property
    def ahead(self) -> int:
        """A few cells for each worker; all of them where counting would disturb a worker on this machine."""
        return ALL if socket.gethostname() in self._roster.hosts() else BATCHES_AHEAD * self.slots

    def begin(self, settings: Settings, known: Mapping[str, Environment], *, measures: bool) -> None:
        """Learn how the sweep measures, and the environments that its directory knows."""
        self._settings, self._known = settings, known if measures else {}

    def environment(self, cell: Cell) -> Environment:
        """The client's own: that is where cells are counted and skipped."""
        source = user_source_hash(cell.model)
        if source not in self._environments:
            here = environment(user_source=source)
            self._environments[source] = taken_over(here, self._known.get(here.fingerprint))
        return self._environments[source]

    def kinds(self, cell: Cell) -> frozenset[str]:
        """The kinds of the workers that take the cell."""
        return self._roster.kinds(cell)

    def refusal(self, cell: Cell) -> str:
        """Why no worker can take the cell; empty where one can."""
        return self._roster.refusal(cell)

    def measure(self, due: Iterator[Due], may_start: MayStart) -> Generator[Sequence[Taken]]:
        """Keep every worker at work while cells are due, and tell what came back.

        Raises:
            FleetError: the scheduler is gone for too long.
        """
        errands = Errands(
            self._line, self._settings, version=self._version, slack_s=self._slack_s, clerk=self._clerk, say=self._say
        )
        self._waiting.clear()
        has_more = True
        try:
            while has_more or errands or any(self._waiting.values()):
                has_more = has_more and self._take_in(due, may_start, errands)
                self._start_waiting(may_start, errands)
                for errand, taken in errands.collect(REFRESH_S / 2):
                    yield (self._placed(errand, taken),)
                if given_up := [*errands.overdue(), *self._unplaced(errands)]:
                    yield given_up
        finally:
            errands.cancel()

    def _take_in(self, due: Iterator[Due], may_start: MayStart, errands: Errands) -> bool:
        """Take what is due for the workers that idle, a few cells at a time; whether more is due."""
        for _ in range(2 * self.slots):
            self._start_waiting(may_start, errands)
            if len(errands) >= self.slots:
                return True
            each = next(due, None)
            if each is None:
                return False
            self._waiting[demand_of(each.cell)].append(each)
        return True

    def _start_waiting(self, may_start: MayStart, errands: Errands) -> None:
        """Start the cells that wait, one for each worker that can take them."""
        under_way = errands.demands()
        for demand, waiting in self._waiting.items():
            while waiting and under_way[demand] < len(self._roster.able(waiting[0].cell)):
                each = waiting.popleft()
                if self._lacking_memory(each):
                    self._too_large.append(each)
                elif may_start(each):
                    errands.start(each)
                    under_way[demand] += 1

    def _lacking_memory(self, each: Due) -> str:
        """Why no worker has the memory that the cell needs; the worker that takes it looks at what is free, too."""
        lacking = self._roster.lacking_memory(each.cell, each.counts.predicted_peak_bytes)
        return f"{OUT_OF_MEMORY}, predicted: {lacking}" if lacking else ""

    def _unplaced(self, errands: Errands) -> Iterator[Taken]:
        """The cells that no worker can take, or can take any more."""
        self._look_around()
        for each in self._too_large:
            reason = self._lacking_memory(each) or f"{NO_WORKER} has the memory"
            yield Taken(record=self._clerk(each.cell).skip(each.cell, reason, each.counts))
        self._too_large.clear()
        now = time.monotonic()
        for demand in {*self._waiting, *errands.demands()}:
            if self._able_s.setdefault(demand, now) < now - self._patience_s:
                reason = f"{NO_WORKER} is left for {' as '.join(filter(None, demand))}"
                yield from errands.forsaken(demand, reason)
                for each in self._waiting.pop(demand, ()):
                    yield Taken(record=self._clerk(each.cell).skip(each.cell, reason, each.counts))

    def _look_around(self, *, at_once: bool = False) -> int:
        """Ask the scheduler now and then who is there; how many there are for us."""
        now = time.monotonic()
        if at_once or now - self._asked_s >= REFRESH_S:
            self._asked_s = now
            workers = self._line.workers()
            for line in () if workers is None else self._roster.update(workers):
                self._say(line)
        for offer in self._roster.offers.values():
            self._able_s[offer.device, ""] = self._able_s[offer.device, offer.label] = now
        return len(self._roster.offers)

    def _placed(self, errand: Errand, taken: Taken) -> Taken:
        """The same, with where it ran and how far every kind of hardware is."""
        if taken.environment is None:
            return taken
        label = self._roster.label(errand.begun[-1]) if errand.begun else "?"
        self._done[label] += 1
        done = ", ".join(f"{number} on {kind}" for kind, number in sorted(self._done.items()))
        return replace(taken, where=f" on {label} ({taken.environment.host}); {done}")

    def _clerk(self, cell: Cell) -> Runner:
        return Runner(self._settings, self.environment(cell).fingerprint)
