from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from vbench_models.attention import constrained
from vbench_models.attention.constrained import (
    ConstrainedAttention,
    ConstrainedConfig,
    computed_pairs,
    core_macs,
    useful_pairs,
)
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(2, 5, 7), TokenGrid(3, 4, 4), TokenGrid(1, 9, 3), TokenGrid(2, 1, 6), TokenGrid(2, 3, 1)]
CONFIGS = [
    ConstrainedConfig(embed_dim=12, num_heads=4, radii=radii, dilations=dilations)
    for radii, dilations in (
        ((3, 3, 4, 4), (1, 2, 1, 2)),
        ((1, 1), (1, 2)),
        ((0, 2, 1), (1, 3, 2)),
        ((1,), (1,)),
        ((1, 1, 1, 1, 1), (2, 2, 2, 2, 1)),
    )
]

every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.radii}-{c.dilations}")


def mask(grid: TokenGrid, config: ConstrainedConfig, head: int) -> Tensor:
    """All frames; rows and columns at most `radius` steps of `dilation` away."""
    kind = head % len(config.radii)
    offsets = [step * config.dilations[kind] for step in range(-config.radii[kind], config.radii[kind] + 1)]
    places = list(product(range(grid.t), range(grid.h), range(grid.w)))
    return torch.tensor([[b[1] - a[1] in offsets and b[2] - a[2] in offsets for b in places] for a in places])


@every_grid
@every_config
def test_each_head_equals_dense_attention_under_its_mask(
    grid: TokenGrid,
    config: ConstrainedConfig,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    out = ConstrainedAttention(config, grid).core(q, k, v)
    for head in range(4):
        one = slice(head, head + 1)
        expected = dense_attention(q[:, one], k[:, one], v[:, one], mask(grid, config, head))
        torch.testing.assert_close(out[:, one], expected)


@every_grid
@every_config
def test_useful_pairs_equal_those_of_all_heads_masks(grid: TokenGrid, config: ConstrainedConfig) -> None:
    assert useful_pairs(grid, config) == sum(int(mask(grid, config, head).sum()) for head in range(4))


@every_grid
@every_config
def test_computed_pairs_are_whole_squares_cut_to_the_frame(grid: TokenGrid, config: ConstrainedConfig) -> None:
    """Each query scores every offset that any place of its row or column has; padding fills up lines of columns."""
    pairs = 0
    for head in range(4):
        radius, dilation = (cycle[head % len(cycle)] for cycle in (config.radii, config.dilations))
        rows, columns = (
            [offset for offset in range(-radius * dilation, radius * dilation + 1, dilation) if abs(offset) < extent]
            for extent in (grid.h, grid.w)
        )
        width = grid.w if len(columns) == 1 else -(-grid.w // dilation) * dilation
        pairs += grid.t**2 * grid.h * len(rows) * width * len(columns)
    assert computed_pairs(grid, config) == pairs


def test_twelve_heads_repeat_the_official_cycle_of_four() -> None:
    kinds = ConstrainedConfig(embed_dim=768, num_heads=12).kinds
    assert kinds == [(3, 1, 3), (3, 2, 3), (4, 1, 3), (4, 2, 3)]


def test_on_a_large_frame_a_query_has_t_squares_of_keys() -> None:
    """(7^2 + 7^2 + 9^2 + 9^2) / 4 = 65 places on average, in each of t frames."""
    grid, config = TokenGrid(5, 32, 56), ConstrainedConfig(embed_dim=32, num_heads=4)
    assert core_macs(grid, config) == 2 * 32 * grid.tokens * grid.t * 65


def test_the_core_is_quadratic_in_time_and_linear_in_height_and_width() -> None:
    config = ConstrainedConfig(embed_dim=48, num_heads=6)
    one = core_macs(TokenGrid(4, 32, 56), config)
    assert core_macs(TokenGrid(12, 32, 56), config) == 9 * one
    assert core_macs(TokenGrid(4, 96, 56), config) == 3 * one
    assert core_macs(TokenGrid(4, 32, 168), config) == 3 * one


def test_of_the_keys_of_a_row_of_squares_a_place_is_stored_once_for_each_row_it_serves() -> None:
    rows, columns = constrained.spans(TokenGrid(2, 8, 8), 2, 1)
    x = torch.zeros(1, 1, 2, 8, 8, 3)
    keys = constrained.squares(x, rows, columns)
    assert keys.shape == (8, 8, 2 * 5 * 5, 3)
    assert keys.untyped_storage().nbytes() == x.element_size() * 8 * (8 + 4) * 5 * 2 * 3


def test_radii_and_dilations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match=r"^each radius needs one dilation; got radii=\(3, 3\), dilations=\(1,\)$"):
        ConstrainedConfig(radii=(3, 3), dilations=(1,))
    with pytest.raises(ModelError, match=r"^radii must be at least 0; got radii=-1$"):
        ConstrainedConfig(radii=(-1,), dilations=(1,))
    with pytest.raises(ModelError, match=r"^dilations must be at least 1; got dilations=0$"):
        ConstrainedConfig(radii=(1,), dilations=(0,))
