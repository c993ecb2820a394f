"""Derivation from a black box: planted costs are found exactly on their lattice, and what is none is said to be."""

import math
from collections.abc import Callable

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from vbench.analysis.polynomial import SYMBOLS, Derived, Line, derive, line_of
from vbench.errors import AxisError

T, H, W = SYMBOLS
Grid = tuple[int, int, int]


def counting(expression: sympy.Expr) -> Callable[[Grid], int]:
    function = sympy.lambdify(SYMBOLS, expression, modules="math")
    return lambda grid: int(function(*grid))


def ceil(a: int, b: int) -> int:
    return -(-a // b)


coefficients = st.integers(0, 10**6)


@settings(deadline=None, max_examples=25)
@given(st.lists(coefficients, min_size=5, max_size=5))
def test_a_planted_polynomial_is_found_to_the_last_coefficient(weights: list[int]) -> None:
    terms = (T**2 * H**2 * W**2, T * H**2 * W**2, T**2 * H * W, T * H * W, sympy.Integer(1))
    planted = sum((weight * term for weight, term in zip(weights, terms, strict=True)), sympy.Integer(0))
    derived = derive(counting(planted))
    assert derived is not None
    assert sympy.expand(derived.expression - planted) == 0
    assert (derived.lattice, derived.domain, derived.held_out_checked) == ((1, 1, 1), (1, 1, 1), 8)


@pytest.mark.parametrize("step", [2, 3, 4, 7, 8])
def test_padding_to_a_multiple_shows_as_the_lattice_s_step_and_as_excess(step: int) -> None:
    derived = derive(lambda grid: step * ceil(grid[0], step) * grid[1] * grid[2])
    assert derived is not None
    assert derived.lattice == (step, 1, 1)
    assert derived.expression == T * H * W
    assert 0 < derived.largest_excess < step


def test_a_clipped_window_is_not_taken_for_the_law() -> None:
    def windows(grid: Grid) -> int:
        return math.prod(ceil(extent, min(extent, 7)) * min(extent, 7) ** 2 for extent in grid)

    derived = derive(windows)
    assert derived is not None
    assert derived.expression == 7**3 * T * H * W
    assert derived.domain == (7, 7, 7)


def test_a_law_that_holds_from_some_number_of_tokens_on_names_its_domain() -> None:
    derived = derive(lambda g: math.prod(g) * min(math.prod(g), 30))
    assert derived is not None
    assert derived.expression == 30 * T * H * W
    assert math.prod(derived.domain) >= 30


@pytest.mark.parametrize(
    "cost",
    [
        lambda g: math.prod(g) * math.ceil(math.log2(math.prod(g) + 1)),
        lambda g: math.prod(g) * math.isqrt(math.prod(g)),
        lambda g: hash(g) % 1000,
        lambda g: g[0] ** 4 * g[1] * g[2],
    ],
    ids=["n log n", "n sqrt n", "noise", "degree 4"],
)
def test_what_is_no_polynomial_is_said_to_be_none(cost: Callable[[Grid], int]) -> None:
    assert derive(cost) is None


def test_a_hint_is_believed_only_if_the_held_out_points_agree() -> None:
    def square(grid: Grid) -> int:
        return grid[0] ** 2 * grid[1] * grid[2]

    true, false = Line(2, 2, 2), Line(2, 2, 1)
    flat = Line(1, 1, 1)
    assert isinstance(derive(square, [true, flat, flat]), Derived)
    assert derive(square, [false, flat, flat]) is None


def test_sizes_that_a_model_refuses_are_not_on_a_line() -> None:
    def picky(grid: Grid) -> int:
        if grid[0] < 4:
            raise AxisError("too short")
        return math.prod(grid)

    assert line_of(picky, 0, 1, 1, (8, 8, 8)) is None
    assert line_of(picky, 0, 1, 4, (8, 8, 8)) == Line(1, 4, 1)


def test_a_cost_of_nothing_is_the_polynomial_nought_on_any_lattice() -> None:
    derived = derive(lambda _: 0, [Line(2, 2, 0), Line(32, 32, 0), Line(32, 32, 0)])
    assert derived is not None
    assert (derived.expression, derived.largest_excess) == (0, 0.0)


def test_sizes_off_the_lattice_that_a_model_refuses_have_no_excess() -> None:
    def picky(grid: Grid) -> int:
        if grid[0] % 4:
            raise AxisError("no multiple of 4")
        return math.prod(grid)

    derived = derive(picky, [Line(4, 4, 1), Line(1, 1, 1), Line(1, 1, 1)])
    assert derived is not None
    assert (derived.lattice, derived.largest_excess) == ((4, 1, 1), 0.0)


@pytest.mark.parametrize("hint", [None, [Line(4, 4, 1), Line(1, 1, 2), Line(1, 1, 2)]])
def test_every_grid_that_makes_or_bears_out_a_polynomial_was_announced(hint: list[Line] | None) -> None:
    announced: set[Grid] = set()
    counted: list[Grid] = []

    def cost(grid: Grid) -> int:
        counted.append(grid)
        t, h, w = grid
        return -(-t // 4) * 4 * h * w * (h + w)

    assert derive(cost, hint, announced.update)
    unannounced = [grid for grid in counted if grid not in announced]
    assert bool(unannounced) == (hint is None)  # the search for the lattice cannot know them ahead
    assert announced <= set(counted)
