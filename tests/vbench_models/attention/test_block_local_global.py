from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.attention.block_local_global import (
    BlockLocalGlobalAttention,
    BlockLocalGlobalConfig,
    computed_pairs,
    core_macs,
    mixing_extra_macs,
    useful_pairs,
)
from vbench_models.layers import cache
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(4, 4, 6), TokenGrid(5, 3, 7), TokenGrid(1, 2, 2), TokenGrid(3, 7, 1)]
CONFIGS = [
    BlockLocalGlobalConfig(embed_dim=12, num_heads=4, block_size=size, num_global=count)
    for size, count in (((2, 2, 3), 1), ((2, 3, 2), 3), ((1, 1, 1), 2), ((8, 8, 8), 2))
]

every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.block_size}-{c.num_global}")


def blocks_mask(grid: TokenGrid, config: BlockLocalGlobalConfig) -> Tensor:
    places = product(range(grid.t), range(grid.h), range(grid.w))
    blocks = [[axis // size for axis, size in zip(place, config.block_size, strict=True)] for place in places]
    return torch.tensor([[query == key for key in blocks] for query in blocks])


def column(tokens: Tensor) -> Tensor:
    """A sequence `b heads n d` as a grid of n frames of one token."""
    return tokens[:, :, :, None, None]


@every_grid
@every_config
@pytest.mark.parametrize("cached", [1, 2**19])
def test_global_tokens_read_all_and_all_tokens_read_them_and_their_block(
    grid: TokenGrid,
    config: BlockLocalGlobalConfig,
    cached: int,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)
    q, k, v = qkv(grid)
    attention = BlockLocalGlobalAttention(config).double()
    learned = attention.global_tokens
    queries, keys, values = (x.expand(2, -1, -1, -1) for x in (learned.queries, learned.keys, learned.values))

    def joined(tokens: Tensor, extra: Tensor) -> Tensor:
        return column(torch.cat((tokens.flatten(2, 4), extra), dim=2))

    n, g = grid.tokens, config.num_global
    everything = torch.ones(g, n + g, dtype=torch.bool)
    read = dense_attention(column(queries), joined(k, keys), joined(v, values), everything)
    allowed = torch.cat((blocks_mask(grid, config), torch.ones(n, g, dtype=torch.bool)), dim=1)
    expected = dense_attention(q, joined(k, keys), joined(v, read[:, :, :, 0, 0]), allowed)

    torch.testing.assert_close(attention.core(q, k, v), expected)
    assert useful_pairs(grid, config) == computed_pairs(grid, config) == int(everything.sum() + allowed.sum())


def test_a_token_changes_with_tokens_outside_its_block_through_the_global_ones_alone(
    qkv: Callable[..., list[Tensor]],
) -> None:
    grid = TokenGrid(4, 4, 6)
    attention = BlockLocalGlobalAttention(CONFIGS[0]).double()
    q, k, v = qkv(grid)
    v.requires_grad_()
    attention.core(q, k, v)[:, :, 0, 0, 0].square().sum().backward()
    assert v.grad is not None
    assert (v.grad.abs().sum(-1) > 0).all()


@every_grid
@every_config
def test_the_scores_of_the_global_queries_are_all_that_stands_outside_core_and_projections(
    grid: TokenGrid, config: BlockLocalGlobalConfig
) -> None:
    """The reading costs q k^T, with parameters on one side, and a v, which is the core's, in equal parts."""
    with torch.device("meta"), torch.no_grad():
        reading = BlockLocalGlobalAttention(config).global_tokens
        tokens = torch.empty(1, 4, grid.tokens, 3)
        with FlopCounterMode(display=False) as counter:
            reading(tokens, tokens)
    assert reading.is_mixing_extra
    assert counter.get_total_flops() == 2 * (2 * mixing_extra_macs(grid, config))


@pytest.mark.parametrize("axis", ["t", "h", "w"])
def test_the_core_is_linear_along_every_axis_on_multiples_of_the_block(axis: str) -> None:
    """Equal steps cost equal amounts; the few products among global tokens stay."""
    config = BlockLocalGlobalConfig(embed_dim=48, num_heads=6)
    one = {"t": 8, "h": 14, "w": 14}
    costs = [core_macs(TokenGrid(**{**one, axis: times * one[axis]}), config) for times in (1, 2, 3)]
    assert costs[2] - costs[1] == costs[1] - costs[0]
    assert 2 * costs[0] - costs[1] == config.num_global**2 * config.embed_dim


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^block_size must be at least 1; got block_size=0$"):
        BlockLocalGlobalConfig(block_size=(4, 0, 7))
    with pytest.raises(ModelError, match=r"^num_global must be at least 1; got num_global=0$"):
        BlockLocalGlobalConfig(num_global=0)
