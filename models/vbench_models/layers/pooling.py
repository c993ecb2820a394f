"""Pooling of tokens by a depth-wise convolution over time, height and width, and a norm over the channels.

Fan et al., "Multiscale Vision Transformers", ICCV 2021, sec. 3.1, https://arxiv.org/abs/2104.11227. The convolution
has no bias; padding keeps ceil(size / stride) tokens of every axis, so any grid can be pooled.
"""

from math import prod
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.video import TokenGrid

Thw: TypeAlias = tuple[int, int, int]


class ChannelNorm(nn.Module):
    """Layer norm over the last axis; a class of its own, as it belongs to the pooling and stays where norms are cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "*lead c"]) -> Float[Tensor, "*lead c"]:
        """Each token with mean zero and variance one, then scaled and shifted."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, eps=1e-6)


class TokenPooling(nn.Module):
    """One depth-wise kernel per channel, its length odd along every axis."""

    is_mixing_extra = True

    def __init__(self, channels: int, kernel_size: Thw, stride: Thw) -> None:
        super().__init__()
        t, h, w = (size // 2 for size in kernel_size)
        self.conv = nn.Conv3d(channels, channels, kernel_size, stride, padding=(t, h, w), groups=channels, bias=False)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b pt ph pw c"]:
        """The pooled grid; on a CPU the convolution is several times faster with the channels last and without gaps."""
        x = x.contiguous() if x.device.type == "cpu" else x
        pooled = self.conv(rearrange(x, "b t h w c -> b c t h w"))
        normed: Tensor = self.norm(rearrange(pooled, "b c t h w -> b t h w c"))
        return normed


def pooled_grid(grid: TokenGrid, stride: Thw) -> TokenGrid:
    """The grid that remains of `grid`: every axis divided by its stride and rounded up."""
    return TokenGrid(*(-(-extent // step) for extent, step in zip((grid.t, grid.h, grid.w), stride, strict=True)))


def pooling_macs(grid: TokenGrid, kernel_size: Thw, stride: Thw, channels: int) -> int:
    """MACs of one pooling of `channels` channels: the kernel's size for each channel of each pooled token."""
    return prod(kernel_size) * pooled_grid(grid, stride).tokens * channels
