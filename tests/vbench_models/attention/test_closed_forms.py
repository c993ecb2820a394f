"""The price beside each pattern against torch's counter, and its growth against the catalog's claim."""

from collections.abc import Callable
from fractions import Fraction
from types import ModuleType

import pytest
import sympy
import torch

from vbench_models import load
from vbench_models.attention import axial, divided, factorized_dot_product, joint, space
from vbench_models.catalog import PATTERNS
from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import TokenGrid

FILES: dict[str, ModuleType] = {
    "space": space,
    "joint": joint,
    "divided": divided,
    "divided_space_first": divided,
    "axial": axial,
    "factorized_dot_product": factorized_dot_product,
}
GRIDS = [
    TokenGrid(1, 1, 1),
    TokenGrid(1, 7, 7),
    TokenGrid(2, 3, 5),
    TokenGrid(3, 1, 4),
    TokenGrid(5, 4, 1),
    TokenGrid(7, 5, 3),
    TokenGrid(4, 8, 8),
    TokenGrid(8, 14, 14),
    TokenGrid(8, 13, 9),
    TokenGrid(16, 14, 10),
    TokenGrid(9, 7, 21),
    TokenGrid(32, 2, 2),
    TokenGrid(11, 11, 11),
]
DIM, HEADS = 48, 6
PROJECTIONS = {  # c^2 a token: q, k, v and out of each step, and what stands between two steps
    "space": 4,
    "joint": 4,
    "divided": 4 + 1 + 4,
    "divided_space_first": 4 + 1 + 4,
    "axial": 4 + 1 + 4 + 1 + 4,
    "factorized_dot_product": 4,
}

every_pattern = pytest.mark.parametrize("name", FILES)
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


@every_grid
@every_pattern
def test_macs_equal_the_count_on_meta(name: str, grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    pattern = load(name)(grid, DIM, HEADS)
    assert FILES[name].macs(grid, pattern.config) == count_macs(pattern, 1, grid.t, grid.h, grid.w, DIM)


@every_grid
@every_pattern
def test_core_macs_equal_the_count_of_the_bare_core_on_meta(
    name: str, grid: TokenGrid, count_macs: Callable[..., int]
) -> None:
    core = load(f"core:{name}")(grid, DIM, HEADS)
    assert FILES[name].core_macs(grid, core.pattern.config) == count_macs(core, 1, grid.t, grid.h, grid.w, 3 * DIM)


@every_pattern
def test_core_macs_are_a_constant_times_the_claimed_formula(name: str) -> None:
    """The ratio is the same on every grid, so the core grows along T, H and W exactly as claimed."""
    config = AttentionConfig(embed_dim=DIM, num_heads=HEADS)
    claimed = sympy.sympify(PATTERNS[name].claimed)

    def ratio(grid: TokenGrid) -> Fraction:
        return Fraction(FILES[name].core_macs(grid, config), int(claimed.subs({"T": grid.t, "H": grid.h, "W": grid.w})))

    assert len({ratio(grid) for grid in GRIDS}) == 1


@every_pattern
def test_outside_the_core_stand_the_projections(name: str) -> None:
    grid, config = TokenGrid(8, 13, 9), AttentionConfig(embed_dim=DIM, num_heads=HEADS)
    outside = FILES[name].macs(grid, config) - FILES[name].core_macs(grid, config)
    assert outside == PROJECTIONS[name] * (8 * 13 * 9) * DIM**2


@every_pattern
def test_a_batch_costs_its_clips(name: str, count_macs: Callable[..., int]) -> None:
    grid = TokenGrid(2, 3, 5)
    pattern = load(name)(grid, DIM, HEADS)
    assert count_macs(pattern, 3, 2, 3, 5, DIM) == 3 * FILES[name].macs(grid, pattern.config)


@every_pattern
def test_the_update_has_the_shape_of_what_it_updates(name: str) -> None:
    x = torch.randn(2, 3, 4, 5, DIM, generator=torch.Generator().manual_seed(0))
    assert load(name)(TokenGrid(3, 4, 5), DIM, HEADS)(x).shape == x.shape
