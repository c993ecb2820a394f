"""MobileNetV3 as a backbone: inverted residuals, of which some weigh their channels, and no classifier.

Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1, https://arxiv.org/abs/1905.02244. A block widens, looks
around depth-wise, weighs channels by what their means say (squeeze-and-excite, https://arxiv.org/abs/1709.01507) and
narrows without an activation. Squeezed widths are a quarter, rounded to a multiple of 8, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

Norm: TypeAlias = Callable[[int], nn.Module]  # channels to a norm

MOBILENET_V3_NORM: Norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


@dataclass(frozen=True, slots=True)
class Row:
    """One block of the paper's table; `squeezed` is 0 where channels are not weighed."""

    kernel_size: int
    expanded: int
    channels: int
    squeezed: int
    activation: type[nn.Module]
    stride: int = 1


LARGE = (
    Row(3, 16, 16, 0, nn.ReLU),
    Row(3, 64, 24, 0, nn.ReLU, stride=2),
    Row(3, 72, 24, 0, nn.ReLU),
    Row(5, 72, 40, 24, nn.ReLU, stride=2),
    Row(5, 120, 40, 32, nn.ReLU),
    Row(5, 120, 40, 32, nn.ReLU),
    Row(3, 240, 80, 0, nn.Hardswish, stride=2),
    Row(3, 200, 80, 0, nn.Hardswish),
    Row(3, 184, 80, 0, nn.Hardswish),
    Row(3, 184, 80, 0, nn.Hardswish),
    Row(3, 480, 112, 120, nn.Hardswish),
    Row(3, 672, 112, 168, nn.Hardswish),
    Row(5, 672, 160, 168, nn.Hardswish, stride=2),
    Row(5, 960, 160, 240, nn.Hardswish),
    Row(5, 960, 160, 240, nn.Hardswish),
)
STEM_CHANNELS = 16
MOBILENET_V3_LARGE_CHANNELS = 960  # of the widening convolution behind the last block


@dataclass(frozen=True, kw_only=True)
class MobileNetV3Config:
    """`taps` are the blocks whose features are returned beside the last; `last_channels` of 0 leaves the widening out.

    With `squeeze_first`, a block weighs its channels before the activation, as some implementations do.
    """

    rows: tuple[Row, ...] = LARGE
    last_channels: int = MOBILENET_V3_LARGE_CHANNELS
    taps: tuple[int, ...] = ()
    norm: Norm = MOBILENET_V3_NORM
    squeeze_first: bool = False
    in_channels: int = 3


MOBILENET_V3_LARGE = MobileNetV3Config()


class ConvNorm(nn.Sequential):
    """A convolution of odd kernel without bias, padded so that only its stride shrinks, and a norm."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, norm: Norm, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel_size // 2
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        super().__init__(conv, norm(out_channels))


class SqueezeExcite(nn.Module):
    """Each channel times a weight between 0 and 1 that the means of all channels decide."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)
        self.relu = nn.ReLU()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The weighed channels."""
        means = reduce(x, "b c h w -> b c", "mean")
        weights = self.gate(self.fc2(self.relu(self.fc1(means))))
        weighed: Tensor = x * rearrange(weights, "b c -> b c 1 1")
        return weighed


class InvertedResidual(nn.Module):
    """One row of the table; the shortcut is there where the shape stays."""

    def __init__(self, in_channels: int, row: Row, norm: Norm, *, squeeze_first: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.expanded != in_channels:
            layers += [ConvNorm(in_channels, row.expanded, 1, norm), row.activation()]
        layers.append(
            ConvNorm(row.expanded, row.expanded, row.kernel_size, norm, stride=row.stride, groups=row.expanded)
        )
        weigh = [SqueezeExcite(row.expanded, row.squeezed)] if row.squeezed else []
        layers += [*weigh, row.activation()] if squeeze_first else [row.activation(), *weigh]
        layers.append(ConvNorm(row.expanded, row.channels, 1, norm))
        self.layers = nn.Sequential(*layers)
        self.has_shortcut = row.stride == 1 and row.channels == in_channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """The features after the block."""
        update: Tensor = self.layers(x)
        return x + update if self.has_shortcut else update


class MobileNetV3(nn.Module):
    """Stem, blocks, and the widening convolution behind them."""

    def __init__(self, config: MobileNetV3Config) -> None:
        super().__init__()
        self.taps = config.taps
        self.stem = nn.Sequential(ConvNorm(config.in_channels, STEM_CHANNELS, 3, config.norm, stride=2), nn.Hardswish())
        self.blocks = nn.ModuleList()
        channels = STEM_CHANNELS
        for row in config.rows:
            self.blocks.append(InvertedResidual(channels, row, config.norm, squeeze_first=config.squeeze_first))
            channels = row.channels
        self.last = nn.Sequential()
        if config.last_channels:
            self.last.extend((ConvNorm(channels, config.last_channels, 1, config.norm), nn.Hardswish()))

    def forward(self, image: Float[Tensor, "b channels height width"]) -> tuple[Float[Tensor, "b _c _h _w"], ...]:
        """The features of the taps, in the order of the blocks, and the last ones."""
        x, tapped = self.stem(image), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                tapped.append(x)
        return (*tapped, self.last(x))


def mobilenet_v3_large() -> MobileNetV3:
    """MobileNetV3-Large without its classifier: 2,971,952 parameters, features at a thirty-second of the image."""
    return MobileNetV3(MOBILENET_V3_LARGE)
