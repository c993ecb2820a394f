"""The largest member of a progression whose cost stays within a limit, found with few evaluations of that cost.

Between the largest member that is known to fit and the smallest that is known not to, the next one tried lies where a
straight line through both costs meets the limit, and every third time in the middle, for costs that bend. That the
cost rises is looked at, not assumed: every pair of evaluated costs is compared, and some members beyond the answer are
evaluated, among them the next multiple of the period with which the cost may have a saw's teeth (padding).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MOST = 2**20  # members tried at most
LEAP = 8  # from a member that fits to the next one tried, at most so many times as far
BEYOND = 2  # members evaluated right after the answer
SCANNED = 32  # and where the cost was seen to fall: all of these, or of a period its multiples among them


@dataclass(frozen=True, slots=True)
class Progression:
    """first, first + step, ...; only `first` where the step is 0."""

    first: int
    step: int
    period: int = 1  # of the cost's saw, in the same unit

    def member(self, index: int) -> int:
        """The member at an index from 0 on."""
        return self.first + index * self.step

    @property
    def last_index(self) -> int:
        """Of the last member tried."""
        return MOST if self.step else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What was found, and all that was evaluated."""

    longest: int | None  # the largest member found to fit; None: not even the first
    next_longer: int | None  # the member after it; None: there is none, or it was not reached
    costs: dict[int, int]
    is_monotone: bool  # no evaluated cost is less than that of a smaller member, beyond what is uncertain
    is_settled: bool  # the member after the answer was evaluated, too


def longest_within(
    cost: Callable[[int], int],
    members: Progression,
    limit: int,
    *,
    patience_s: float = float("inf"),
    uncertainty: float = 0.0,
) -> Search:
    """The largest member whose cost is at most `limit`; at the end of the patience, the largest known so far.

    A cost that lies below that of a smaller member by no more than this share counts as not having fallen.
    """
    search = _Search(cost, members, limit, time.monotonic() + patience_s, uncertainty)
    if not search.fits(0):
        return search.result(None)
    low, high = search.bracketed()
    while high - low > 1 and not search.is_late():
        tried = search.between(low, high)
        low, high = (tried, high) if search.fits(tried) else (low, tried)
    return search.result(search.beyond(low))


class _Search:
    """Costs that are evaluated once, by index."""

    def __init__(
        self, cost: Callable[[int], int], members: Progression, limit: int, deadline_s: float, uncertainty: float
    ) -> None:
        self._cost, self._members, self._limit, self._deadline_s = cost, members, limit, deadline_s
        self._uncertainty = uncertainty
        self._costs: dict[int, int] = {}
        self._between = 0

    def fits(self, index: int) -> bool:
        """Whether the member is within the limit."""
        if index not in self._costs:
            self._costs[index] = self._cost(self._members.member(index))
        return self._costs[index] <= self._limit

    def is_late(self) -> bool:
        """Whether the patience is at its end."""
        return time.monotonic() > self._deadline_s

    def bracketed(self) -> tuple[int, int]:
        """The largest index known to fit, and the smallest above it known not to, or one beyond the last."""
        low, last = 0, self._members.last_index
        while low < last and not self.is_late():
            high = min(self._leap(low), last)
            if not self.fits(high):
                return low, high
            low = high
        return low, low + 1 if low == last else last + 1

    def _leap(self, low: int) -> int:
        """Twice as far at least, or just beyond where a line through the last two costs meets the limit."""
        if low == 0:
            return 1
        before = max(index for index in self._costs if index < low)
        rise = (self._costs[low] - self._costs[before]) / (low - before)
        room = (self._limit - self._costs[low]) / rise if rise > 0 else LEAP * low
        return low + 1 + int(min(max(room, 0), LEAP * low))

    def between(self, low: int, high: int) -> int:
        """An index strictly between: by the line through both costs, every third time in the middle."""
        self._between += 1
        rise = (self._costs[high] - self._costs[low]) / (high - low)
        if self._between % 3 == 0:
            return (low + high) // 2
        return min(max(low + int((self._limit - self._costs[low]) / rise), low + 1), high - 1)

    def beyond(self, low: int) -> int:
        """The answer, after a look at members beyond it; further ones where a cost was seen to fall."""
        for index in self._further(low):
            if index <= self._members.last_index and not self.is_late() and self.fits(index):
                low = max(low, index)
        if not self._is_monotone():
            low = max([low, *(index for index in self._scanned(low) if not self.is_late() and self.fits(index))])
        while low < self._members.last_index and not self.is_late() and self.fits(low + 1):
            low += 1
        return low

    def _further(self, low: int) -> Iterator[int]:
        yield from range(low + 1, low + 1 + BEYOND)
        yield from self._multiples(low)[:1]

    def _scanned(self, low: int) -> Sequence[int]:
        """Where a cost that falls may be least: the multiples of its period, or anywhere if it has none."""
        every = range(low + 1, min(low + SCANNED, self._members.last_index) + 1)
        return [index for index in self._multiples(low) if index in every] or every

    def _multiples(self, low: int) -> list[int]:
        """The indices of the next members beyond `low` that are multiples of the period."""
        first, step, period = self._members.first, self._members.step, self._members.period
        if not step or period <= step:
            return []
        next_one = (self._members.member(low) // period + 1) * period
        away = (multiple - first for multiple in range(next_one, next_one + (SCANNED + 1) * step, period))
        return [distance // step for distance in away if distance % step == 0]

    def _is_monotone(self) -> bool:
        costs = [self._costs[index] for index in sorted(self._costs)]
        return all((1 - self._uncertainty) * one <= other for one, other in pairwise(costs))

    def result(self, index: int | None) -> Search:
        """The search's answer in members."""
        after = 0 if index is None else index + 1
        return Search(
            longest=None if index is None else self._members.member(index),
            next_longer=self._members.member(after) if index is not None and after in self._costs else None,
            costs={self._members.member(known): self._costs[known] for known in sorted(self._costs)},
            is_monotone=self._is_monotone(),
            is_settled=index is None or index == self._members.last_index or after in self._costs,
        )
