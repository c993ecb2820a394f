"""The bottleneck ResNet of images, as a backbone: the features of chosen stages, no classifier.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, sec. 4.1, https://arxiv.org/abs/1512.03385.
Differs from the paper, as torchvision and most detectors do: a block's stride is on its 3 x 3 convolution, not on its
first. Stages carry detectors' names, res2 at a quarter of the image to res5 at a thirty-second; those after the last
one asked for are not built, so `stages=("res2", "res3", "res4")` is the network cut after res4.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.video import ModelError

Norm: TypeAlias = Callable[[int], nn.Module]  # channels to a norm: nn.BatchNorm2d, FrozenBatchNorm2d
StageName: TypeAlias = Literal["res2", "res3", "res4", "res5"]

STAGES: tuple[StageName, ...] = ("res2", "res3", "res4", "res5")
RESNET_50 = (3, 4, 6, 3)  # blocks of each stage
RESNET_101 = (3, 4, 23, 3)
STEM_CHANNELS = 64
EXPANSION = 4  # output channels of a bottleneck for each of its inner ones
WIDTHS: dict[StageName, int] = {name: EXPANSION * STEM_CHANNELS * 2**index for index, name in enumerate(STAGES)}


class ConvNorm(nn.Sequential):
    """A square convolution of odd kernel without bias, padded so that only its stride shrinks, and a norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: Norm, stride: int = 1) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        super().__init__(conv, norm(out_channels))


class Stem(nn.Module):
    """A quarter of the height and width, rounded up: a strided 7 x 7 convolution and a strided 3 x 3 pool."""

    def __init__(self, in_channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv = ConvNorm(in_channels, STEM_CHANNELS, 7, norm, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, image: Float[Tensor, "b channels height width"]) -> Float[Tensor, "b c h w"]:
        """The input of the first stage."""
        x: Tensor = self.pool(self.relu(self.conv(image)))
        return x


class Bottleneck(nn.Module):
    """Narrow, look around, widen; beside a shortcut, projected where the shape changes."""

    def __init__(self, in_channels: int, inner: int, norm: Norm, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * inner
        self.narrow = ConvNorm(in_channels, inner, 1, norm)
        self.look = ConvNorm(inner, inner, 3, norm, stride)
        self.widen = ConvNorm(inner, out_channels, 1, norm)
        self.relu = nn.ReLU(inplace=True)
        same_shape = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same_shape else ConvNorm(in_channels, out_channels, 1, norm, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """The features after the block."""
        update = self.relu(self.narrow(x))
        update = self.relu(self.look(update))
        out: Tensor = self.relu(self.shortcut(x) + self.widen(update))
        return out


class ResNet(nn.Module):
    """Stem and stages; `from_stem` is for networks that make the input of the first stage themselves.

    Raises:
        ModelError: `stages` names none.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int] = RESNET_50,
        *,
        stages: tuple[StageName, ...] = ("res5",),
        norm: Norm = nn.BatchNorm2d,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not stages:
            raise ModelError(f"stages must name some of {', '.join(STAGES)}; got none")
        self.returned = stages
        self.stem = Stem(in_channels, norm)
        self.stages = nn.ModuleDict()
        channels = STEM_CHANNELS
        for index, name in enumerate(STAGES[: 1 + max(STAGES.index(name) for name in stages)]):
            inner = STEM_CHANNELS * 2**index
            self.stages[name] = stage(channels, inner, depths[index], norm, stride=2 if index else 1)
            channels = WIDTHS[name]

    def forward(self, image: Float[Tensor, "b channels height width"]) -> tuple[Float[Tensor, "b _c _h _w"], ...]:
        """The features of the stages asked for, in their order; `WIDTHS` has their channels."""
        return self.from_stem(self.stem(image))

    def from_stem(self, x: Float[Tensor, "b 64 h w"]) -> tuple[Float[Tensor, "b _c _h _w"], ...]:
        """The same, from what a stem made of the image."""
        features = {}
        for name, blocks in self.stages.items():
            x = blocks(x)
            features[name] = x
        return tuple(features[name] for name in self.returned)


def stage(in_channels: int, inner: int, depth: int, norm: Norm, stride: int) -> nn.Sequential:
    """`depth` bottlenecks, the first with the stride; the output has `EXPANSION * inner` channels."""
    return nn.Sequential(
        Bottleneck(in_channels, inner, norm, stride),
        *(Bottleneck(EXPANSION * inner, inner, norm, stride=1) for _ in range(depth - 1)),
    )
