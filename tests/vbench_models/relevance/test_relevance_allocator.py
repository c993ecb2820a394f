from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vbench_models.relevance.relevance_allocator import (
    AllocatorConfig,
    RelevanceAllocator,
    RelevanceGate,
    build,
    build_gate,
    macs,
    temporal_context,
)
from vbench_models.video import ModelError, TokenGrid

CONFIG = AllocatorConfig(embed_dim=192)

both = pytest.mark.parametrize("network", [RelevanceAllocator, RelevanceGate])


def opposed(network: nn.Module) -> nn.Module:
    """Keys that are the negative of queries: what is unlike its context scores high."""
    with torch.no_grad():
        network.score.query.bias.zero_()
        network.score.key.bias.zero_()
        network.score.key.weight.copy_(-network.score.query.weight)
    return network


@both
def test_weights_multiply_their_tokens(
    network: type[nn.Module], bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bikes[:, :, 24:36])
    out = network(CONFIG)(x)
    assert (out.weights > 0).all()
    torch.testing.assert_close(out.tokens, torch.einsum("bthwc,bthw->bthwc", x, out.weights))


def test_the_allocator_shares_out_as_much_as_there_are_tokens_and_the_gate_at_most_that(
    bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(torch.cat((bikes[:, :, :12], bunny[:, :, :12])))
    shared = RelevanceAllocator(CONFIG)(10 * x).weights
    torch.testing.assert_close(shared.sum((1, 2, 3)), torch.full((2,), 12.0 * 8 * 8))
    assert RelevanceGate(CONFIG)(10 * x).weights.max() < 1


def test_equal_scores_leave_the_clip_as_it_is(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> None:
    x = tokens(bikes[:, :, :6])
    allocator = RelevanceAllocator(CONFIG)
    nn.init.zeros_(allocator.score.query.weight)
    nn.init.zeros_(allocator.score.query.bias)
    torch.testing.assert_close(allocator(x).tokens, x)


@both
def test_with_opposed_keys_a_frame_unlike_those_around_it_draws_the_most(
    network: type[nn.Module], bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    """One frame of a still is shown as its negative."""
    x = tokens(bikes[:, :, :1].expand(-1, -1, 12, -1, -1)).clone()
    x[:, 6] = -x[:, 6]
    of_frames = opposed(network(CONFIG))(x).weights.mean((2, 3))[0]
    assert int(of_frames.argmax()) == 6


@both
def test_a_score_is_the_scaled_product_of_a_token_and_its_context(
    network: type[nn.Module], bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bunny[:, :, 34:44])
    score = network(CONFIG).score
    scores = score(x)
    for t in (0, 4, 9):
        context = x[0, max(0, t - 2) : t + 3].mean((0, 1, 2))
        expected = score.key(x[0, t]) @ score.query(context) / 8  # the root of 64 channels
        torch.testing.assert_close(scores[0, t], expected)


def test_the_context_reaches_as_far_as_its_radius() -> None:
    x = torch.randn(1, 9, 2, 2, 8, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 4] += 1
    score = RelevanceGate(AllocatorConfig(embed_dim=8, radius=2)).score
    assert (score(x) != score(other)).flatten(2).any(-1)[0].tolist() == [2 <= t <= 6 for t in range(9)]


def test_with_a_radius_of_the_clip_every_frame_has_the_same_context() -> None:
    frames = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(temporal_context(frames, 4), frames.mean(1, keepdim=True).expand_as(frames))
    torch.testing.assert_close(temporal_context(frames, 0), frames)


@pytest.mark.parametrize("builder", [build, build_gate])
@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(5, 2, 3), TokenGrid(1, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(
    builder: Callable[..., nn.Module], grid: TokenGrid, count_macs: Callable[..., int]
) -> None:
    counted = count_macs(builder(grid, 48, 4), (1, grid.t, grid.h, grid.w, 48))
    assert counted == macs(grid, AllocatorConfig(embed_dim=48))


def test_a_negative_radius_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^radius must be at least 0; got radius=-1$"):
        AllocatorConfig(radius=-1)
