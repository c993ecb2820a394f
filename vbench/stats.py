"""Order statistics and intervals; pure, numpy and SciPy only.

SciPy is imported where it is used: a worker that only takes medians need not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its interval; no number leaves without its uncertainty. NaN bounds: there is none."""

    estimate: float
    low: float
    high: float


UNKNOWN = float("nan")


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the two middle ones for an even count."""
    return float(np.median(values))


def median_interval(values: Sequence[float], confidence: float = 0.95, *, drift: float = 0.0) -> Interval:
    """The median of a few processes' medians with an interval: Student's or the ranks', whichever reaches further.

    Latencies are skewed and positive: their logarithms are closer to normal, and Student's interval is made on them.
    Processes fall into modes, too (where their memory came to lie), which Student's interval misses half of the time;
    the ranks' holds whatever the distribution: the least and the largest of 5 values bound the median 15 times in 16.
    `drift` is the standard deviation, on logarithms, of what all the values share and so cannot show; the half-widths,
    of independent errors, add in quadrature. A single value has no interval.
    """
    estimate = median(values)
    if len(values) < 2:
        return Interval(estimate, UNKNOWN, UNKNOWN)
    student, normal, rank = _quantiles(len(values), confidence)
    logs = np.sort(np.log(np.asarray(values)) - np.log(estimate))
    own = student * logs.std(ddof=1) / np.sqrt(len(logs))
    below, above = (np.hypot(max(own, reach), normal * drift) for reach in (-logs[rank], logs[-1 - rank]))
    return Interval(estimate, float(estimate * np.exp(-below)), float(estimate * np.exp(above)))


@cache
def _quantiles(number: int, confidence: float) -> tuple[float, float, int]:
    """Student's and the normal quantile, and the rank from either end whose values bound the median."""
    from scipy import stats

    upper = 0.5 + confidence / 2
    rank = max(0, int(stats.binom.ppf(1 - upper, number, 0.5)) - 1)
    return float(stats.t.ppf(upper, number - 1)), float(stats.norm.ppf(upper)), rank


def relative_median_error(values: Sequence[float]) -> float:
    """Half the width of the median's distribution-free 95 % interval, as a fraction of the median.

    The order statistics at n/2 -+ 1.96 sqrt(n)/2 bound the median with 95 % confidence whatever the distribution.
    """
    ordered = np.sort(values)
    n = len(ordered)
    reach = 0.98 * np.sqrt(n)
    low, high = max(0, int(np.floor(n / 2 - reach))), min(n - 1, int(np.ceil(n / 2 + reach)))
    return float((ordered[high] - ordered[low]) / 2 / median(values))


def log_log_slope(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Interval:
    """The exponent of y = c x^e by least squares on logarithms, with its Student interval.

    Raises:
        ValueError: fewer than 3 points leave no interval.
    """
    from scipy import stats

    if len(x) < 3:
        raise ValueError(f"an exponent with an interval needs 3 points; got {len(x)}")
    fit = stats.linregress(np.log(x), np.log(y))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(x) - 2) * fit.stderr)
    return Interval(float(fit.slope), float(fit.slope - half), float(fit.slope + half))
