"""C3D: its published size, its rounded-up pools, and the one clip it takes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.c3d import c3d
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=16, height=112, width=112)


def test_parameters_and_multiply_adds_equal_the_published_ones() -> None:
    with torch.device("meta"):
        model = c3d(DEFAULT).eval()
        video = torch.empty(1, 3, 16, 112, 112)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video)
    assert sum(parameter.numel() for parameter in model.parameters()) == 78_409_573
    assert counter.get_total_flops() == 2 * 38_547_378_176


def test_the_last_pool_rounds_seven_up_to_four() -> None:
    with torch.device("meta"), torch.no_grad():
        features = c3d(DEFAULT).features(torch.empty(1, 3, 16, 112, 112))
    assert features.shape == (1, 512, 1, 4, 4)


def test_two_videos_give_two_rows_of_different_logits() -> None:
    torch.manual_seed(0)
    model = c3d(DEFAULT).eval()
    with torch.no_grad():
        logits = model(10 * torch.randn(2, 3, 16, 112, 112))
    assert logits.shape == (2, 101)
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@pytest.mark.parametrize(("frames", "height", "width"), [(8, 112, 112), (16, 224, 112), (16, 112, 96)])
def test_another_clip_is_refused_with_the_one_that_is_taken(frames: int, height: int, width: int) -> None:
    message = f"frames=16, height=112, width=112 only.*got frames={frames}, height={height}, width={width}"
    with pytest.raises(UnsupportedClipError, match=message):
        c3d(Clip(frames=frames, height=height, width=width))
