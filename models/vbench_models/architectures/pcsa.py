"""PCSA: video salient object detection by a light network, with constrained self-attention across all frames.

Gu et al., "Pyramid Constrained Self-Attention Network for Fast Video Salient Object Detection", AAAI 2020, sec. 3,
https://doi.org/10.1609/aaai.v34i07.6718. On each frame a MobileNetV3-Large that halves three times of five, then
parallel dilated convolutions; the attention, among all frames; on each frame again the result and features at a
quarter of the frame, which become a map. The pyramid is one of windows: each of the four heads has its own radius and
dilation. There is one feature map that attends, not a pyramid of them.

Facts from the official code: the trunk leaves strides out but dilates nothing, its last block but one is narrower than
the paper's, and it weighs channels before the activation; the attention has no bias. Differs from it: places outside
the frame are skipped. The official wrapper fills their scores with minus infinity, but its kernel writes zeros over
that, so that they thin out the sum near the borders.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.constrained import ConstrainedAttention, ConstrainedConfig
from vbench_models.layers.mobilenet import LARGE, MOBILENET_V3_LARGE, MobileNetV3, Row, SqueezeExcite
from vbench_models.layers.upsampling import enlarged
from vbench_models.video import Clip, TokenGrid

PITCH = 8  # pixels between two places that attend
UNSTRIDED = (3, 12)  # blocks of MobileNetV3-Large that halve the map there and not here
LOW_BLOCK = 2  # the last block at a quarter of the frame
KERNELS = (1, 3, 5, 7)  # of the parallel branches; the second convolution of each is as many pixels apart


@dataclass(frozen=True, kw_only=True)
class PCSAConfig:
    """The defaults are the official code's."""

    attention: ConstrainedConfig = field(
        default_factory=lambda: ConstrainedConfig(embed_dim=32, num_heads=4, qkv_bias=False)
    )
    branch_channels: int = 128
    map_channels: int = 16
    dropout: float = 0.1


PCSA_MOBILENET = PCSAConfig()


class Saliency(NamedTuple):
    """How likely each pixel belongs to what stands out, between 0 and 1."""

    masks: Float[Tensor, "b t height width"]


class PCSA(nn.Module):
    """Features of each frame, attention across them, and a map of each frame; for frames of the clip's size."""

    def __init__(self, config: PCSAConfig, clip: Clip) -> None:
        super().__init__()
        width = config.attention.embed_dim
        self.trunk = MobileNetV3(
            replace(
                MOBILENET_V3_LARGE, rows=trunk_rows(), last_channels=0, taps=(LOW_BLOCK,), norm=nn.BatchNorm2d,
                squeeze_first=True,
            )
        )  # fmt: skip
        self.branches = ParallelBranches(LARGE[-1].channels, config.branch_channels, width)
        self.attention = UnbiasedAttention(config.attention, attention_grid(clip))
        self.join = JoinLevels(width, LARGE[LOW_BLOCK].channels, config.map_channels)
        self.head = nn.Sequential(nn.Dropout2d(config.dropout), nn.Conv2d(config.map_channels, 1, 1, bias=False))

    def forward(self, video: Float[Tensor, "b channels t height width"]) -> Saliency:
        """The map of every frame; all frames attend to one another."""
        low, high = self.trunk(rearrange(video, "b c t height width -> (b t) c height width"))
        x = rearrange(self.branches(high), "(b t) c h w -> b t h w c", b=len(video))
        x = rearrange(x + self.attention(x), "b t h w c -> (b t) c h w")
        maps = self.head(self.join(enlarged(x, (low.shape[2], low.shape[3])), low))
        logits = enlarged(maps, (video.shape[3], video.shape[4]))
        return Saliency(rearrange(logits.sigmoid(), "(b t) 1 height width -> b t height width", b=len(video)))


class UnbiasedAttention(ConstrainedAttention):
    """The pattern with projections that have no bias, neither in nor out."""

    def __init__(self, config: ConstrainedConfig, grid: TokenGrid) -> None:
        super().__init__(config, grid)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim, bias=False)


class ParallelBranches(nn.Module):
    """Branches that look ever further around, all depth-wise but for one mixing each; their results side by side."""

    def __init__(self, in_channels: int, branch_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weigh = SqueezeExcite(in_channels, in_channels // 4)
        self.reduce = nn.Sequential(*conv_norm(in_channels, branch_channels, 1), nn.PReLU(branch_channels))
        self.branches = nn.ModuleList(branch(branch_channels, kernel) for kernel in KERNELS)
        joined = in_channels + len(KERNELS) * branch_channels
        self.mix = nn.Sequential(*conv_norm(joined, out_channels, 1), nn.PReLU())

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        """The features at all distances, mixed, and the input with them as it was before its channels were weighed."""
        reduced = self.reduce(self.weigh(x))
        out: Tensor = self.mix(torch.cat([x, *(branch(reduced) for branch in self.branches)], dim=1))
        return out


class JoinLevels(nn.Module):
    """The sum of the high level, seen near and far by half its channels each, and the low one; then refined."""

    def __init__(self, high_channels: int, low_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.high = nn.Conv2d(high_channels, channels, 1, bias=False)
        self.near = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.far = nn.Conv2d(half, half, 3, padding=2, dilation=2, bias=False)
        self.high_norm = nn.BatchNorm2d(channels)
        self.low = nn.Sequential(*conv_norm(low_channels, channels, 1))
        self.activation = nn.PReLU(channels)
        self.refine = nn.Sequential(*conv_norm(channels, channels, 3), nn.PReLU())

    def forward(self, high: Float[Tensor, "b c h w"], low: Float[Tensor, "b low_c h w"]) -> Float[Tensor, "b c2 h w"]:
        """Features of the low level's size."""
        near, far = self.high(high).chunk(2, dim=1)
        seen = self.high_norm(torch.cat((self.near(near), self.far(far)), dim=1))
        out: Tensor = self.refine(self.activation(seen + self.low(low)))
        return out


def pcsa(clip: Clip) -> PCSA:
    """PCSA with MobileNetV3-Large for clips of `clip`'s size: 2.6 M parameters."""
    return PCSA(PCSA_MOBILENET, clip)


def trunk_rows() -> tuple[Row, ...]:
    """The official trunk: two strides fewer, the last block but one less wide, squeezed to exactly a quarter."""
    rows = list(LARGE)
    rows[-2] = replace(rows[-2], expanded=672)
    for index in UNSTRIDED:
        rows[index] = replace(rows[index], stride=1)
    return tuple(replace(row, squeezed=row.expanded // 4 if row.squeezed else 0) for row in rows)


def attention_grid(clip: Clip) -> TokenGrid:
    """The places that attend: an eighth of the frame, rounded up."""
    return TokenGrid(clip.frames, -(-clip.height // PITCH), -(-clip.width // PITCH))


def branch(channels: int, kernel_size: int) -> nn.Sequential:
    """A depth-wise convolution, one that mixes channels, and a depth-wise one that is dilated by the first's kernel.

    A first kernel of one pixel would change nothing, and is left out.
    """
    first = conv_norm(channels, channels, kernel_size, groups=channels) if kernel_size > 1 else []
    mix = [*conv_norm(channels, channels, 1), nn.PReLU()]
    return nn.Sequential(*first, *mix, *conv_norm(channels, channels, 3, dilation=kernel_size, groups=channels))


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, *, dilation: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias that keeps the map's size, and a norm."""
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=dilation * (kernel_size // 2), dilation=dilation, groups=groups,
        bias=False,
    )  # fmt: skip
    return [conv, nn.BatchNorm2d(out_channels)]
