import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from vbench_models.relevance.gated_temporal import (
    GatedTemporal,
    GatedTemporalConfig,
    MaskedTemporal,
    ThresholdGatedConfig,
    ThresholdGatedTemporal,
    build,
    build_masked,
    kept_frames,
    macs,
    macs_of_kept,
    temporal_block,
)
from vbench_models.relevance.scoring import Score
from vbench_models.video import ModelError, TokenGrid

CONFIG = GatedTemporalConfig(embed_dim=192, num_heads=4)
THRESHOLD = ThresholdGatedConfig(embed_dim=192, num_heads=4)

every_keep = pytest.mark.parametrize(("keep", "kept"), [(0.05, 1), (0.25, 4), (0.3, 5), (0.5, 8), (1.0, 16)])


class Given(nn.Module):
    """A predictor that says what it was told."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, _: Tensor) -> Tensor:
        return self.scores


@pytest.fixture
def clips(bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat((tokens(bikes[:, :, 20:36]), tokens(bunny[:, :, 32:48])))


@every_keep
def test_the_cost_is_the_predictors_on_all_frames_and_the_blocks_on_the_kept_ones(
    keep: float, kept: int, count_macs: Callable[..., int]
) -> None:
    config = replace(CONFIG, keep=keep)
    predictor = count_macs(Score(192, config.score_dim), (1, 16, 192))
    block = count_macs(temporal_block(config), (1, kept, 8, 8, 192))
    assert count_macs(GatedTemporal(config), (1, 16, 8, 8, 192)) == predictor + block
    assert macs(TokenGrid(16, 8, 8), config) == predictor + block


def test_what_depends_on_weights_is_linear_in_the_kept_frames_and_what_does_not_is_quadratic() -> None:
    grid = TokenGrid(16, 8, 8)
    costs = [macs_of_kept(grid, CONFIG, kept=kept) for kept in range(17)]
    steps = [after - before for before, after in pairwise(costs)]
    assert {after - before for before, after in pairwise(steps)} == {2 * 2 * 8 * 8 * 192}


@pytest.mark.parametrize("network", [GatedTemporal, MaskedTemporal])
@every_keep
def test_skipped_frames_leave_as_they_came_and_kept_ones_do_not(
    network: type[nn.Module], keep: float, kept: int, clips: Tensor
) -> None:
    same = (network(replace(CONFIG, keep=keep))(clips) == clips).flatten(2).all(-1)
    assert same.sum(-1).tolist() == [16 - kept] * 2


def test_kept_frames_pass_the_block_among_themselves_weighted_by_their_scores(clips: Tensor) -> None:
    gated = GatedTemporal(replace(CONFIG, keep=0.25))
    scores = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    gated.gate = Given(scores)  # type: ignore[assignment]
    out = gated(clips)
    for clip in range(2):
        kept = sorted(sorted(range(16), key=lambda frame: -float(scores[clip, frame]))[:4])
        frames = clips[clip : clip + 1, kept]
        share = scores[clip, kept].sigmoid().reshape(1, 4, 1, 1, 1)
        expected = (1 - share) * frames + share * gated.block(frames)
        torch.testing.assert_close(out[clip : clip + 1, kept], expected)


def test_a_skipped_frame_is_not_looked_at_where_a_masked_one_is(clips: Tensor) -> None:
    scores = torch.arange(16.0).expand(2, 16)
    other = clips.clone()
    other[:, 3] += 1  # among the eight that are skipped
    for network, is_blind in ((GatedTemporal(CONFIG), True), (MaskedTemporal(CONFIG), False)):
        network.gate = Given(scores)  # type: ignore[assignment]
        assert torch.equal(network(clips)[:, 8:], network(other)[:, 8:]) == is_blind


def test_the_predictor_learns_through_the_frames_it_keeps(clips: Tensor) -> None:
    gated = GatedTemporal(CONFIG)
    gated(clips).square().sum().backward()
    assert gated.gate.hidden.weight.grad is not None
    assert gated.gate.hidden.weight.grad.abs().sum() > 0


def test_a_mask_in_place_of_gathering_saves_nothing(count_macs: Callable[..., int]) -> None:
    shape = (1, 16, 8, 8, 192)
    costs = {count_macs(MaskedTemporal(replace(CONFIG, keep=keep)), shape) for keep in (0.05, 0.5, 1.0)}
    assert costs == {macs(TokenGrid(16, 8, 8), replace(CONFIG, keep=1.0))}


def test_an_eighth_of_the_frames_takes_less_than_half_of_the_masked_forms_time(clips: Tensor) -> None:
    config = replace(CONFIG, keep=0.125)
    gated, masked = GatedTemporal(config).eval(), MaskedTemporal(config).eval()

    def seconds(network: nn.Module) -> float:
        start = time.process_time()
        network(clips)
        return time.process_time() - start

    with torch.no_grad():
        pairs = [(seconds(gated), seconds(masked)) for _ in range(7)]
    assert min(pair[0] for pair in pairs) < min(pair[1] for pair in pairs) / 2


def test_above_a_threshold_each_clip_pays_for_its_own_frames(clips: Tensor, count_macs: Callable[..., int]) -> None:
    gated = ThresholdGatedTemporal(THRESHOLD)
    scores = torch.full((2, 16), -1.0)
    scores[0, ::5], scores[1, 3:14] = 1.0, 1.0  # 4 frames and 11
    gated.gate = Given(scores)  # type: ignore[assignment]
    assert torch.equal(gated.kept(clips), scores > 0)
    unscored = macs_of_kept(TokenGrid(16, 8, 8), THRESHOLD, kept=0)
    paid = sum(macs_of_kept(TokenGrid(16, 8, 8), THRESHOLD, kept=kept) - unscored for kept in (4, 11))
    assert count_macs(gated, clips) == paid
    same = (gated(clips) == clips).flatten(2).all(-1)
    assert torch.equal(same, scores < 0)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_on_real_video_the_threshold_decides_what_is_paid(
    threshold: float, clips: Tensor, count_macs: Callable[..., int]
) -> None:
    gated = ThresholdGatedTemporal(replace(THRESHOLD, threshold=threshold))
    kept = gated.kept(clips).sum(-1).tolist()
    assert kept == ([16, 16] if threshold == 0 else [0, 0])
    grid = TokenGrid(16, 8, 8)
    assert count_macs(gated, clips) == sum(macs_of_kept(grid, THRESHOLD, kept=frames) for frames in kept)


def test_a_threshold_that_lets_through_as_many_frames_equals_the_fixed_number(clips: Tensor) -> None:
    fixed = GatedTemporal(CONFIG)
    scores = torch.randperm(16, generator=torch.Generator().manual_seed(0)).float().expand(2, 16) - 7.5
    by_threshold = ThresholdGatedTemporal(THRESHOLD)
    by_threshold.load_state_dict(fixed.state_dict())
    for network in (fixed, by_threshold):
        network.gate = Given(scores)  # type: ignore[assignment]
    torch.testing.assert_close(by_threshold(clips), fixed(clips))


def test_the_fraction_is_rounded_up_as_decimals_are() -> None:
    for percent in range(1, 101):
        assert kept_frames(100, replace(CONFIG, keep=percent / 100)) == percent
    assert [kept_frames(3, replace(CONFIG, keep=keep)) for keep in (1e-12, 0.33, 0.34, 1.0)] == [1, 1, 2, 3]


def test_what_is_built_keeps_half(count_macs: Callable[..., int]) -> None:
    grid, shape = TokenGrid(9, 3, 2), (1, 9, 3, 2, 48)
    config = GatedTemporalConfig(embed_dim=48, num_heads=4)
    assert count_macs(build(grid, 48, 4), shape) == macs_of_kept(grid, config, kept=5)
    assert count_macs(build_masked(grid, 48, 4), shape) == macs_of_kept(grid, config, kept=9)


@pytest.mark.parametrize("keep", [0.0, 1.5, -1.0])
def test_a_fraction_that_is_none_is_refused(keep: float) -> None:
    with pytest.raises(ModelError, match=rf"^keep must be a fraction above 0 and at most 1; got keep={keep}$"):
        GatedTemporalConfig(keep=keep)
