"""I3D as first published: Inception-v1 inflated to 3D, on colours, on optical flow, and on both.

Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, sec. 2.4 and figure 3,
https://arxiv.org/abs/1705.07750, with the widths, the padding and the norm without scale of the authors'
kinetics-i3d. Differs from it: the head averages over all of height and width at any crop, where that code's window of
7 x 7 positions is all there is, and clips that leave one position in time are taken too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.same_padding import SameConv3d, SameMaxPool3d
from vbench_models.video import Clip


@dataclass(frozen=True, kw_only=True)
class MixedWidths:
    """Channels of the four branches of an Inception module; two of them are narrowed first."""

    point: int
    wide: tuple[int, int]  # narrowed, and out of the first 3 x 3 x 3 convolution
    slim: tuple[int, int]  # likewise, of the second
    pooled: int

    @property
    def total(self) -> int:
        """Channels of the module."""
        return self.point + self.wide[1] + self.slim[1] + self.pooled


@dataclass(frozen=True, kw_only=True)
class I3DInceptionConfig:
    """`stages` holds the Inception modules between two pools."""

    stem_channels: tuple[int, int, int] = (64, 64, 192)
    stages: tuple[tuple[MixedWidths, ...], ...] = (
        (
            MixedWidths(point=64, wide=(96, 128), slim=(16, 32), pooled=32),
            MixedWidths(point=128, wide=(128, 192), slim=(32, 96), pooled=64),
        ),
        (
            MixedWidths(point=192, wide=(96, 208), slim=(16, 48), pooled=64),
            MixedWidths(point=160, wide=(112, 224), slim=(24, 64), pooled=64),
            MixedWidths(point=128, wide=(128, 256), slim=(24, 64), pooled=64),
            MixedWidths(point=112, wide=(144, 288), slim=(32, 64), pooled=64),
            MixedWidths(point=256, wide=(160, 320), slim=(32, 128), pooled=128),
        ),
        (
            MixedWidths(point=256, wide=(160, 320), slim=(32, 128), pooled=128),
            MixedWidths(point=384, wide=(192, 384), slim=(48, 128), pooled=128),
        ),
    )
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5  # the authors' code leaves the rate open


RGB, FLOW = 3, 2  # channels: flow is horizontal and vertical

I3D_RGB = I3DInceptionConfig(in_channels=RGB)  # 64 frames, every one, of 224 x 224
I3D_FLOW = replace(I3D_RGB, in_channels=FLOW)


class ShiftNorm(nn.BatchNorm3d):
    """Batch norm that learns a shift alone, as Sonnet's does unless told otherwise: its scale stays one."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=1e-3)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class Unit(nn.Sequential):
    """Convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        conv = SameConv3d(in_channels, out_channels, (kernel_size,) * 3, (stride,) * 3)
        super().__init__(conv, ShiftNorm(out_channels), nn.ReLU(inplace=True))


class Mixed(nn.Module):
    """An Inception module: four views of the same features, side by side."""

    def __init__(self, in_channels: int, widths: MixedWidths) -> None:
        super().__init__()
        self.point = Unit(in_channels, widths.point, 1)
        self.wide = nn.Sequential(Unit(in_channels, widths.wide[0], 1), Unit(*widths.wide, 3))
        self.slim = nn.Sequential(Unit(in_channels, widths.slim[0], 1), Unit(*widths.slim, 3))
        self.pooled = nn.Sequential(SameMaxPool3d((3, 3, 3), (1, 1, 1)), Unit(in_channels, widths.pooled, 1))

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h w"]:
        """The branches' channels, in their order."""
        return torch.cat((self.point(x), self.wide(x), self.slim(x), self.pooled(x)), dim=1)


class PairwiseHead(nn.Module):
    """A classifier of the mean of every two neighbours in time, and the mean of what it says."""

    def __init__(self, in_channels: int, config: I3DInceptionConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(in_channels, config.num_classes)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        means = reduce(x, "b c t h w -> b t c", "mean")
        pairs = (means[:, :-1] + means[:, 1:]) / 2 if x.shape[2] > 1 else means
        logits: Tensor = reduce(self.fc(self.dropout(pairs)), "b pairs classes -> b classes", "mean")
        return logits


class I3DInception(nn.Module):
    """Three convolutions, nine Inception modules with pools between them, and the head."""

    def __init__(self, config: I3DInceptionConfig) -> None:
        super().__init__()
        first, second, channels = config.stem_channels
        halve_space = (1, 3, 3), (1, 2, 2)
        layers = [
            Unit(config.in_channels, first, 7, stride=2),
            SameMaxPool3d(*halve_space),
            Unit(first, second, 1),
            Unit(second, channels, 3),
        ]
        pools = SameMaxPool3d(*halve_space), SameMaxPool3d((3,) * 3, (2,) * 3), SameMaxPool3d((2,) * 3, (2,) * 3)
        for pool, modules in zip(pools, config.stages, strict=True):
            layers.append(pool)
            for widths in modules:
                layers.append(Mixed(channels, widths))
                channels = widths.total
        self.features = nn.Sequential(*layers)
        self.head = PairwiseHead(channels, config)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        logits: Tensor = self.head(self.features(video))
        return logits


class TwoStreamI3D(nn.Module):
    """One network for the colours and one for the flow; their logits are added, as in the authors' evaluation."""

    def __init__(self, rgb: I3DInceptionConfig, flow: I3DInceptionConfig) -> None:
        super().__init__()
        self.rgb = I3DInception(rgb)
        self.flow = I3DInception(flow)

    def forward(self, video: Float[Tensor, "b 5 frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip; the channels are three of colour, then two of flow."""
        colours, flow = torch.split(video, [RGB, FLOW], dim=1)
        logits: Tensor = self.rgb(colours) + self.flow(flow)
        return logits


def i3d_rgb(_clip: Clip) -> I3DInception:
    """I3D on colours: 12.7 M parameters, 400 classes; any clip."""
    return I3DInception(I3D_RGB)


def i3d_flow(_clip: Clip) -> I3DInception:
    """I3D on optical flow, two channels: 12.7 M parameters, 400 classes; any clip."""
    return I3DInception(I3D_FLOW)


def i3d_two_stream(_clip: Clip) -> TwoStreamI3D:
    """Both streams: 25.4 M parameters, 400 classes; any clip, of five channels."""
    return TwoStreamI3D(I3D_RGB, I3D_FLOW)
