from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.relevance.multi_scale_relevance import (
    MultiScaleConfig,
    MultiScaleRelevance,
    average_runs,
    build,
    macs,
)
from vbench_models.video import ModelError, TokenGrid

CONFIG = MultiScaleConfig(embed_dim=192)


def test_what_happens_in_one_frame_moves_its_frame_its_clip_and_its_sequence_and_nothing_else(
    bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bikes[:, :, :24])
    other = x.clone()
    other[:, 5] = tokens(bikes[:, :, 80:81])[:, 0]  # a frame from another shot
    relevance = MultiScaleRelevance(CONFIG)
    moved = relevance(x).of_scale != relevance(other).of_scale
    runs = (slice(5, 6), slice(4, 8), slice(0, 16))
    for scale, run in enumerate(runs):
        expected = torch.zeros(24, dtype=torch.bool)
        expected[run] = True
        assert torch.equal(moved[0, :, scale], expected)


@pytest.mark.parametrize("frames", [1, 3, 16, 21])
@pytest.mark.parametrize("scale", [1, 4, 16])
def test_a_run_is_the_mean_of_its_frames_and_the_last_of_those_it_has(frames: int, scale: int, bikes: Tensor) -> None:
    features = bikes[:, :, :frames].mean(-1).transpose(1, 2).flatten(2)
    expected = [features[0, start : start + scale].mean(0) for start in range(0, frames, scale)]
    torch.testing.assert_close(average_runs(features, scale)[0], torch.stack(expected))


def test_the_fused_score_is_a_convex_combination_whose_shares_are_learned(
    bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = torch.cat((tokens(bikes[:, :, 20:40]), tokens(bunny[:, :, 20:40])))
    relevance = MultiScaleRelevance(CONFIG)
    fused, of_scale = relevance(x)
    torch.testing.assert_close(fused, of_scale.mean(-1))  # equal shares at the start
    fused.sum().backward()
    assert all(parameter.grad is not None for parameter in relevance.parameters())
    with torch.no_grad():
        relevance.fusion.copy_(torch.tensor([50.0, 0.0, 0.0]))
    torch.testing.assert_close(relevance(x).fused, of_scale[..., 0])


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(21, 3, 2), TokenGrid(1, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    assert count_macs(build(grid, 48, 4), (1, grid.t, grid.h, grid.w, 48)) == macs(grid, MultiScaleConfig(embed_dim=48))


def test_a_scale_without_frames_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^scale must be at least 1; got scale=0$"):
        MultiScaleConfig(scales=(1, 0))
    with pytest.raises(ModelError, match=r"got scales=\(\)$"):
        MultiScaleConfig(scales=())
