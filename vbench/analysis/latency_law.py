"""Whether measured time follows the derived formula: a non-negative fit, and local exponents with intervals.

Time is fitted as a sum of the formula's monomials, of the bytes that the operators move, and of a constant for each
call; all coefficients are non-negative, and each point is weighted by 1 / latency^2 so that short and long calls count
alike. Monomials that grow alike on the grids (T*H**2*W and T*H*W**2 where H = W) are one column, in the formula's own
proportions; bytes that the other columns make up (a linear pattern's) are none: no exponent depends on which it is. The
slope of log time between neighbouring grids of one line is then held against the formula's own slope there; where it
fits the whole law instead, bytes and calls included, the grids were too small to leave the bandwidth's limit. Grids are
timed in rounds, a process of each in turn, and a slope comes from the ratio within each round: a processor that is
slower for some minutes is so for both. A line says nothing where the leading monomial is a small part of the fitted
time, or where the design cannot tell the columns apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import nnls

from vbench.analysis.polynomial import SYMBOLS, Extent
from vbench.stats import median_interval

Word = Literal["consistent", "inconsistent", "undecided"]
SMALLEST_SHARE = 0.3  # of the fitted time that the axis's leading monomial must have
WORST_CONDITION = 1e4  # of the columns, each scaled to length 1
MOST_MACS = 6e10
PROPORTIONAL = 1.1  # columns whose ratio varies less than this cannot be told apart by noisy times
SLACK = 0.15  # by which a kernel's rate may drift with size: the interval is widened by it


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One grid: each round's median in seconds, the bytes that the operators move, and the process's peak."""

    grid: Extent
    latency_s: tuple[float, ...]
    moved_bytes: int
    peak_memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalExponent:
    """The growth of time between two grids of a line, against the formula's."""

    axis: str  # T, or HW
    smaller: Extent
    larger: Extent
    measured: float
    low: float
    high: float
    formula: float
    share: float  # of the axis's leading monomials in the fitted time at the larger grid
    verdict: Word
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPoint:
    """One grid with its median over processes, its interval and what the fit says, in seconds; the formula in MACs."""

    grid: Extent
    macs: float
    measured_s: float
    low_s: float
    high_s: float
    fitted_s: float
    peak_memory_bytes: int  # of the process


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyLaw:
    """The fit and what follows from it."""

    coefficients_s: dict[str, float]  # seconds for each unit of a term
    condition: float
    largest_error: float  # of the fit, as a fraction of a point's time
    exponents: tuple[LocalExponent, ...]
    points: tuple[FittedPoint, ...]
    verdict: Word
    reason: str


def latency_grids(formula: sympy.Expr, lattice: Extent, domain: Extent) -> list[Extent]:
    """Grids where time rules, where space rules, and between: on the lattice, and no longer than a second or so."""
    wanted = [
        *((t, 2, 2) for t in (256, 512, 1024, 2048, 4096)),
        *((2, side, side) for side in (16, 24, 32, 48, 64)),
        *((t, 14, 14) for t in (4, 8, 16, 32)),
        *((8, side, side) for side in (7, 21, 28)),
    ]
    grids = [_on_lattice(grid, lattice, domain) for grid in wanted]
    return [grid for grid in dict.fromkeys(grids) if _at(formula, grid) <= MOST_MACS]


def _on_lattice(grid: Extent, lattice: Extent, domain: Extent) -> Extent:
    t, h, w = (max(start, -(-size // step) * step) for size, step, start in zip(grid, lattice, domain, strict=True))
    return t, h, w


def latency_law(points: Sequence[Point], formula: sympy.Expr) -> LatencyLaw:
    """Fit `points` by the monomials of `formula`, moved bytes and a constant, and judge the local exponents.

    Raises:
        ValueError: fewer points than columns.
    """
    grids = [point.grid for point in points]
    terms = _terms(formula, grids)
    columns = {str(term): [_at(term, grid) for grid in grids] for term in terms}
    columns["moved bytes"] = [float(point.moved_bytes) for point in points]
    columns["call"] = [1.0] * len(points)
    if _is_made_of("moved bytes", columns):
        del columns["moved bytes"]
    if len(points) < len(columns):
        raise ValueError(f"{len(columns)} columns need as many grids; got {len(points)}")
    times = np.array([np.median(point.latency_s) for point in points])
    design = np.array(list(columns.values())).T
    weighted = design / times[:, None]
    scale = np.linalg.norm(weighted, axis=0)
    solution, _ = nnls(weighted / scale, np.ones(len(points)))
    parts = design * solution / scale
    condition = float(np.linalg.cond(weighted / scale))
    exponents = tuple(_exponents(points, formula, terms, parts, condition=condition))
    verdict, reason = _overall(exponents)
    return LatencyLaw(
        coefficients_s=dict(zip(columns, map(float, solution / scale), strict=True)),
        condition=condition,
        largest_error=float(np.abs(parts.sum(axis=1) / times - 1).max()),
        exponents=exponents,
        points=tuple(_fitted(point, formula, float(total)) for point, total in zip(points, parts.sum(1), strict=True)),
        verdict=verdict,
        reason=reason,
    )


def _fitted(point: Point, formula: sympy.Expr, fitted_s: float) -> FittedPoint:
    interval = median_interval(point.latency_s)
    return FittedPoint(
        grid=point.grid, macs=_at(formula, point.grid), measured_s=interval.estimate, low_s=interval.low,
        high_s=interval.high, fitted_s=fitted_s, peak_memory_bytes=point.peak_memory_bytes,
    )  # fmt: skip


def _exponents(
    points: Sequence[Point],
    formula: sympy.Expr,
    terms: Sequence[sympy.Expr],
    parts: NDArray[np.float64],
    *,
    condition: float,
) -> list[LocalExponent]:
    """The last step of every line of three grids or more: there the leading monomial has the most to say."""
    found = []
    for axis in ("T", "HW"):
        for line in _lines(points, axis):
            if len(line) < 3:
                continue
            smaller, larger = points[line[-2]], points[line[-1]]
            leading = _leading(terms, axis)
            fitted_s = parts[[line[-2], line[-1]]].sum(axis=1)
            share = float(parts[line[-1], leading].sum() / fitted_s[1])
            bent = float(np.log(fitted_s[1] / fitted_s[0]))
            found.append(_exponent(axis, (smaller, larger), formula, bent=bent, share=share, condition=condition))
    return found


def _exponent(
    axis: str, between: tuple[Point, Point], formula: sympy.Expr, *, bent: float, share: float, condition: float
) -> LocalExponent:
    """The exponent between two points; `bent` is the log ratio of their fitted times, bytes and calls included."""
    smaller, larger = between
    growth = np.log(_size(larger.grid, axis) / _size(smaller.grid, axis))
    ratios = [np.log(after / before) for before, after in zip(smaller.latency_s, larger.latency_s, strict=False)]
    measured = float(np.median(ratios) / growth)
    half = float(_half_width(ratios) / growth)
    expected = float(np.log(_at(formula, larger.grid) / _at(formula, smaller.grid)) / growth)
    verdict, reason = _judge(measured, half, expected, share, condition)
    if verdict == "inconsistent" and abs(measured - bent / growth) <= half + SLACK:
        verdict, reason = (
            "undecided",
            f"bytes moved and calls bend the growth to {measured:.2f}: the grids are too small",
        )
    return LocalExponent(
        axis=axis, smaller=smaller.grid, larger=larger.grid, measured=measured, low=measured - half,
        high=measured + half, formula=expected, share=share, verdict=verdict, reason=reason,
    )  # fmt: skip


def _half_width(values: Sequence[float]) -> float:
    """Of Student's 95 % interval; infinite for a single value."""
    if len(values) < 2:
        return float("inf")
    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def _judge(measured: float, half: float, expected: float, share: float, condition: float) -> tuple[Word, str]:
    if not np.isfinite(half):
        return "undecided", "one process has no interval"
    if condition > WORST_CONDITION:
        return "undecided", f"the grids cannot tell the terms apart (condition {condition:.0e})"
    if share < SMALLEST_SHARE:
        return "undecided", f"the leading monomial is {share:.0%} of the fitted time"
    if half > 2 * SLACK:
        return "undecided", f"the interval is wide: +-{half:.2f}"
    if abs(measured - expected) <= half + SLACK:
        return "consistent", ""
    return "inconsistent", f"time grows with exponent {measured:.2f}, the formula with {expected:.2f}"


def _overall(exponents: Sequence[LocalExponent]) -> tuple[Word, str]:
    """Of each axis the line that reaches furthest decides: inconsistent if one of them is, else consistent if one is.

    Shorter lines are shown, not counted. Their sequences are so short that a step along the axis changes the kernel's
    own speed: on a CPU torch's fused kernel works on 32 queries at a time, on 64 from 192 on and on 256 from 768 on
    (aten/src/ATen/native/cpu/FlashAttentionKernel.cpp), and under some sixty keys it waits for memory.
    """
    furthest = [
        max((part for part in exponents if part.axis == axis), key=lambda part: _size(part.larger, axis))
        for axis in dict.fromkeys(part.axis for part in exponents)
    ]
    for word in ("inconsistent", "consistent"):
        for exponent in furthest:
            if exponent.verdict == word:
                along = f"along {exponent.axis} up to {'x'.join(map(str, exponent.larger))}"
                return exponent.verdict, exponent.reason or along
    return "undecided", furthest[0].reason if furthest else "no line of three grids"


def _terms(formula: sympy.Expr, grids: Sequence[Extent]) -> list[sympy.Expr]:
    """The formula's monomials; those that grow alike on the grids as one sum, its first coefficient 1."""
    found: list[sympy.Expr] = []
    for powers, coefficient in sympy.Poly(formula, *SYMBOLS).terms():
        if not any(powers):
            continue
        monomial = coefficient * sympy.Mul(*(s**p for s, p in zip(SYMBOLS, powers, strict=True)))
        alike = [term for term in found if _are_proportional(term, monomial, grids)]
        found = [term for term in found if term not in alike] + [sympy.Add(*alike, monomial)]
    return [sympy.expand(term / sympy.Poly(term, *SYMBOLS).LC()) for term in found]


def _are_proportional(one: sympy.Expr, other: sympy.Expr, grids: Sequence[Extent]) -> bool:
    ratios = [_at(one, grid) / _at(other, grid) for grid in grids]
    return max(ratios) <= PROPORTIONAL * min(ratios)


def _is_made_of(name: str, columns: Mapping[str, Sequence[float]]) -> bool:
    """Whether a column is, to within what noise hides, a sum of the others with non-negative weights."""
    column = np.array(columns[name])
    others = np.array([values for other, values in columns.items() if other != name]).T
    if not column.all():
        return not column.any()
    others = others / column[:, None]
    solution, _ = nnls(others / (scale := np.linalg.norm(others, axis=0)), np.ones(len(column)))
    made = others @ (solution / scale)
    return bool(made.max() <= PROPORTIONAL * made.min())


def _lines(points: Sequence[Point], axis: str) -> list[list[int]]:
    """Indices of the points that differ along `axis` alone, from small to large."""
    held: dict[tuple[int, ...], list[int]] = {}
    for index, point in enumerate(points):
        t, h, w = point.grid
        key = (h, w) if axis == "T" else (t, h * 1000 // w)
        held.setdefault(key, []).append(index)
    return [sorted(line, key=lambda index: _size(points[index].grid, axis)) for line in held.values()]


def _leading(terms: Sequence[sympy.Expr], axis: str) -> list[int]:
    """The terms of the highest degree along the axis."""
    symbols = [SYMBOLS[0]] if axis == "T" else list(SYMBOLS[1:])
    degrees = [sympy.Poly(term, *symbols).total_degree() for term in terms]
    return [index for index, degree in enumerate(degrees) if degree == max(degrees)]


def _at(term: sympy.Expr, grid: Extent) -> float:
    return float(term.subs(dict(zip(SYMBOLS, grid, strict=True))))


def _size(grid: Extent, axis: str) -> int:
    return grid[0] if axis == "T" else grid[1] * grid[2]
