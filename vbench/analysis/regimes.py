"""Peak memory along one axis: a maximum over program points, so regimes with break points, never one polynomial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import sympy

HIGHEST = 2  # degree along one axis
FEWEST = HIGHEST + 2  # points: one more than a polynomial of the highest degree can always pass through


@dataclass(frozen=True, slots=True)
class Regime:
    """Bytes as a polynomial of one axis, from size to size; no expression where too few sizes lie between breaks."""

    smallest: int
    largest: int
    expression: str
    degree: int | None


def regimes(symbol: str, sizes: Sequence[int], peak_bytes: Sequence[int]) -> list[Regime]:
    """The regimes of `peak_bytes` over ascending `sizes`: each as long as one polynomial of degree 2 or less holds."""
    found: list[Regime] = []
    first = 0
    while first < len(sizes):
        last = _end_of_regime(sizes, peak_bytes, first)
        found.append(_regime(symbol, sizes[first : last + 1], peak_bytes[first : last + 1]))
        first = last + 1
    return found


def _end_of_regime(sizes: Sequence[int], values: Sequence[int], first: int) -> int:
    """The last index up to which the polynomial through the first points holds."""
    last = min(first + HIGHEST, len(sizes) - 1)
    through = slice(first, last + 1)
    while last + 1 < len(sizes) and _through(sizes[through], values[through], sizes[last + 1]) == values[last + 1]:
        last += 1
    return last if last - first + 1 >= FEWEST or last == len(sizes) - 1 else first


def _through(sizes: Sequence[int], values: Sequence[int], at: int) -> Fraction:
    """Lagrange's polynomial through the points, at another size."""
    basis = (
        prod((Fraction(at - other, size - other) for other in sizes if other != size), start=Fraction(1))
        for size in sizes
    )
    return sum((weight * value for weight, value in zip(basis, values, strict=True)), Fraction(0))


def _regime(symbol: str, sizes: Sequence[int], values: Sequence[int]) -> Regime:
    if len(sizes) < FEWEST:
        return Regime(sizes[0], sizes[-1], "", None)
    axis = sympy.Symbol(symbol, positive=True)
    points = list(zip(sizes[: HIGHEST + 1], values[: HIGHEST + 1], strict=True))
    expression = sympy.expand(sympy.interpolate(points, axis))
    return Regime(sizes[0], sizes[-1], str(expression), int(sympy.degree(expression, axis)))
