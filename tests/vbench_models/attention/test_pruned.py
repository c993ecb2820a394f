from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vbench_models.attention.pruned import PrunedAttention, PrunedConfig, build
from vbench_models.layers import cache
from vbench_models.video import ModelError, TokenGrid

CONFIG = PrunedConfig(embed_dim=12, num_heads=4, block_size=6, keep=0.4)
DIVIDED, PADDED, ONE_BLOCK = TokenGrid(3, 2, 5), TokenGrid(4, 3, 3), TokenGrid(1, 2, 2)
every_grid = pytest.mark.parametrize("grid", [DIVIDED, PADDED, TokenGrid(2, 5, 2), ONE_BLOCK], ids=str)


def attention(config: PrunedConfig = CONFIG) -> PrunedAttention:
    torch.manual_seed(0)
    return PrunedAttention(config).double()


@every_grid
def test_pruned_attention_equals_dense_attention_under_the_mask_of_what_was_kept(
    grid: TokenGrid, dense_attention: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    pruned, (q, k, v) = attention(), qkv(grid)
    block = torch.arange(grid.tokens) // 6
    kept = pruned.kept(q, k)
    of_block = torch.zeros(2, 4, block.max() + 1, block.max() + 1, dtype=torch.bool).scatter(3, kept, value=True)
    expected = dense_attention(q, k, v, of_block[:, :, block][..., block])
    torch.testing.assert_close(pruned.core(q, k, v), expected)


@every_grid
def test_blocks_of_queries_one_at_a_time_attend_to_what_each_kept(
    grid: TokenGrid, qkv: Callable[..., list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", 1)
    pruned, (q, k, v) = attention(), qkv(grid)
    kept, out = pruned.kept(q, k), pruned.core(q, k, v).flatten(2, 4)
    for clip, head in [(0, 0), (1, 3)]:
        queries, keys, values = (x[clip, head].flatten(0, 2).split(6) for x in (q, k, v))
        for i, of_block in enumerate(queries):
            chosen_keys, chosen_values = (torch.cat([x[j] for j in kept[clip, head, i]]) for x in (keys, values))
            expected = (of_block @ chosen_keys.T / 3**0.5).softmax(-1) @ chosen_values
            torch.testing.assert_close(out[clip, head, 6 * i : 6 * i + len(of_block)], expected)


@every_grid
def test_the_kept_blocks_are_those_that_the_additive_gate_ranks_highest(
    grid: TokenGrid, qkv: Callable[..., list[Tensor]]
) -> None:
    pruned, (q, k, _) = attention(), qkv(grid)
    means = [torch.stack([part.mean(2) for part in x.flatten(2, 4).split(6, dim=2)], dim=2) for x in (q, k)]
    gate = pruned.score
    for clip, head in [(0, 0), (1, 3)]:
        for i, of_query in enumerate(means[0][clip, head]):
            scores = [
                (torch.tanh(of_query @ gate.query + of_key @ gate.key) @ gate.out).item()
                for of_key in means[1][clip, head]
            ]
            kept = pruned.kept(q, k)[clip, head, i].tolist()
            assert len(kept) == max(1, round(0.4 * len(scores)))
            assert sorted(kept) == sorted(sorted(range(len(scores)), key=lambda j: -scores[j])[: len(kept)])


def test_keeping_every_block_is_joint_attention(
    dense_attention: Callable[..., Tensor], same: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    q, k, v = qkv(PADDED)
    expected = dense_attention(q, k, v, same(PADDED, ""))
    torch.testing.assert_close(attention(replace(CONFIG, keep=1.0)).core(q, k, v), expected)


def test_the_gate_learns_from_its_scores(qkv: Callable[..., list[Tensor]]) -> None:
    pruned, (q, k, _) = attention(), qkv(DIVIDED)
    pruned.scores(q, k).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pruned.score.parameters())


def test_a_fraction_above_one_is_refused() -> None:
    with pytest.raises(ModelError, match=r"got keep=1\.5$"):
        replace(build(DIVIDED, 12, 4).config, keep=1.5)
