"""The clip length at which two models change places: the cheaper one for shorter clips is the dearer one beyond.

Costs are known at a few lengths; between two of these each is taken as a power of the length, a straight line on
logarithms, so that the crossover is interpolated, and `after` and `before`, the lengths on either side of it, hold what
was counted or measured. A crossover of latencies has an interval: the lengths at which the 95 % intervals of the two
models' ratio (half-widths in quadrature, on logarithms) contain 1. It has no bound on the side where no length tells
the two apart: then it may not be there at all, and `is_decided` is false.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbench.analysis.scaling import MEASURED, Series, comparable

METRICS = ("macs", "predicted_peak_bytes", "latency_median_s")
NO_BOUND = float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossover:
    """Where two models change places, in frames. `cost` is what both cost there, in the metric's unit.

    `short` is the cheaper below, `long` the cheaper above. `low` and `high` bound the crossover: `after` and `before`
    where costs are exact, else the interval's, NaN where it has no end. `cheapest`: no third model costs less there.
    """

    metric: str
    short: str
    long: str
    frames: float
    low: float
    high: float
    after: int
    before: int
    cost: float
    is_decided: bool
    cheapest: bool
    held: str
    setting: str
    hardware: str


COLUMNS = tuple(Crossover.__dataclass_fields__)


@dataclass(frozen=True, slots=True, eq=False)
class _Costs:
    """One model's costs over its lengths, with the reach of their intervals on logarithms (0: exact, inf: none)."""

    series: Series
    x: Sequence[int]
    cost: dict[int, float]
    below: dict[int, float]
    above: dict[int, float]
    log_x: NDArray[np.float64]
    log_cost: NDArray[np.float64]


def crossovers_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Every decided crossover of two networks over frames, in the setting and size that most of them share.

    In multiply-adds, predicted peak memory and latency; latencies are of one machine.
    """
    rows = [
        asdict(found)
        for metric in METRICS
        for found in crossovers(comparable(frame, metric, "frames"), metric)
        if found.is_decided
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def crossovers(series: Iterable[Series], metric: str) -> list[Crossover]:
    """The crossovers of every two of the series in one metric, in order of frames."""
    known = [_costs(one, metric) for one in series]
    found = [
        crossing
        for first, second in combinations(known, 2)
        for crossing in _of_two(first, second, metric, [each for each in known if each not in (first, second)])
    ]
    return sorted(found, key=lambda crossing: (crossing.frames, crossing.short, crossing.long))


def _costs(series: Series, metric: str) -> _Costs:
    rows = series.rows.astype({metric: "float64"})
    cost = dict(zip(series.x, rows[metric], strict=True))
    below = above = dict.fromkeys(series.x, 0.0)
    if metric == "latency_median_s":
        low, high = (dict(zip(series.x, rows[f"latency_{end}_s"], strict=True)) for end in ("low", "high"))
        below = {x: _reach(low[x], cost[x]) for x in series.x}
        above = {x: _reach(cost[x], high[x]) for x in series.x}
    return _Costs(series, series.x, cost, below, above, np.log(series.x), np.log(rows[metric].to_numpy()))


def _reach(less: float, more: float) -> float:
    """The distance of two costs on logarithms; infinite where one is not known."""
    return math.log(more / less) if less > 0 and math.isfinite(more) else math.inf


def _of_two(first: _Costs, second: _Costs, metric: str, rest: Sequence[_Costs]) -> Iterator[Crossover]:
    """Every change of places of two models, at the lengths that both have and at which they differ."""
    x = [size for size in first.x if size in second.cost and first.cost[size] != second.cost[size]]
    ratio = [math.log(first.cost[size] / second.cost[size]) for size in x]
    for place, (here, there) in enumerate(pairwise(ratio)):
        if here * there > 0:
            continue
        short, long = (first, second) if here < 0 else (second, first)
        frames = _root(x, ratio, place)
        cost = math.exp(float(np.interp(math.log(frames), np.log(x), [math.log(first.cost[size]) for size in x])))
        low, high = _bounds(x, place, short, long) if metric in MEASURED else (float(x[place]), float(x[place + 1]))
        yield Crossover(
            metric=metric,
            short=short.series.model,
            long=long.series.model,
            frames=frames,
            low=low,
            high=high,
            after=x[place],
            before=x[place + 1],
            cost=cost,
            is_decided=math.isfinite(low) and math.isfinite(high),
            cheapest=not any(_at(each, frames) < cost * (1 - 1e-9) for each in rest),
            held=first.series.held,
            setting=first.series.setting,
            hardware=str(first.series.rows.iloc[0]["hardware"]) if metric in MEASURED else "",
        )


def _bounds(x: Sequence[int], place: int, short: _Costs, long: _Costs) -> tuple[float, float]:
    """The lengths around x[place] to x[place + 1] between which intervals do not tell the two apart."""
    ratio = [math.log(short.cost[size] / long.cost[size]) for size in x]  # below 0, then above
    top = [r + math.hypot(short.above[size], long.below[size]) for r, size in zip(ratio, x, strict=True)]
    bottom = [r - math.hypot(short.below[size], long.above[size]) for r, size in zip(ratio, x, strict=True)]
    apart_below = [at for at in range(place + 1) if top[at] < 0]
    apart_above = [at for at in range(place + 1, len(x)) if bottom[at] > 0]
    low = _root(x, top, apart_below[-1]) if apart_below else NO_BOUND
    high = _root(x, bottom, apart_above[0] - 1) if apart_above else NO_BOUND
    return low, high


def _root(x: Sequence[int], values: Sequence[float], place: int) -> float:
    """Where values pass through 0 between x[place] and the next, straight on the logarithm of x.

    An infinite value, of a cost without an interval, puts it at the finite one.
    """
    here, there = values[place], values[place + 1]
    if math.isinf(here) or math.isinf(there):
        return float(x[place] if math.isinf(there) else x[place + 1])
    part = here / (here - there)
    return float(x[place] * (x[place + 1] / x[place]) ** part)


def _at(costs: _Costs, frames: float) -> float:
    """A model's cost between its lengths; infinite outside of them."""
    if not costs.x[0] <= frames <= costs.x[-1]:
        return math.inf
    return math.exp(float(np.interp(math.log(frames), costs.log_x, costs.log_cost)))
