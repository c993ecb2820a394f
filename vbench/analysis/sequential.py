"""When a comparison may stop: looks that share one error rate, and the interval at each look.

The values are log ratios, one a pair of processes. Looks come at few pairs and then at ever more; each may spend a part
of `ALPHA`, the chance that equal sides are ever called different, by a spending function of Pocock's shape (Lan and
DeMets, Biometrika 70, 1983), and its nominal level follows by the recursion of Armitage, McPherson and Rowe (JRSS A
132, 1969). The interval is a studentised bootstrap of the trimmed mean (Wilcox, Introduction to Robust Estimation and
Hypothesis Testing, section 4.4): resamples of few values are judged by their own spread, where percentile and BCa
intervals are too short; and a pair in ten may be an outlier on either side. So far in the tails as a look goes, eight
values have few distinct resamples, and even that is too short: no interval is shorter than Student's.

Pairs that a neighbour disturbed are left out before (`undisturbed`): both sides count alike in what is left out, and
nothing is where it is one side alone that is slow in some processes, which is then its own doing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["slower", "same", "faster", "inconclusive"]
Floats = NDArray[np.float64]

ALPHA = (
    0.002  # of a whole comparison, both directions: 200 of equal sides give at most 2 false verdicts in 99 % of cases
)
POWER = 0.8  # of the minimum detectable effect
FEWEST = 6  # pairs of a look that comes because time is up
LOOKS = (8, 12, 16, 24, 32, 40, 56, 80, 112, 160)  # pairs; fours, so that each side starts and runs first as often
TRIMMED = 0.1  # of the values, at either end
TOLERANCE = 0.02  # log of a side's time in a pair beyond that of its own quickest quarter; neighbours add 0.2 to 0.3
LEAST_KEPT = 1 / 3  # of the pairs, and FEWEST - 1 at least: they may differ because the machine drifts
ONE_SIDED = 0.001  # chance that it is one side so often which is the slower in a disturbed pair
RESAMPLES = 20_000
REPLAYS = 2_000
SEED = 20251123


class Bounds(NamedTuple):
    """A location of log ratios, its interval, and what they came from."""

    estimate: float
    low: float
    high: float
    error: float  # standard error of the estimate
    t_low: float  # quantiles of the studentised resamples
    t_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen at one look."""

    pairs: int
    kept: tuple[int, ...]  # the indices of those that were judged by
    level: float  # two-sided, of this look's interval
    bounds: Bounds


def planned_looks(pairs: int) -> tuple[int, ...]:
    """The looks of a comparison that has time for `pairs`; the last is at that many, rounded down to fours."""
    last = min(max(pairs - pairs % 4, FEWEST), LOOKS[-1])
    return (*(look for look in LOOKS if look <= 0.8 * last), last)


def spent(fraction: float, alpha: float = ALPHA) -> float:
    """How much of `alpha` may be spent when `fraction` of the pairs planned is there."""
    return alpha * math.log(1 + (math.e - 1) * min(1.0, fraction))


@lru_cache(maxsize=64)
def level_of_last(pairs: tuple[int, ...], planned: int, alpha: float = ALPHA, is_final: bool = False) -> float:
    """The nominal two-sided level at the last of the looks that came at `pairs`.

    `is_final`: time is up, and all that is left of `alpha` is spent.
    """
    fractions = [count / planned for count in pairs]
    if is_final:
        fractions[-1] = 1.0
    cumulative = [spent(fraction, alpha) for fraction in fractions]
    boundaries = _boundaries(pairs, [now - before for before, now in pairwise([0.0, *cumulative])])
    return math.erfc(boundaries[-1] / math.sqrt(2))


def _boundaries(pairs: Sequence[int], spends: Sequence[float]) -> list[float]:
    """Z at each look such that a random walk first leaves +-z there with the probability that is spent there."""
    from scipy import optimize, stats

    grid = np.linspace(-8.0, 8.0, 1001)  # in units of the last look's standard deviation
    step = grid[1] - grid[0]
    information = np.asarray(pairs) / pairs[-1]
    density: Floats | None = None  # of the sum, where no look has left yet
    boundaries: list[float] = []
    for look, (now, spend) in enumerate(zip(information, spends, strict=True)):
        gained = math.sqrt(now - (information[look - 1] if look else 0.0))
        arrived = (
            stats.norm.pdf(grid, scale=gained)
            if density is None
            else stats.norm.pdf(grid[:, None] - grid[None, :], scale=gained) @ density * step
        )

        def leaving(z: float, arrived: Floats = arrived, scale: float = math.sqrt(now)) -> float:
            outside = np.clip((np.abs(grid) - z * scale) / step + 0.5, 0.0, 1.0)
            return float((arrived * outside).sum() * step)

        def missing(z: float, leaving: Any = leaving, spend: float = spend) -> float:
            return float(leaving(z) - spend)

        boundaries.append(float(optimize.brentq(missing, 0.0, 8.0 / math.sqrt(now))))
        density = np.where(np.abs(grid) <= boundaries[-1] * math.sqrt(now), arrived, 0.0)
    return boundaries


def undisturbed(a_s: Sequence[float], b_s: Sequence[float]) -> tuple[int, ...]:
    """The indices of the pairs to judge by, given the seconds of both sides.

    Those in which neither took longer than in its own quickest quarter of pairs, within the tolerance, and a third at
    least: those in which both were quickest. All, where it is always the same side that took longer.
    """
    from scipy.stats import binomtest

    a, b = (np.log(seconds) - np.quantile(np.log(seconds), 0.25) for seconds in (a_s, b_s))
    longer = np.maximum(a, b)
    is_slow = longer > TOLERANCE
    b_is_slower = int((b > a)[is_slow].sum())
    if is_slow.any() and binomtest(b_is_slower, int(is_slow.sum())).pvalue < ONE_SIDED:
        return tuple(range(len(longer)))
    kept = max(FEWEST - 1, math.ceil(LEAST_KEPT * len(longer)), len(longer) - int(is_slow.sum()))
    return tuple(sorted(map(int, np.argsort(longer, kind="stable")[:kept])))


def bounds(values: Sequence[float], level: float, resamples: int = RESAMPLES) -> Bounds:
    """The trimmed mean of `values` with its studentised bootstrap interval of confidence 1 - `level`; seeded.

    Infinite bounds: too few values for that level.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    (estimate,), (error,) = _location(sample[None])
    rng = np.random.default_rng(SEED)
    drawn = sample[rng.integers(0, len(sample), (resamples, len(sample)))]
    t_low, t_high = np.quantile(_studentised(drawn, estimate), [level / 2, 1 - level / 2], method="inverted_cdf")
    student = float(stats.t.ppf(1 - level / 2, len(sample) - 2 * int(TRIMMED * len(sample)) - 1))
    t_low, t_high = min(t_low, -student), max(t_high, student)
    if error == 0:
        return Bounds(float(estimate), float(estimate), float(estimate), 0.0, float(t_low), float(t_high))
    return Bounds(*map(float, (estimate, estimate - t_high * error, estimate - t_low * error, error, t_low, t_high)))


def _location(rows: Floats) -> tuple[Floats, Floats]:
    """The trimmed mean of each row, and its standard error from the winsorised variance (Tukey and McLaughlin)."""
    size = rows.shape[1]
    trimmed = int(TRIMMED * size)
    ordered = np.sort(rows, axis=1)
    kept = ordered[:, trimmed : size - trimmed]
    variance = _winsorised(ordered, trimmed).var(axis=1, ddof=1)
    return kept.mean(axis=1), np.sqrt(variance / size) / (1 - 2 * trimmed / size)


def _winsorised(ordered: Floats, trimmed: int) -> Floats:
    if not trimmed:
        return ordered
    return np.clip(ordered, ordered[:, [trimmed]], ordered[:, [-trimmed - 1]])


def _studentised(rows: Floats, centre: float) -> Floats:
    """How many of its own standard errors each row's location lies from `centre`; a row of one value is far off."""
    location, error = _location(rows)
    off = location - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, off / error, np.copysign(np.inf, off))


def verdict(seen: Bounds, margin: float) -> Verdict:
    """What an interval of log ratios says: `same` within the margin, else the side of 1 on which it lies."""
    if max(abs(seen.low), abs(seen.high)) <= math.log1p(margin):
        return "same"
    return "slower" if seen.low > 0 else "faster" if seen.high < 0 else "inconclusive"


def ratio_of(log_ratio: float) -> float:
    """The ratio of a log ratio; infinite where it is beyond all bounds."""
    return math.exp(log_ratio) if log_ratio < 700 else math.inf


def minimum_detectable_effect(seen: Bounds) -> float:
    """The slow-down, as a fraction, that such an interval leaves 1 at with a chance of 80 %."""
    from scipy import stats

    return ratio_of((seen.high - seen.low) / 2 + float(stats.norm.ppf(POWER)) * seen.error) - 1


def replayed_error_rate(values: Sequence[float], looks: Sequence[Look], replays: int = REPLAYS) -> float:
    """How often these very pairs, made into pairs of equal sides, would have been called different at these looks.

    Which of two equal sides is called A is arbitrary: so each value, less their common location, gets a random sign.
    """
    if not looks:
        return float("nan")
    sample = np.asarray(values)
    signs = np.random.default_rng(SEED).choice((-1.0, 1.0), (replays, len(sample)))
    wrong = np.zeros(replays, dtype=bool)
    for look in looks:
        kept = list(look.kept)
        t = _studentised(signs[:, kept] * (sample[kept] - look.bounds.estimate), 0.0)
        wrong |= (t > look.bounds.t_high) | (t < look.bounds.t_low)
    return float(wrong.mean())
