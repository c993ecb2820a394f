from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from vbench_models.relevance.temporal_coherence import (
    CoherenceConfig,
    SlowFeatures,
    TemporalCoherence,
    build,
    macs,
    mean_change,
)
from vbench_models.video import TokenGrid


@pytest.fixture
def coherence(bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]) -> TemporalCoherence:
    """Evaluated after it has seen some video, so that mean and variance of the features are known."""
    module = TemporalCoherence(CoherenceConfig(embed_dim=192))
    with torch.no_grad():
        for start in range(0, 96, 16):
            module(tokens(torch.cat((bikes, bunny[:, :, :112]))[:, :, start : start + 16]))
    return module.eval()


@pytest.mark.parametrize("training", [False, True])
def test_both_penalties_are_zero_on_a_static_clip(
    training: bool, coherence: TemporalCoherence, bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    out = coherence.train(training)(tokens(bikes[:, :, :1].expand(-1, -1, 8, -1, -1)))
    assert out.attention_change.item() == pytest.approx(0, abs=1e-10)
    assert out.slowness.item() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("start", [0, 31, 84])
def test_both_penalties_rise_with_the_amount_of_change(
    start: int, coherence: TemporalCoherence, bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    """From a still of the first frame to the real clip, and beyond."""
    x = tokens(bikes[:, :, start : start + 16])
    penalties = [coherence(x[:, :1] + amount * (x - x[:, :1])) for amount in (0.0, 0.25, 0.5, 1.0, 1.5)]
    for before, after in pairwise(penalties):
        assert before.attention_change < after.attention_change
        assert before.slowness < after.slowness


def test_a_video_played_faster_is_less_coherent(
    coherence: TemporalCoherence, bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    penalties = [coherence(tokens(bikes[:, :, 32:72:speed])) for speed in (1, 2, 4, 8)]
    for before, after in pairwise(penalties):
        assert before.attention_change < after.attention_change
        assert before.slowness < after.slowness


def test_the_penalty_is_the_mean_over_neighbours_of_the_squared_distance_of_their_maps() -> None:
    maps = torch.rand(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    distances = [(maps[b, t + 1] - maps[b, t]).square().sum() for b in range(2) for t in range(4)]
    torch.testing.assert_close(mean_change(maps), torch.stack(distances).mean())
    assert mean_change(maps[:, :1]) == 0


def test_half_the_way_to_a_moving_map_costs_a_quarter() -> None:
    moving = torch.rand(1, 6, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    still = moving[:, :1].expand_as(moving)
    torch.testing.assert_close(mean_change((still + moving) / 2), mean_change(moving) / 4)


def test_features_cannot_become_slow_by_becoming_small(bikes: Tensor) -> None:
    """With unit variance over the batch, the scale and the mean of the features make no difference."""
    features = bikes[:, :, :30].mean(-1).permute(0, 2, 1, 3).flatten(2).double()
    slow = SlowFeatures(features.shape[-1]).double()
    torch.testing.assert_close(slow(100 * features), slow(1000 * features + 3), rtol=1e-4, atol=0)


def test_slowness_is_squared_change_over_variance() -> None:
    features = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    deltas = [features[..., c].diff(dim=1).square().mean() / features[..., c].var(correction=0) for c in range(2)]
    torch.testing.assert_close(SlowFeatures(2).double()(features), torch.stack(deltas).mean(), rtol=1e-4, atol=0)


def test_frames_are_their_tokens_weighted_by_attention(
    coherence: TemporalCoherence, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bunny[:, :, :4])
    out = coherence(x)
    torch.testing.assert_close(out.attention.sum((2, 3)), torch.ones(1, 4))
    torch.testing.assert_close(out.frames, (x * out.attention.unsqueeze(-1)).sum((2, 3)))


def test_the_penalty_teaches_the_query(
    coherence: TemporalCoherence, bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    coherence(tokens(bikes[:, :, 31:47])).attention_change.backward()
    assert coherence.query.weight.grad is not None
    assert coherence.query.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(5, 2, 3), TokenGrid(2, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    module = build(grid, 48, 4)
    assert count_macs(module, (1, grid.t, grid.h, grid.w, 48)) == macs(grid, module.config)
