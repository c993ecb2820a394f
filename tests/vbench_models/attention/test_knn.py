from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vbench_models.attention import joint, knn
from vbench_models.attention.knn import (
    KnnAttention,
    KnnConfig,
    computed_pairs,
    core_macs,
    highest,
    useful_pairs,
)
from vbench_models.layers import cache
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 1)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("neighbors", [1, 3, 100])
@pytest.mark.parametrize("queries_at_once", [256, 7])
def test_each_head_equals_dense_attention_under_the_mask_of_its_highest_scores(
    grid: TokenGrid,
    neighbors: int,
    queries_at_once: int,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knn, "QUERIES_AT_ONCE", queries_at_once)
    q, k, v = qkv(grid)
    out = KnnAttention(KnnConfig(embed_dim=12, num_heads=4, neighbors=neighbors)).core(q, k, v)
    scores = q.flatten(2, 4) @ k.flatten(2, 4).mT
    rank = scores.argsort(-1, descending=True).argsort(-1)
    torch.testing.assert_close(out, dense_attention(q, k, v, rank < neighbors))


@pytest.mark.parametrize("cached", [1, 100])
def test_some_heads_at_a_time_are_all_heads(
    cached: int, qkv: Callable[..., list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v = qkv(GRIDS[0])
    attention = KnnAttention(KnnConfig(embed_dim=12, num_heads=4, neighbors=3))
    one_by_one = [attention.core(*(x[:, head : head + 1] for x in (q, k, v))) for head in range(4)]
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)
    torch.testing.assert_close(attention.core(q, k, v), torch.cat(one_by_one, dim=1))


@pytest.mark.parametrize("kept", [1, 2, 5, 10])
@pytest.mark.parametrize("scores", [10, 11, 31, 40, 47, 64, 97, 1000])
def test_the_highest_scores_are_the_first_of_all_sorted_and_lie_where_they_are_said_to(scores: int, kept: int) -> None:
    generator = torch.Generator().manual_seed(scores)
    rows = torch.stack([torch.randperm(scores, generator=generator) for _ in range(12)]).double().reshape(3, 4, scores)
    best, places = highest(rows, kept)
    assert torch.equal(best.sort(-1).values, torch.arange(scores - kept, scores).double().expand(3, 4, kept))
    assert torch.equal(rows.gather(-1, places), best)


@pytest.mark.parametrize("scores", [31, 47, 100])
def test_of_equal_scores_as_many_are_kept_and_none_twice(scores: int) -> None:
    rows = torch.randint(0, 4, (3, 4, scores), generator=torch.Generator().manual_seed(scores)).double()
    best, places = highest(rows, 5)
    assert torch.equal(best.sort(-1).values, rows.sort(-1).values[..., -5:])
    assert all(len(set(places[i, j].tolist())) == 5 for i in range(3) for j in range(4))


def test_with_one_neighbor_the_nearest_value_is_returned_as_it_is(qkv: Callable[..., list[Tensor]]) -> None:
    q, k, v = qkv(TokenGrid(2, 2, 2), batch=1, heads=1)
    nearest = (q.flatten(0, 4) @ k.flatten(0, 4).T).argmax(-1)
    out = KnnAttention(KnnConfig(embed_dim=3, num_heads=1, neighbors=1)).core(q, k, v)
    torch.testing.assert_close(out.flatten(0, 4), v.flatten(0, 4)[nearest])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_clip_with_no_more_tokens_than_neighbors_gets_joint_attention(
    grid: TokenGrid, qkv: Callable[..., list[Tensor]]
) -> None:
    q, k, v = qkv(grid)
    expected = joint.build(grid, 12, 4).core(q, k, v)
    torch.testing.assert_close(knn.build(grid, 12, 4).core(q, k, v), expected)


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(16, 28, 28), TokenGrid(4, 7, 9)], ids=str)
def test_at_least_half_of_joint_attention_is_left(grid: TokenGrid) -> None:
    """n^2 + n k products of 2 n^2."""
    config = KnnConfig(embed_dim=48, num_heads=6)
    left = Fraction(core_macs(grid, config), joint.core_macs(grid, config))
    assert left == Fraction(1, 2) + Fraction(100, 2 * grid.tokens)


def test_pairs_are_all_scores_and_the_kept_ones() -> None:
    config = KnnConfig(embed_dim=12, num_heads=4, neighbors=7)
    assert (computed_pairs(TokenGrid(3, 2, 5), config), useful_pairs(TokenGrid(3, 2, 5), config)) == (30 * 30, 30 * 7)
    assert useful_pairs(TokenGrid(1, 2, 2), config) == 4 * 4


def test_no_neighbor_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^neighbors must be at least 1; got neighbors=0$"):
        KnnConfig(neighbors=0)
