from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from vbench_models.attention.strided import (
    StridedAttention,
    StridedConfig,
    computed_pairs,
    core_macs,
    useful_pairs,
)
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(7, 2, 3), TokenGrid(4, 3, 1), TokenGrid(1, 2, 2), TokenGrid(9, 1, 2)]


def mask(grid: TokenGrid, stride: int) -> Tensor:
    """The query's position, in frames 0, stride, 2 * stride, ..."""
    places = list(product(range(grid.t), range(grid.h), range(grid.w)))
    return torch.tensor([[a[1:] == b[1:] and b[0] % stride == 0 for b in places] for a in places])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3, 100])
def test_strided_attention_equals_dense_attention_under_its_mask(
    grid: TokenGrid, stride: int, dense_attention: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    q, k, v = qkv(grid)
    attention = StridedAttention(StridedConfig(embed_dim=12, num_heads=4, stride=stride))
    torch.testing.assert_close(attention.core(q, k, v), dense_attention(q, k, v, mask(grid, stride)))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3, 100])
def test_pairs_equal_those_of_the_mask(grid: TokenGrid, stride: int) -> None:
    config = StridedConfig(embed_dim=12, num_heads=4, stride=stride)
    pairs = int(mask(grid, stride).sum())
    assert computed_pairs(grid, config) == useful_pairs(grid, config) == pairs


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(9, 13, 7), TokenGrid(3, 5, 4)], ids=str)
def test_the_core_is_the_claimed_number_of_pairs_times_two_products(grid: TokenGrid) -> None:
    """T * H*W * ceil(T / k) pairs, each of d multiply-adds in q k^T and in a v, in every head."""
    config = StridedConfig(embed_dim=48, num_heads=6)
    assert core_macs(grid, config) == 2 * 48 * grid.t * (grid.h * grid.w) * -(-grid.t // config.stride)


def test_doubling_the_clip_quadruples_the_core() -> None:
    config = StridedConfig(embed_dim=48, num_heads=6)
    assert core_macs(TokenGrid(32, 7, 7), config) == 4 * core_macs(TokenGrid(16, 7, 7), config)


def test_a_stride_below_one_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^stride must be at least 1; got stride=0$"):
        StridedConfig(stride=0)
