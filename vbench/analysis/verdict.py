"""A claimed cost formula held against the derived one, for all T, H, W >= 1.

For polynomials with non-negative coefficients D = O(C) if and only if every exponent vector of D lies in the Newton
hull of C's minus the positive orthant: some convex combination of C's exponent vectors is at least as large in every
axis. A logarithm in the claim grows without bound and slower than any power.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import sympy
from scipy.optimize import linprog

from vbench.analysis.polynomial import SYMBOLS, H, T, W
from vbench.errors import AxisError

Word = Literal["exact", "same order", "over-states", "under-states", "not polynomial"]
Powers = tuple[int, ...]

DIRECTIONS = {"T": (1, 0, 0), "H": (0, 1, 0), "W": (0, 0, 1), "H and W": (0, 1, 1), "T, H and W": (1, 1, 1)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word and why."""

    word: Word
    reason: str


def parse_claim(text: str) -> sympy.Expr:
    """The claimed formula as an expression in T, H, W.

    Raises:
        AxisError: SymPy cannot parse it, or it has other symbols; `^` is taken as a power.
    """
    letters = {letter: sympy.Symbol(letter) for letter in string.ascii_letters}  # SymPy has meanings for E, I, N, ...
    names = letters | {str(symbol): symbol for symbol in SYMBOLS} | {"log": sympy.log}
    try:
        claim = sympy.sympify(text.replace("^", "**"), locals=names)
    except (sympy.SympifyError, SyntaxError, TypeError, AttributeError, ValueError):
        raise AxisError(f"cannot parse the claim {text!r}; wanted a formula in T, H, W such as T*(H*W)**2") from None
    if not isinstance(claim, sympy.Expr):
        raise AxisError(f"the claim {text!r} is no formula; wanted one in T, H, W such as T*(H*W)**2")
    strange = sorted(str(symbol) for symbol in claim.free_symbols - set(SYMBOLS))
    if strange:
        raise AxisError(f"the claim {text!r} has symbols {', '.join(strange)}; only T, H and W have a meaning")
    if not claim.free_symbols:
        raise AxisError(f"the claim {text!r} does not depend on T, H or W")
    return claim


def judge(derived: sympy.Expr | None, claim: sympy.Expr, *, cost: str = "the core") -> Verdict:
    """The verdict on `claim` against the derived cost, in words `cost`; None: there is no polynomial."""
    if derived is None:
        return Verdict("not polynomial", "the count is no polynomial in T, H, W on any lattice that was tried")
    ratio = sympy.simplify(derived / claim)
    if not ratio.free_symbols and ratio != 0:
        return Verdict("exact", f"{cost} is {ratio} times the claim")
    bound = _polynomial_part(claim)
    if bound is None:
        return Verdict("not polynomial", "the claim is neither a polynomial nor one times a power of a logarithm")
    has_log = bound != sympy.expand(claim)
    if not _is_bounded(derived, bound):
        return Verdict("under-states", _counter_example(derived, claim, f"{cost} over the claim"))
    if has_log or not _is_bounded(bound, derived):
        return Verdict("over-states", _counter_example(claim, derived, f"the claim over {cost}"))
    return Verdict("same order", "each is at most a constant times the other, for all T, H, W >= 1")


def dominant_terms(derived: sympy.Expr) -> list[sympy.Expr]:
    """The monomials that no other one outgrows everywhere: the corners of the Newton hull."""
    terms = _powers(derived)
    corners = [powers for powers in terms if not _covers([other for other in terms if other != powers], powers)]
    poly = sympy.Poly(derived, *SYMBOLS)
    return [poly.coeff_monomial(powers) * _monomial(powers) for powers in sorted(corners, reverse=True)]


def _polynomial_part(claim: sympy.Expr) -> sympy.Expr | None:
    """The claim without its logarithmic factors; None where what is left is no polynomial."""
    logs = {log: sympy.Integer(1) for log in claim.atoms(sympy.log)}
    part = sympy.expand(claim.subs(logs))
    return part if part.is_polynomial(*SYMBOLS) else None


def _is_bounded(cost: sympy.Expr, bound: sympy.Expr) -> bool:
    """Whether cost / bound stays below a constant for all T, H, W >= 1."""
    corners = _powers(bound)
    return all(_covers(corners, powers) for powers in _powers(cost))


def _powers(expression: sympy.Expr) -> list[Powers]:
    return [powers for powers, coefficient in sympy.Poly(expression, *SYMBOLS).terms() if coefficient]


def _covers(corners: Sequence[Powers], powers: Powers) -> bool:
    """Whether some convex combination of the corners is at least `powers` in every axis."""
    if not corners:
        return False
    weights = len(corners)
    answer = linprog(
        c=np.zeros(weights),
        A_ub=-np.array(corners, dtype=float).T,
        b_ub=-np.array(powers, dtype=float),
        A_eq=np.ones((1, weights)),
        b_eq=[1.0],
        bounds=[(0, None)] * weights,
    )
    return bool(answer.status == 0)


def _counter_example(above: sympy.Expr, below: sympy.Expr, of: str) -> str:
    """The axis along which above / below grows without bound, and how far it gets."""
    if below == 0:
        return "there is nothing that costs anything"
    x = sympy.Symbol("x", positive=True)
    ratio = above / below
    for axis, direction in DIRECTIONS.items():
        along = ratio.subs(
            {symbol: x**power for symbol, power in zip(SYMBOLS, direction, strict=True)}, simultaneous=True
        )
        if sympy.limit(along, x, sympy.oo) == sympy.oo:
            near, far = (float(along.subs(x, size)) for size in (10, 1000))
            return f"{of} grows without bound along {axis}: {near:.3g} at 10, {far:.3g} at 1,000, the others at 1"
    return f"{of} is unbounded where T, H and W grow together at different speeds"


def _monomial(powers: Powers) -> sympy.Expr:
    t, h, w = powers
    return T**t * H**h * W**w
