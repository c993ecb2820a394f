"""Receptive fields along time: the derivation against the gradients of narrow twins of the networks.

A twin has the same kernels and strides, few channels, positive weights and means in place of maxima: then every frame
that a position can see has a gradient above 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbench.measure.receptive import receptive_frames
from vbench_models import Clip
from vbench_models.architectures.c3d import C3D, C3DConfig
from vbench_models.architectures.i3d import I3D_R50, I3DResNet
from vbench_models.architectures.i3d_inception import I3D_RGB, I3DInception, MixedWidths
from vbench_models.architectures.slowfast import SLOWFAST_R50_8X8, SlowFast

NARROW = MixedWidths(point=1, wide=(1, 1), slim=(1, 1), pooled=1)


def c3d() -> nn.Module:
    narrow = C3DConfig(stages=((1,), (1,), (1, 1), (1, 1), (1, 1)), hidden_features=1)
    return C3D(narrow).features


def i3d_r50() -> nn.Module:
    return I3DResNet(replace(I3D_R50, stem_channels=1))


def i3d_rgb() -> nn.Module:
    stages = tuple((NARROW,) * len(stage) for stage in I3D_RGB.stages)
    return I3DInception(replace(I3D_RGB, stem_channels=(1, 1, 1), stages=stages)).features


def slowfast_r50_8x8() -> nn.Module:
    return SlowFast(replace(SLOWFAST_R50_8X8, stem_channels=8), Clip(frames=256, height=32, width=32))


def mean_pool(
    x: Tensor, kernel_size: object, stride: object, padding: object = 0, _dilation: int = 1, **how: bool
) -> Tensor:
    """In place of the maximum, of which only the greatest has a gradient."""
    return F.avg_pool3d(x, kernel_size, stride, padding, how["ceil_mode"])  # type: ignore[arg-type]


def made_positive(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network.double().eval()


def frames_seen(features: Tensor, video: Tensor) -> int:
    """Frames of the video with a gradient from the middle position along time."""
    middle = features[:, :, features.shape[2] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, video, retain_graph=True)
    seen = (gradient.abs().sum((0, 1, 3, 4)) > 0).nonzero()
    return int(seen.max() - seen.min()) + 1


@pytest.mark.parametrize(
    ("twin", "frames", "size"),
    [(c3d, 160, 32), (i3d_r50, 80, 32), (i3d_rgb, 160, 96), (slowfast_r50_8x8, 256, 32)],
)
def test_a_network_sees_what_its_gradients_reach(
    twin: Callable[[], nn.Module], frames: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(F, "max_pool3d", mean_pool)
    network, pathways = made_positive(twin()), list[Tensor]()
    video = torch.ones(1, 3, frames, size, size, dtype=torch.float64, requires_grad=True)
    if isinstance(head := getattr(network, "head", None), nn.Module):
        head.register_forward_pre_hook(lambda _head, inputs: pathways.extend(inputs))
    out = network(video)
    seen = max(frames_seen(features, video) for features in pathways or [out])
    assert receptive_frames(twin.__name__) == seen < frames


def test_a_hand_count_of_c3d() -> None:
    """Eight convolutions of 3 frames, and pools of 2 behind the second, fourth, sixth and eighth of them."""
    seen, step = 1, 1
    for pooled in (False, True, False, True, False, True, False, True):
        seen += 2 * step
        if pooled:
            seen, step = seen + step, 2 * step
    assert receptive_frames("c3d") == seen
