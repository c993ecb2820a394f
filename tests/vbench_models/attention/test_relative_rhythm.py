from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vbench_models.attention import divided, relative_rhythm
from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import TokenGrid

GRIDS = [TokenGrid(5, 2, 3), TokenGrid(1, 2, 2), TokenGrid(4, 3, 1)]


def dense_bias(rhythm: Tensor, grid: TokenGrid) -> Tensor:
    """Minus infinity off the query's position; on it the number for the distance of the two frames, heads x n x n."""
    places = [(t, h, w) for t in range(grid.t) for h in range(grid.h) for w in range(grid.w)]
    bias = torch.full((len(rhythm), len(places), len(places)), -torch.inf, dtype=torch.float64)
    for i, query in enumerate(places):
        for j, key in enumerate(places):
            if query[1:] == key[1:]:
                bias[:, i, j] = rhythm[:, query[0] - key[0] + grid.t - 1]
    return bias


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_core_equals_dense_attention_under_its_mask_and_bias(grid: TokenGrid, qkv: Callable[..., list[Tensor]]) -> None:
    attention = relative_rhythm.build(grid, 12, 4).double()
    nn.init.normal_(attention.rhythm)
    q, k, v = qkv(grid)
    scores = q.flatten(2, 4) @ k.flatten(2, 4).mT / q.shape[-1] ** 0.5 + dense_bias(attention.rhythm, grid)
    expected = (scores.softmax(-1) @ v.flatten(2, 4)).reshape(q.shape)
    torch.testing.assert_close(attention.core(q, k, v), expected)


def test_without_a_bias_it_is_temporal_attention(
    same: Callable[..., Tensor], dense_attention: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    grid = TokenGrid(5, 2, 3)
    attention = relative_rhythm.build(grid, 12, 4)
    nn.init.zeros_(attention.rhythm)
    q, k, v = qkv(grid)
    torch.testing.assert_close(attention.core(q, k, v), dense_attention(q, k, v, same(grid, "hw")))


def test_a_bias_on_one_distance_alone_lets_each_frame_see_the_one_at_that_distance(
    qkv: Callable[..., list[Tensor]],
) -> None:
    grid = TokenGrid(6, 2, 2)
    attention = relative_rhythm.build(grid, 12, 4).double()
    nn.init.zeros_(attention.rhythm)
    with torch.no_grad():
        attention.rhythm[:, 2 + grid.t - 1] = 1e4  # a query two frames after its key
    q, k, v = qkv(grid)
    torch.testing.assert_close(attention.core(q, k, v)[:, :, 2:], v[:, :, :-2])


def test_the_input_gets_its_frames_position_before_the_projections() -> None:
    grid = TokenGrid(5, 2, 3)
    attention = relative_rhythm.build(grid, 12, 4).double()
    x = torch.randn(2, 5, 2, 3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifted = x + attention.positions.detach()
    expected = attention(x)
    nn.init.zeros_(attention.positions)
    torch.testing.assert_close(attention(shifted), expected)
    assert not torch.allclose(attention(x), expected)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_pairs_equal_those_of_temporal_attention(grid: TokenGrid, same: Callable[..., Tensor]) -> None:
    config = AttentionConfig(embed_dim=12, num_heads=4)
    pairs = int(same(grid, "hw").sum())
    assert relative_rhythm.computed_pairs(grid, config) == relative_rhythm.useful_pairs(grid, config) == pairs


def test_the_core_costs_what_divided_attention_adds_to_space() -> None:
    grid, config = TokenGrid(8, 13, 9), AttentionConfig(embed_dim=48, num_heads=6)
    space = 2 * grid.tokens * (13 * 9) * 48
    assert relative_rhythm.core_macs(grid, config) == divided.core_macs(grid, config) - space
