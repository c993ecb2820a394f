"""Cells that differ in one thing, and the ratio of what they cost, with its interval.

The ratio of two counts is exact. That of two latencies has an interval: the half-widths of both, on logarithms, are
independent errors and add in quadrature. They must come from one environment, that is one machine in one state of its
software. A cell that was measured while the machine was not quiet may be off by what separates the machine's states,
and its interval reaches as much further (`vbench.analysis.certainty`). Where two cells ran in turn, in pairs of
processes, neither mood nor neighbour is in their ratio, and that ratio stands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from vbench.analysis.certainty import CLEAN, STATES
from vbench.results import PairedCells
from vbench.stats import UNKNOWN, Interval

AXES = (
    "model", "batch", "frames", "height", "width", "precision", "mode", "backend", "kernel", "device", "ranks",
    "checkpointing", "accumulation", "views",
)  # fmt: skip
NO_COLUMN = r"/(?:mixing|video|hardware)="  # axes that the table has no column of: cells with them are left out

Row = Any  # of the table of records, by itertuples
Pair = tuple[Row, Row]


def pairs(cells: pd.DataFrame, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Pair]:
    """The cells in which the axes are as in `first`, each with that in which only these are as in `second`.

    `first` and `second` name the same axes; in all others the two cells of a pair are alike.
    """
    plain = cells[~cells["cell"].str.contains(NO_COLUMN, regex=True).astype(bool)]
    alike = [axis for axis in AXES if axis not in first]
    partners: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in _rows(plain, second):
        partners[_values(row, alike)].append(row)
    return [(row, partner) for row in _rows(plain, first) for partner in partners[_values(row, alike)]]


def _rows(cells: pd.DataFrame, wanted: Mapping[str, Any]) -> Iterator[Row]:
    chosen = pd.Series(True, index=cells.index)
    for axis, value in wanted.items():
        chosen &= cells[axis] == value
    yield from cells[chosen].itertuples()


def _values(row: Row, axes: list[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, axis) for axis in axes)


class Timed(NamedTuple):
    """Two cells that were measured in one environment: `ratio` is how many times as long the first one takes."""

    first: Row
    second: Row
    ratio: Interval
    pairs: int = 0  # interleaved, that the ratio comes from; 0: from the cells' own latencies


class PairedRatios:
    """What interleaved pairs said of two cells, by far the surer answer; and which two were looked for."""

    def __init__(self, found: Iterable[PairedCells] = ()) -> None:
        self._found = {(one.first, one.second, one.hardware): one for one in found}
        self.wanted: dict[tuple[str, str], None] = {}

    def timed(self, first: Row, second: Row) -> Timed | None:
        """The ratio that pairs gave on the cells' hardware; None where there were none."""
        self.wanted[first.cell, second.cell] = None
        found = self._found.get((first.cell, second.cell, first.hardware))
        return Timed(first, second, Interval(*found.ratio), len(found.log_ratios)) if found else None


def latency_ratios(
    cells: pd.DataFrame, first: Mapping[str, Any], second: Mapping[str, Any], paired: PairedRatios
) -> list[Timed]:
    """The ratios of latencies of all `pairs` that were measured in one environment, with as many threads.

    What interleaved pairs said of two cells stands for all their latencies.
    """
    measured = cells[cells["status"] == "measured"]
    found: dict[tuple[str, ...], Timed] = {}
    for one, other in pairs(measured, first, second):
        if _where(one) == _where(other):
            surer = paired.timed(one, other)
            place = (one.cell, other.cell, one.hardware if surer else one.environment)
            found[place] = surer or Timed(one, other, latency_ratio(one, other))
    return list(found.values())


def _where(row: Row) -> tuple[str, str]:
    """What two latencies share that may be set against each other."""
    return row.environment, str(row.threads)


def latency_ratio(first: Row, second: Row) -> Interval:
    """How many times as long the first cell takes; NaN bounds where one of them ran in a single process."""
    log = math.log(first.latency_median_s / second.latency_median_s)
    (below, above), (other_below, other_above) = _reach(first), _reach(second)
    low, high = log - math.hypot(below, other_above), log + math.hypot(above, other_below)
    return Interval(math.exp(log), math.exp(low), math.exp(high))


def scaled(ratio: Interval, factor: float) -> Interval:
    """The ratio times a number that is known exactly."""
    return Interval(factor * ratio.estimate, factor * ratio.low, factor * ratio.high)


def exact_ratio(first: float, second: float) -> Interval:
    """The ratio of two counts; unknown where one of them is."""
    ratio = float(first) / float(second) if pd.notna(first) and pd.notna(second) else UNKNOWN
    return Interval(ratio, ratio, ratio)


def _reach(row: Row) -> tuple[float, float]:
    """How far the latency's interval reaches below and above its median, on logarithms."""
    further = 0.0 if row.quality == CLEAN else math.log(STATES)
    below = math.log(row.latency_median_s / row.latency_low_s)
    return below + further, math.log(row.latency_high_s / row.latency_median_s) + further
