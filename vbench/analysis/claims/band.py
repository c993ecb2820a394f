"""A claimed ratio as a band of numbers, and what a ratio that was counted or measured says of it.

A range, `2-4`, is the band itself; a single number stands for all that rounds to it: 2 for 1.5 to 2.5, 2.4 for 2.35 to
2.45. A claim that names no clip, no model or no batch holds where it holds for each of those that were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from vbench import units
from vbench.stats import Interval

AGREES, UNDECIDED, CONTRADICTED = "agrees", "undecided", "contradicted"


def band_of(claimed: str) -> tuple[float, float]:
    """The least and the most that a claimed ratio stands for."""
    low, _, high = claimed.partition("-")
    if high:
        return float(low), float(high)
    half_a_digit = 0.5 * 10.0 ** -len(low.partition(".")[2])
    return float(low) - half_a_digit, float(low) + half_a_digit


def word_on(claimed: str, ratio: Interval) -> str:
    """`agrees` where the whole interval lies in the band, `contradicted` where all of it lies outside, else undecided.

    A ratio without an interval decides nothing.
    """
    low, high = band_of(claimed)
    if low <= ratio.low and ratio.high <= high:
        return AGREES
    return CONTRADICTED if ratio.high < low or ratio.low > high else UNDECIDED


def worst(words: Iterable[str]) -> str:
    """What is to be said of all: contradicted by one, it is contradicted; undecided by one, it is not yet right."""
    known = set(words)
    return next((word for word in (CONTRADICTED, UNDECIDED, AGREES) if word in known), UNDECIDED)


def best(words: Iterable[str]) -> str:
    """What is to be said where one that agrees is enough."""
    known = set(words)
    return next((word for word in (AGREES, UNDECIDED, CONTRADICTED) if word in known), UNDECIDED)


def times(ratio: Interval) -> str:
    """A ratio in words: `1.59 times`, or with its interval `1.59 times [1.52, 1.66]`."""
    if not math.isfinite(ratio.low):
        return f"{units.three_digits(ratio.estimate)} times, without an interval"
    exact = ratio.low == ratio.high
    bounds = "" if exact else f" [{units.three_digits(ratio.low)}, {units.three_digits(ratio.high)}]"
    return f"{units.three_digits(ratio.estimate)} times{bounds}"
