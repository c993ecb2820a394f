"""I3D on Inception-v1: the sizes of the authors' graph, its modules, its norm, and its streams."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures import i3d_inception
from vbench_models.architectures.i3d_inception import (
    I3D_RGB,
    I3DInception,
    I3DInceptionConfig,
    Mixed,
    MixedWidths,
    PairwiseHead,
    ShiftNorm,
    TwoStreamI3D,
)
from vbench_models.video import Clip

Builder = Callable[[Clip], nn.Module]

DEFAULT = Clip(frames=64, height=224, width=224)
SMALL = I3DInceptionConfig(
    stem_channels=(4, 4, 6),
    stages=tuple((MixedWidths(point=2, wide=(2, 3), slim=(1, 2), pooled=1),) for _ in range(3)),
    num_classes=5,
)

# From kinetics-i3d's i3d.py itself, run with Sonnet 1.36.
COUNTED = [
    ("i3d_rgb", DEFAULT, 12_689_984, 111_153_143_808),
    ("i3d_rgb", Clip(frames=16, height=224, width=224), 12_689_984, 27_787_978_752),
    ("i3d_flow", DEFAULT, 12_668_032, 102_341_435_392),
    ("i3d_flow", Clip(frames=21, height=223, width=209), 12_668_032, 34_439_855_104),
    ("i3d_two_stream", DEFAULT, 12_689_984 + 12_668_032, 111_153_143_808 + 102_341_435_392),
]
CHANNELS = {"i3d_rgb": 3, "i3d_flow": 2, "i3d_two_stream": 5}
ENDPOINTS = [  # of 64 x 224 x 224, in the order of i3d.py
    *((64, 32, 112, 112), (64, 32, 56, 56), (64, 32, 56, 56), (192, 32, 56, 56), (192, 32, 28, 28)),
    *((256, 32, 28, 28), (480, 32, 28, 28), (480, 16, 14, 14)),
    *((512, 16, 14, 14), (512, 16, 14, 14), (512, 16, 14, 14), (528, 16, 14, 14), (832, 16, 14, 14)),
    *((832, 8, 7, 7), (832, 8, 7, 7), (1024, 8, 7, 7)),
]


@pytest.mark.parametrize(("name", "clip", "parameters", "macs"), COUNTED)
def test_parameters_and_multiply_adds_equal_those_of_the_authors_graph(
    name: str, clip: Clip, parameters: int, macs: int
) -> None:
    build: Builder = getattr(i3d_inception, name)
    with torch.device("meta"):
        model = build(clip).eval()
        video = torch.empty(1, CHANNELS[name], clip.frames, clip.height, clip.width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert counter.get_total_flops() == 2 * macs


def test_every_layer_has_the_shape_of_its_endpoint() -> None:
    with torch.device("meta"), torch.no_grad():
        x = torch.empty(1, 3, 64, 224, 224)
        for layer, endpoint in zip(I3DInception(I3D_RGB).eval().features, ENDPOINTS, strict=True):
            x = layer(x)
            assert x.shape == (1, *endpoint)


def test_a_mixed_module_lines_up_its_branches() -> None:
    torch.manual_seed(0)
    widths = MixedWidths(point=2, wide=(3, 4), slim=(5, 6), pooled=7)
    mixed, x = Mixed(3, widths).eval(), torch.randn(1, 3, 4, 5, 6)
    branches = {
        mixed.point: slice(0, 2),
        mixed.wide: slice(2, 6),
        mixed.slim: slice(6, 12),
        mixed.pooled: slice(12, 19),
    }
    with torch.no_grad():
        whole = mixed(x)
        assert whole.shape[1] == widths.total == 19
        for branch, channels in branches.items():
            torch.testing.assert_close(whole[:, channels], branch(x))


def test_the_norm_learns_a_shift_alone() -> None:
    torch.manual_seed(0)
    norm = ShiftNorm(3).double()
    assert [name for name, _ in norm.named_parameters()] == ["bias"]
    assert "weight" not in norm.state_dict()
    nn.init.normal_(norm.bias)
    x = 3 + 2 * torch.randn(4, 3, 2, 5, 5, dtype=torch.float64)
    mean, variance = x.mean((0, 2, 3, 4), keepdim=True), x.var((0, 2, 3, 4), correction=0, keepdim=True)
    torch.testing.assert_close(norm(x), (x - mean) / (variance + 1e-3).sqrt() + norm.bias.view(-1, 1, 1, 1))


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_head_halves_the_weight_of_the_first_and_the_last_position(frames: int) -> None:
    torch.manual_seed(0)
    head = PairwiseHead(6, SMALL).double().eval()
    x = torch.randn(2, 6, frames, 3, 4, dtype=torch.float64)
    weights = torch.ones(frames, dtype=torch.float64)
    weights[0] /= 2
    weights[-1] /= 2
    mean = (x.mean((3, 4)) * (weights / weights.sum())).sum(2)
    torch.testing.assert_close(head(x), mean @ head.fc.weight.T + head.fc.bias)


def test_the_streams_logits_are_added_and_each_sees_its_own_channels() -> None:
    torch.manual_seed(0)
    model = TwoStreamI3D(SMALL, replace(SMALL, in_channels=2)).eval()
    video = torch.randn(2, 5, 9, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(video), model.rgb(video[:, :3]) + model.flow(video[:, 3:]))


@pytest.mark.parametrize("size", [(1, 1, 1), (9, 33, 64)])
def test_any_clip_gives_different_logits_for_different_videos(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    model = I3DInception(SMALL).double().eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size, dtype=torch.float64))
    assert logits.shape == (2, 5)
    assert (logits[0] - logits[1]).abs().max() > 1e-8  # norms as they begin let a single pixel fade
