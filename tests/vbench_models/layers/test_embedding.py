"""Uniform frames: which ones, and that a network behind them sees no others."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vbench_models.architectures.vivit import VIVIT_B_16X2, ViViT
from vbench_models.layers.embedding import UniformFrames
from vbench_models.video import Clip


@pytest.mark.parametrize(
    ("frames", "kept", "expected"),
    [(10, 4, [2, 4, 6, 8]), (9, 2, [3, 6]), (7, 1, [4]), (5, 5, [0, 1, 2, 3, 4]), (3, 5, [0, 1, 2])],
)
def test_frames_are_the_inner_points_of_equal_parts(frames: int, kept: int, expected: list[int]) -> None:
    video = torch.arange(float(frames)).reshape(1, 1, frames, 1, 1)
    assert UniformFrames(kept)(video).flatten().tolist() == expected


def test_a_vivit_of_single_frames_behind_it_sees_only_the_frames_that_are_kept() -> None:
    frames = replace(VIVIT_B_16X2, tubelet_size=(1, 16, 16), embed_dim=24, depth=1, num_heads=3, num_classes=5)
    network = nn.Sequential(UniformFrames(2), ViViT(frames, Clip(frames=2, height=32, width=32)))
    video = torch.randn(1, 3, 9, 32, 32, generator=torch.Generator().manual_seed(0))
    left_out, kept = video.clone(), video.clone()
    left_out[:, :, [0, 1, 2, 4, 5, 7, 8]] += 1
    kept[:, :, 6] += 1
    assert torch.equal(network(left_out), network(video))
    assert not torch.allclose(network(kept), network(video))
