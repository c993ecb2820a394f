"""I3D-R50: its published size, where it spans time, and the shortest clip it takes."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.i3d import I3D_R50, I3DResNet, i3d_r50
from vbench_models.layers.resnet3d import Bottleneck
from vbench_models.video import Clip, UnsupportedClipError


def meta_model(clip: Clip) -> I3DResNet:
    with torch.device("meta"):
        return i3d_r50(clip).eval()


@pytest.mark.parametrize(("side", "macs"), [(256, 37_103_632_384), (224, 28_407_660_544)])
def test_parameters_and_multiply_adds_equal_the_published_ones(side: int, macs: int) -> None:
    model = meta_model(Clip(frames=8, height=side, width=side))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 8, side, side, device="meta"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 28_043_472
    assert counter.get_total_flops() == 2 * macs


def test_only_the_narrowing_convolutions_named_in_the_configuration_span_time() -> None:
    model = meta_model(Clip(frames=8, height=224, width=224))
    blocks = [module for module in model.modules() if isinstance(module, Bottleneck)]
    spans = [block.narrow.get_parameter("0.weight").shape[2] for block in blocks]
    assert spans == [kernel for kernels in I3D_R50.temporal_kernels for kernel in kernels]
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv3d)]
    assert sum(convolution.kernel_size[0] > 1 for convolution in convolutions) == 1 + spans.count(3)


def test_time_is_halved_once_and_space_by_thirty_two() -> None:
    model = meta_model(Clip(frames=10, height=160, width=96))
    shapes: list[torch.Size] = []
    model.head.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    model(torch.empty(1, 3, 10, 160, 96, device="meta"))
    assert shapes == [(1, 2048, 5, 5, 3)]


@pytest.mark.parametrize("size", [(2, 32, 32), (5, 40, 64), (3, 1, 1)])
def test_any_clip_of_two_frames_or_more_gives_different_logits_for_different_videos(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    frames, height, width = size
    model = i3d_r50(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 400)
    assert (logits[0] - logits[1]).abs().max() > 1e-4


def test_a_single_frame_is_refused() -> None:
    with pytest.raises(UnsupportedClipError, match=r"2 frames or more.*got frames=1"):
        i3d_r50(Clip(frames=1, height=224, width=224))
