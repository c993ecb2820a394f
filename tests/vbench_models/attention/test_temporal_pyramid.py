from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vbench_models.attention.temporal_pyramid import TemporalPyramidAttention, TemporalPyramidConfig, build, macs
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(8, 2, 3), TokenGrid(7, 2, 2), TokenGrid(5, 3, 1), TokenGrid(3, 2, 2), TokenGrid(1, 2, 3)]
CONFIG = TemporalPyramidConfig(embed_dim=12, num_heads=4)
every_stride = pytest.mark.parametrize("stride", [1, 2, 3, 4])
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


def runs(frames: int, stride: int) -> Tensor:
    """The averaging matrix, runs x frames, written out row by row."""
    rows = []
    for start in range(0, frames, stride):
        inside = [start <= frame < start + stride for frame in range(frames)]
        rows.append([float(here) / sum(inside) for here in inside])
    return torch.tensor(rows, dtype=torch.float64)


@every_stride
@every_grid
def test_core_equals_dense_attention_among_averages_spread_over_their_frames(
    grid: TokenGrid, stride: int, qkv: Callable[..., list[Tensor]]
) -> None:
    average = runs(grid.t, stride)
    q, k, v = qkv(grid)
    coarse = [torch.einsum("rt,bmthwd->bmrhwd", average, x).flatten(2, 4) for x in (q, k, v)]
    out = (coarse[0] @ coarse[1].mT / 3**0.5).softmax(-1) @ coarse[2]
    out = out.reshape(2, 4, len(average), grid.h, grid.w, 3)
    expected = torch.einsum("rt,bmrhwd->bmthwd", (average > 0).double(), out)
    pyramid = TemporalPyramidAttention(replace(CONFIG, temporal_stride=stride))
    torch.testing.assert_close(pyramid.core(q, k, v), expected)


@every_stride
@every_grid
def test_averaging_before_the_projections_equals_averaging_after_them(grid: TokenGrid, stride: int) -> None:
    torch.manual_seed(0)
    pyramid = TemporalPyramidAttention(replace(CONFIG, temporal_stride=stride)).double()
    x = torch.randn(2, grid.t, grid.h, grid.w, 12, dtype=torch.float64)
    q, k, v = pyramid.qkv(x).unflatten(-1, (3, 4, 3)).permute(4, 0, 5, 1, 2, 3, 6)
    out = pyramid.core(q, k, v).permute(0, 2, 3, 4, 1, 5).flatten(4)
    torch.testing.assert_close(pyramid(x), pyramid.proj(out))


def test_layers_go_from_coarse_to_fine() -> None:
    strides = [build(GRIDS[0], 12, 4, layer).config.temporal_stride for layer in range(12)]
    assert strides == [4] * 4 + [2] * 4 + [1] * 4


@pytest.mark.parametrize("layer", [0, 4, 8])
@every_grid
def test_macs_equal_the_count_in_every_layer(grid: TokenGrid, layer: int, count_macs: Callable[..., int]) -> None:
    pyramid = build(grid, 12, 4, layer)
    assert macs(grid, pyramid.config) == count_macs(pyramid, 1, grid.t, grid.h, grid.w, 12)


def test_a_stride_of_zero_is_refused() -> None:
    with pytest.raises(ModelError, match="got temporal_stride=0"):
        replace(CONFIG, temporal_stride=0)
