"""CVRL: the sizes of the official code, its loss written out, and what a step teaches."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.cvrl import CVRL, CVRLConfig, cvrl_r3d50, info_nce
from vbench_models.video import Clip

SMALL = CVRLConfig(
    stem_channels=8, temporal_kernels=((1,), (1,), (3,), (3,)), hidden_features=(16, 16, 16), embed_dim=8
)

# From tf-models-official 2.20, projects/video_ssl, itself: convolutions and dense layers of two clips.
COUNTED = [((16, 224, 224), 91_058_601_984), ((5, 65, 97), 5_892_626_048), ((32, 160, 128), 74_338_271_232)]
SIMILARITIES = 2 * 2 * 128  # of two clips with one another


def written_out(first: NDArray[np.float64], second: NDArray[np.float64], temperature: float) -> float:
    """The loss clip by clip: minus the log of the partner's share among all clips but itself; both directions added."""
    clips = np.concatenate((first, second))
    videos, total = len(first), 0.0
    for i, clip in enumerate(clips):
        cosines = {j: clip @ other / math.sqrt(clip @ clip * (other @ other)) for j, other in enumerate(clips)}
        shares = {j: math.exp(cosine / temperature) for j, cosine in cosines.items() if j != i}
        total -= math.log(shares[(i + videos) % (2 * videos)] / sum(shares.values()))
    return total / videos


def step(model: CVRL, videos: torch.Tensor) -> torch.Tensor:
    return model(videos, videos + 0.01 * torch.randn_like(videos)).loss


@pytest.mark.parametrize(("size", "macs"), COUNTED)
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(size: tuple[int, int, int], macs: int) -> None:
    with torch.device("meta"):
        model, video = cvrl_r3d50(Clip(frames=16, height=224, width=224)).eval(), torch.empty(1, 3, *size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video, *model.further_inputs(video))
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 31_672_128
    assert sum(parameter.numel() for parameter in model.parameters()) == 44_535_744
    assert counter.get_total_flops() == 2 * (macs + SIMILARITIES)


@pytest.mark.parametrize("videos", [2, 5])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_equals_its_formula_written_out(videos: int, temperature: float) -> None:
    first, second = np.random.default_rng(0).standard_normal((2, videos, 7))
    loss = info_nce(torch.from_numpy(first), torch.from_numpy(second), temperature)
    assert loss.item() == pytest.approx(written_out(first, second, temperature), rel=1e-12)


def test_the_loss_knows_neither_lengths_nor_which_clip_came_first() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 4, 6, dtype=torch.float64)
    expected = info_nce(first, second, 0.1)
    torch.testing.assert_close(info_nce(second, first, 0.1), expected)
    torch.testing.assert_close(info_nce(3 * first, second / 7, 0.1), expected)


def test_partners_that_agree_cost_little_and_clips_that_are_all_alike_cost_the_log_of_the_others() -> None:
    apart = torch.eye(4, dtype=torch.float64)
    assert info_nce(apart, apart, 0.1) == pytest.approx(2 * math.log(1 + 6 * math.exp(-10)))
    alike = torch.ones(4, 3, dtype=torch.float64)
    assert info_nce(alike, alike, 0.1) == pytest.approx(2 * math.log(7))


def test_one_video_alone_has_nothing_to_be_told_from() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 1, 6)
    assert info_nce(first, second, 0.1) == 0


def test_the_gradient_reaches_every_parameter_of_the_encoder_and_the_projection() -> None:
    torch.manual_seed(0)
    model = CVRL(SMALL)
    model(*torch.randn(2, 4, 3, 4, 32, 32)).loss.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_steps_of_descent_bring_the_clips_of_a_video_together() -> None:
    torch.manual_seed(0)
    model, videos = CVRL(SMALL), torch.randn(4, 3, 4, 32, 32)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        loss = step(model, videos)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_both_clips_go_through_the_same_encoder_and_come_back_in_their_order() -> None:
    torch.manual_seed(0)
    model = CVRL(SMALL).double().eval()
    first, second = torch.randn(2, 3, 3, 5, 33, 40, dtype=torch.float64)
    with torch.no_grad():
        out = model(first, second)
        torch.testing.assert_close(out.embeddings, model.projection(model.encoder(first)))
        torch.testing.assert_close(out.other_embeddings, model.projection(model.encoder(second)))
        torch.testing.assert_close(out.loss, info_nce(out.embeddings, out.other_embeddings, 0.1))


def test_the_stem_halves_time_once_and_space_is_divided_by_thirty_two() -> None:
    with torch.device("meta"), torch.no_grad():
        encoder = cvrl_r3d50(Clip(frames=16, height=224, width=224)).encoder
        features = encoder.stages(encoder.stem(torch.empty(1, 3, 16, 224, 160)))
    assert features.shape == (1, 2048, 8, 7, 5)


def test_the_second_clip_is_another_one_of_the_same_size_and_type() -> None:
    video = torch.randn(2, 3, 4, 8, 8, dtype=torch.bfloat16)
    (other,) = CVRL(SMALL).further_inputs(video)
    assert other.shape == video.shape
    assert other.dtype == video.dtype
    assert not torch.equal(other, video)
