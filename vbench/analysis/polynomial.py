"""The exact polynomial behind a count: derived by rational interpolation on a lattice of grids, checked on others.

A count is asked for as a black box, f(T, H, W) -> int. Along each axis the smallest step and start are sought from
which its finite differences vanish beyond some degree; the polynomial then follows exactly from a tensor grid of as
many points, and must give the count on points that had no part in it. What has no such lattice is no polynomial.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import prod

import sympy

from vbench.errors import AxisError

Extent = tuple[int, int, int]
Count = Callable[[Extent], int]
Announce = Callable[
    [Iterable[Extent]], None
]  # told which grids will be counted, who counts several at once gains by it

T, H, W = SYMBOLS = sympy.symbols("T H W", positive=True)
MAX_DEGREE = 3
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)
LATEST_START = 16
BASE: Extent = (8, 14, 14)  # where the other two axes stand while one is searched
HELD_OUT = 8
OFF_LATTICE = 6
FAR = 48  # a line must hold as far as here: clipped windows follow a law of their own while they are clipped
LATER = (1, 2, 4, 8)  # factors of the starts, for laws that hold from some number of tokens on (the k of k-NN, say)


@dataclass(frozen=True, slots=True)
class Line:
    """One axis of the lattice: `start`, `start + step`, and so on; the count's degree along it."""

    step: int
    start: int
    degree: int

    def point(self, index: int) -> int:
        """The lattice's point number `index`, from 0."""
        return self.start + self.step * index


@dataclass(frozen=True, slots=True)
class Derived:
    """A polynomial in T, H, W that gives the count on a lattice, and how far it is off it."""

    expression: sympy.Expr
    lattice: Extent  # steps
    domain: Extent  # the sizes from which it holds
    held_out_checked: int
    largest_excess: float  # (count - polynomial) / polynomial off the lattice, at most: padding; 0 where none was seen


def unheard(_grids: Iterable[Extent]) -> None:
    """Where nobody wants to know which grids will be counted."""


def derive(count: Count, hint: Sequence[Line] | None = None, announce: Announce = unheard) -> Derived | None:
    """The polynomial of `count`, or None where there is none of degree 3 or less along each axis.

    `hint` names the lattice where it is known; it is believed only if the held-out points agree.
    """
    count = lru_cache(maxsize=None)(count)
    lines = list(hint) if hint else [line for axis in range(3) if (line := _line(count, axis)) is not None]
    if len(lines) < 3:
        return None
    for factor in LATER:
        later = [Line(line.step, line.step * -(-line.start * factor // line.step), line.degree) for line in lines]
        announce([*map(_triple, itertools.product(*_nodes(later))), *_held_out(later)])
        coefficients = _interpolate(count, later)
        if all(_value(coefficients, grid) == count(grid) for grid in _held_out(later)):
            return Derived(
                expression=_expression(coefficients),
                lattice=_triple(line.step for line in later),
                domain=_triple(line.start for line in later),
                held_out_checked=HELD_OUT,
                largest_excess=_largest_excess(count, coefficients, later, announce),
            )
    return None


def line_grids(axis: int, step: int, base: Extent) -> list[Extent]:
    """The grids that show the degree along one axis of a known step, the others standing at `base`."""
    return [_at(base, axis, step * index) for index in range(1, MAX_DEGREE + 2)]


def hinted_line(count: Count, axis: int, step: int, base: Extent) -> Line | None:
    """The line of a known step, with the degree that its first points show; held-out points must bear it out."""
    try:
        values = [count(grid) for grid in line_grids(axis, step, base)]
    except AxisError:
        return None
    degree = _degree(values)
    return None if degree > MAX_DEGREE else Line(step, step, degree)


def line_of(count: Count, axis: int, step: int, start: int, base: Extent) -> Line | None:
    """The line of this step and start, if the count is a polynomial along it while the other axes stand at `base`."""
    sizes = [start + step * index for index in range(MAX_DEGREE + 3)]  # two more than the highest degree needs
    far = start + step * -(-max(FAR, sizes[-1] + 1 - start) // step)
    try:
        *values, at_far = (count(_at(base, axis, size)) for size in (*sizes, far))
    except AxisError:  # the model takes no such clip
        return None
    degree = _degree(values)
    if degree > MAX_DEGREE or _extrapolated(sizes, values, far) != at_far:
        return None
    return Line(step, start, degree)


def _extrapolated(sizes: Sequence[int], values: Sequence[int], far: int) -> Fraction:
    """Lagrange's polynomial through all the points, at `far`."""
    basis = (
        prod((Fraction(far - other, size - other) for other in sizes if other != size), start=Fraction(1))
        for size in sizes
    )
    return sum((weight * value for weight, value in zip(basis, values, strict=True)), Fraction(0))


def _line(count: Count, axis: int) -> Line | None:
    """The line with the smallest step, and for that the smallest start."""
    for step in STEPS:
        for start in range(step, max(LATEST_START, step) + 1, step):
            line = line_of(count, axis, step, start, BASE)
            if line is not None:
                return line
    return None


def _degree(values: Sequence[int]) -> int:
    """The order of the last finite difference that is not all zero; the number of values where none vanishes."""
    differences, order = list(values), 0
    degree = 0
    while differences:
        if any(differences):
            degree = order
        differences = [later - earlier for earlier, later in itertools.pairwise(differences)]
        order += 1
    return degree if degree < len(values) - 1 else len(values)


def _interpolate(count: Count, lines: Sequence[Line]) -> dict[Extent, Fraction]:
    """Coefficients by exponents (of T, H, W): each axis in turn, through as many points as its degree needs."""
    sizes = _nodes(lines)
    values = {grid: Fraction(count(_triple(grid))) for grid in itertools.product(*sizes)}
    for axis, points in enumerate(sizes):
        values = _along(values, axis, points)
    return {_triple(powers): value for powers, value in values.items() if value}


def _nodes(lines: Sequence[Line]) -> list[list[int]]:
    """Along each axis the sizes that make the polynomial: as many as its degree needs."""
    return [[line.point(index) for index in range(line.degree + 1)] for line in lines]


def _along(
    values: dict[tuple[int, ...], Fraction], axis: int, points: Sequence[int]
) -> dict[tuple[int, ...], Fraction]:
    """Replace the sizes of one axis by powers: the coefficients of the polynomial through the points."""
    inverse = sympy.Matrix([[point**power for power in range(len(points))] for point in points]).inv()
    weights = [[Fraction(int(entry.p), int(entry.q)) for entry in inverse.row(power)] for power in range(len(points))]
    others = {grid[:axis] + grid[axis + 1 :] for grid in values}
    return {
        (*rest[:axis], power, *rest[axis:]): sum(
            (weight * values[(*rest[:axis], point, *rest[axis:])] for weight, point in zip(row, points, strict=True)),
            Fraction(0),
        )
        for rest in others
        for power, row in enumerate(weights)
    }


def _held_out(lines: Sequence[Line]) -> Iterator[Extent]:
    """Lattice points beyond and between those that made the polynomial; the same ones every time."""
    chance = random.Random(0)
    seen: set[Extent] = set()
    while len(seen) < HELD_OUT:
        indices = [chance.randint(0, line.degree + 4) for line in lines]
        grid = _triple(line.point(index) for line, index in zip(lines, indices, strict=True))
        interpolated = all(index <= line.degree for line, index in zip(lines, indices, strict=True))
        if not interpolated and grid not in seen:
            seen.add(grid)
            yield grid


def _largest_excess(
    count: Count, coefficients: dict[Extent, Fraction], lines: Sequence[Line], announce: Announce
) -> float:
    """How far the count exceeds the polynomial at most, on points off the lattice."""
    chance = random.Random(1)
    if all(line.step == 1 for line in lines):
        return 0.0
    excesses = [0.0]
    grids = [_off_lattice(chance, lines) for _ in range(OFF_LATTICE)]
    announce(grids)
    for grid in grids:
        polynomial = _value(coefficients, grid)
        if polynomial:  # a cost of nothing has no excess
            with suppress(AxisError):  # nor has a clip that the model does not take
                excesses.append(float(count(grid) / polynomial) - 1)
    return max(excesses)


def _off_lattice(chance: random.Random, lines: Sequence[Line]) -> Extent:
    return _triple([chance.randint(line.start, line.start + 3 * line.step) for line in lines])


def _value(coefficients: dict[Extent, Fraction], grid: Extent) -> Fraction:
    terms = (
        value * prod(size**power for size, power in zip(grid, powers, strict=True))
        for powers, value in coefficients.items()
    )
    return sum(terms, Fraction(0))


def _expression(coefficients: dict[Extent, Fraction]) -> sympy.Expr:
    terms = (
        sympy.Rational(value.numerator, value.denominator) * prod(s**p for s, p in zip(SYMBOLS, powers, strict=True))
        for powers, value in coefficients.items()
    )
    return sympy.expand(sum(terms, sympy.Integer(0)))


def _at(base: Extent, axis: int, size: int) -> Extent:
    return _triple(size if index == axis else other for index, other in enumerate(base))


def _triple(values: Iterator[int] | Sequence[int]) -> Extent:
    t, h, w = values
    return t, h, w
