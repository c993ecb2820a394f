"""Fresh process pairs: two sides alive at once, built and warm, that run in turn and never together.

A turn is a short block of forwards; the turns of a pair go A B B A, of the next pair B A A B, so that over two pairs a
drift that is linear in time cancels. The parent sleeps on the worker whose turn it is.

What a pair says is robust to neighbours: of each side the quickest turn is compared, and of a turn its quickest
forwards. What others do to a core slows some forwards by 20 to 30 %, for a tenth of a second or for two, where they
take its other thread; a slow-down of the code is in all of them. For the same reason pairs are many and short: of those
that were disturbed all the while some can be left out (`vbench.analysis.sequential.undisturbed`).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from statistics import fmean, geometric_mean
from typing import Any, NamedTuple

from vbench.errors import VbenchError
from vbench.measure.processes import receive, started_process
from vbench.measure.protocol import WORKER, Refusal
from vbench.measure.turns import Ready, Side, Timed, Turn, enter_side
from vbench.results import Counts
from vbench.stats import median

TURN_S = 0.045  # of timed forwards: long against the switch between processes, short against a machine's moods
PAIR_S = 0.15  # of timed forwards in a pair: half of what starting the two processes costs
SETTLING_S = 0.2  # forwards under this are run once, untimed, at the start of a turn: the other side used the caches
MOST_FOURS = 12
SHORT_S = 1e-3  # forwards under this are timed in blocks: the clock takes some microseconds


class SideError(VbenchError):
    """A side that cannot be measured: it does not build, dies, or takes too long."""


class Plan(NamedTuple):
    """What the two processes of a pair do."""

    fours: int  # rounds of A B B A
    turn: Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """What two processes told: medians of the turns in the order in which they ran, and both memory peaks."""

    order: str  # of the first four turns: ABBA or BAAB
    turns_s: tuple[tuple[float, ...], tuple[float, ...]]  # median own seconds of a forward, by side and turn
    quickest_s: tuple[tuple[float, ...], tuple[float, ...]]  # the same of the quickest forwards of a turn
    walls_s: tuple[tuple[float, ...], tuple[float, ...]]  # the median by the clock on the wall
    peak_memory_bytes: tuple[int, int]
    elapsed_s: float

    @property
    def log_ratio(self) -> float:
        """log(time of B / time of A), both at their quickest."""
        a_s, b_s = self.least_s
        return math.log(b_s / a_s)

    @property
    def least_s(self) -> tuple[float, float]:
        """Own seconds of one forward of A and of B at their quickest."""
        return least_s(self.quickest_s[0]), least_s(self.quickest_s[1])

    @property
    def latency_s(self) -> tuple[float, float]:
        """Own seconds of one forward of A and of B: the median over their turns."""
        return median(self.turns_s[0]), median(self.turns_s[1])

    @property
    def wall_s(self) -> tuple[float, float]:
        """The same by the clock on the wall."""
        return median(self.walls_s[0]), median(self.walls_s[1])


def _by_side(
    turns: tuple[list[list[Timed]], ...], seconds: Callable[[Sequence[Timed]], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    a, b = (tuple(seconds(turn) for turn in side) for side in turns)
    return a, b


def quickest_s(turn: Sequence[Timed]) -> float:
    """Own seconds of a forward: the mean of the quickest quarter of a turn, of the quickest one where it has few."""
    return fmean(sorted(sample.own_s for sample in turn)[: max(1, len(turn) // 4)])


def least_s(turns_s: Sequence[float]) -> float:
    """The geometric mean of the quickest quarter of a side's turns, of the quickest one where they are few."""
    return geometric_mean(sorted(turns_s)[: max(1, len(turns_s) // 4)])


class Pairs:
    """Starts pairs of processes for two sides and lets them run in turn."""

    def __init__(self, sides: tuple[Side, Side], timeout_s: float) -> None:
        self._sides = sides
        self._timeout_s = timeout_s
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([WORKER])

    def count(self) -> tuple[Counts, Counts]:
        """Count both sides, side by side: nothing is timed meanwhile.

        Raises:
            SideError: a side cannot be counted.
        """
        with self._started("count", (0, 1)) as workers:
            counted = [worker.answer() for worker in workers]
        return counted[0], counted[1]

    def measure(self, number: int) -> Pair:
        """One fresh pair; of four in a row, two begin their turns with B, and two start B's process first.

        Raises:
            SideError: a side failed; the message names it.
        """
        began = time.monotonic()
        first = number // 2 % 2
        with self._started("serve", (first, 1 - first), self._core(number)) as started:
            workers = started[:: -1 if first else 1]
            plan = plan_for([worker.answer() for worker in workers])
            turns: tuple[list[list[Timed]], list[list[Timed]]] = ([], [])
            order = (1, 0, 0, 1) if number % 2 else (0, 1, 1, 0)
            for side in order * plan.fours:
                turns[side].append(workers[side].ask(plan.turn))
            peaks = [worker.ask(None) for worker in workers]
        return Pair(
            order="BAAB" if number % 2 else "ABBA",
            turns_s=_by_side(turns, lambda turn: median([sample.own_s for sample in turn])),
            quickest_s=_by_side(turns, quickest_s),
            walls_s=_by_side(turns, lambda turn: median([sample.wall_s for sample in turn])),
            peak_memory_bytes=(peaks[0], peaks[1]),
            elapsed_s=time.monotonic() - began,
        )

    def alone(self, which: int, for_s: float) -> list[Timed]:
        """One side in a fresh process of its own, timed for about `for_s`: what a plain benchmark would do."""
        with self._started("serve", (which,), None) as (worker,):
            forward_s = worker.answer().forward_s
            samples: list[Timed] = worker.ask(Turn(settling=0, samples=max(5, round(for_s / forward_s)), block=1))
        return samples

    def _core(self, number: int) -> int | None:
        """The core that both processes of a pair share, another for the next four: cores differ by their neighbours."""
        if any(side.cell.threads != 1 or side.cell.device != "cpu" for side in self._sides):
            return None
        cores = sorted(os.sched_getaffinity(0))
        return cores[number // 4 % len(cores)]

    @contextmanager
    def _started(self, task: str, which: Sequence[int], *arguments: Any) -> Iterator[list[_Worker]]:
        """A fresh process for each of the sides, started in that order."""
        deadline_s = time.monotonic() + self._timeout_s
        with ExitStack() as stack:
            starts = ((self._sides[index], (task, self._sides[index], *arguments)) for index in which)
            yield [
                _Worker(side, *stack.enter_context(started_process(self._context, enter_side, *told)), deadline_s)
                for side, told in starts
            ]


def plan_for(ready: Sequence[Ready]) -> Plan:
    """Turns and forwards for two sides of known speed: equal for both, so that neither is favoured."""
    longest_s, both_s = max(side.forward_s for side in ready), sum(side.forward_s for side in ready)
    block = max(1, round(SHORT_S / longest_s))
    samples = max(1, round(TURN_S / (block * longest_s)))
    settling = block if longest_s < SETTLING_S else 0
    fours = round(PAIR_S / (2 * both_s * samples * block))
    return Plan(max(1, min(MOST_FOURS, fours)), Turn(settling=settling, samples=samples, block=block))


class _Worker(NamedTuple):
    """One side's process, as its parent talks to it."""

    side: Side
    process: ForkServerProcess
    connection: Connection
    deadline_s: float  # on time.monotonic's clock

    def ask(self, message: object) -> Any:
        """Send it something to do and sleep until it has answered."""
        with suppress(OSError):  # it is gone: the answer says why
            self.connection.send(message)
        return self.answer()

    def answer(self) -> Any:
        """What it says next."""
        answer = receive(self.process, self.connection, self.deadline_s - time.monotonic())
        if isinstance(answer, Refusal):
            raise SideError(f"{self.side.label}: {answer.reason}")
        return answer
