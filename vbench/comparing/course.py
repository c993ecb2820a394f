"""The course of one comparison: pair after pair, a look where the plan says so, until there is a verdict or no time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from vbench.analysis.sequential import (
    FEWEST,
    LOOKS,
    Look,
    Verdict,
    bounds,
    level_of_last,
    planned_looks,
    ratio_of,
    undisturbed,
    verdict,
)
from vbench.measure.pairs import Pair, Pairs
from vbench.stats import median
from vbench.units import ratio_interval

TRIED = FEWEST - 1  # pairs after which the number that the budget has room for is known
LOOK_S = 0.3  # kept for the last look
Told = Callable[[str], None]


class Course:
    """The pairs of one comparison and the looks at them, as they come."""

    def __init__(self, pairs: Pairs, margin: float, alpha: float, deadline_s: float, told: Told) -> None:
        self._pairs, self.margin, self.alpha = pairs, margin, alpha
        self.done: list[Pair] = []
        self.looks: list[Look] = []
        self.planned = 0
        self.verdict: Verdict = "inconclusive"
        self.stop_reason = ""
        self._deadline_s, self._told = deadline_s, told

    def run(self) -> None:
        """Measure pair after pair; look where the plan says so."""
        due: tuple[int, ...] = ()
        while not self.stop_reason:
            if not self._has_time():
                self._last_look()
                return
            self.done.append(self._pairs.measure(len(self.done)))
            if len(self.done) == TRIED:
                due = self._plan()
            if len(self.done) in due:
                self._look(is_final=len(self.done) == due[-1])

    def _plan(self) -> tuple[int, ...]:
        """The looks that the budget has room for."""
        room = (self._deadline_s - time.monotonic()) / self._pair_s()
        due = planned_looks(TRIED + math.floor(room))
        self.planned = due[-1]
        return due

    def _pair_s(self) -> float:
        return median([pair.elapsed_s for pair in self.done])

    def _has_time(self) -> bool:
        return not self.done or time.monotonic() + self._pair_s() + LOOK_S <= self._deadline_s

    def _look(self, *, is_final: bool) -> None:
        seen = len(self.done)
        level = level_of_last((*(look.pairs for look in self.looks), seen), self.planned, self.alpha, is_final)
        kept = undisturbed(*zip(*(pair.least_s for pair in self.done), strict=True))
        judged = bounds([self.log_ratios[index] for index in kept], level)
        self.looks.append(Look(pairs=seen, kept=kept, level=level, bounds=judged))
        self.verdict = verdict(self.last.bounds, self.margin)
        if self.verdict != "inconclusive":
            self.stop_reason = f"{self.verdict} at look {len(self.looks)}"
        elif is_final:
            self.stop_reason = "the budget is used up" if seen < LOOKS[-1] else f"{seen} pairs decide nothing"
        interval = ratio_interval(*map(ratio_of, judged[:3]))
        self._told(f"{len(kept)} of {seen} pairs: ratio {interval}: {self.verdict}")

    def _last_look(self) -> None:
        """Time is up: what is left of alpha is spent on the pairs that are there."""
        if len(self.done) >= FEWEST and (not self.looks or self.last.pairs < len(self.done)):
            self._look(is_final=True)
        if not self.looks:
            self.stop_reason = f"the budget is used up after {len(self.done)} pairs; a verdict takes {FEWEST}"
        self.stop_reason = self.stop_reason or "the budget is used up"

    @property
    def last(self) -> Look:
        """The last look."""
        return self.looks[-1]

    @property
    def log_ratios(self) -> list[float]:
        """log(B / A) of each pair."""
        return [pair.log_ratio for pair in self.done]
