"""The bottleneck ResNet inflated to video: its convolutions in space stay flat, and some of its 1 x 1 ones span time.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sec. 4.1, https://arxiv.org/abs/1512.03385;
inflated as in Wang et al., "Non-local Neural Networks", CVPR 2018, sec. 4.1, https://arxiv.org/abs/1711.07971,
with the stride of a block on its 3 x 3 convolution. The blocks never stride time. Convolutions have no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

Thw = tuple[int, int, int]

EXPANSION = 4  # output channels of a bottleneck for each of its inner ones


def centred_conv(in_channels: int, out_channels: int, kernel_size: Thw, stride: Thw) -> nn.Module:
    """A convolution of odd kernel, about the first position and every `stride`-th one after it; no bias."""
    t, h, w = kernel_size
    return nn.Conv3d(in_channels, out_channels, kernel_size, stride, padding=(t // 2, h // 2, w // 2), bias=False)


def centred_pool(kernel_size: Thw, stride: Thw) -> nn.Module:
    """The greatest value in windows of odd extent, about the same positions."""
    t, h, w = kernel_size
    return nn.MaxPool3d(kernel_size, stride, padding=(t // 2, h // 2, w // 2))


class Layers(NamedTuple):
    """What a network is built of, and thus how it pads: all of them turn an extent to ceil(extent / stride)."""

    conv: Callable[[int, int, Thw, Thw], nn.Module] = centred_conv
    pool: Callable[[Thw, Thw], nn.Module] = centred_pool


CENTRED = Layers()


class ConvNorm(nn.Sequential):
    """A convolution of odd kernel (t, h, w), padded so that only its strides shrink, and a norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Thw,
        stride: Thw = (1, 1, 1),
        layers: Layers = CENTRED,
    ) -> None:
        super().__init__(layers.conv(in_channels, out_channels, kernel_size, stride), nn.BatchNorm3d(out_channels))


class Stem(nn.Module):
    """A quarter of the height and width by a strided 7 x 7 convolution, of its own extent in time, and a 3 x 3 pool."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        temporal_kernel: int,
        temporal_stride: int = 1,
        layers: Layers = CENTRED,
    ) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, out_channels, (temporal_kernel, 7, 7), (temporal_stride, 2, 2), layers)
        self.relu = nn.ReLU(inplace=True)
        self.pool = layers.pool((1, 3, 3), (1, 2, 2))

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b c t h w"]:
        """The features of `video`: at all of its frames, unless time is strided."""
        x: Tensor = self.pool(self.relu(self.conv(video)))
        return x


class Bottleneck(nn.Module):
    """Narrow (over time), look around (in space), widen; beside a shortcut, projected where the shape changes."""

    def __init__(
        self, in_channels: int, inner: int, temporal_kernel: int, spatial_stride: int, layers: Layers = CENTRED
    ) -> None:
        super().__init__()
        out_channels, stride = EXPANSION * inner, (1, spatial_stride, spatial_stride)
        self.narrow = ConvNorm(in_channels, inner, (temporal_kernel, 1, 1), layers=layers)
        self.look = ConvNorm(inner, inner, (1, 3, 3), stride, layers)
        self.widen = ConvNorm(inner, out_channels, (1, 1, 1))
        self.relu = nn.ReLU(inplace=True)
        same_shape = in_channels == out_channels and spatial_stride == 1
        self.shortcut = nn.Identity() if same_shape else ConvNorm(in_channels, out_channels, (1, 1, 1), stride)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h2 w2"]:
        """The features after the block."""
        update = self.relu(self.narrow(x))
        update = self.relu(self.look(update))
        out: Tensor = self.relu(self.shortcut(x) + self.widen(update))
        return out


class PooledHead(nn.Module):
    """A linear classifier on the means over time and space of one pathway's features, or of several side by side."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, *pathways: Float[Tensor, "b _ _ _ _"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip; `in_channels` are those of all pathways together."""
        means = [reduce(x, "b c t h w -> b c", "mean") for x in pathways]
        logits: Tensor = self.fc(self.dropout(torch.cat(means, dim=1)))
        return logits


def stage(
    in_channels: int, inner: int, temporal_kernels: Sequence[int], spatial_stride: int, layers: Layers = CENTRED
) -> nn.Sequential:
    """One bottleneck a temporal kernel, the first with the stride; the output has `EXPANSION * inner` channels."""
    first, *rest = temporal_kernels
    return nn.Sequential(
        Bottleneck(in_channels, inner, first, spatial_stride, layers),
        *(Bottleneck(EXPANSION * inner, inner, kernel, 1, layers) for kernel in rest),
    )
