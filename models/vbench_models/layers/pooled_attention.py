"""What the multiscale transformers share: patches that overlap, and poolings of sequences that a class token leads.

Fan et al., "Multiscale Vision Transformers", ICCV 2021, sec. 3, https://arxiv.org/abs/2104.11227. The class token is
never pooled, but normalised with the tokens that are. Queries, keys and values are projected apart, so that each is
a video with its channels last as it stands: no pooling here copies its input, and a convolution that the heads share
runs once over all channels.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.mlp import MLP
from vbench_models.layers.pooling import ChannelNorm, Thw
from vbench_models.video import TokenGrid


class Pooling(NamedTuple):
    """Size and step of one pooling; sizes are odd, so that every axis keeps ceil(extent / stride) tokens."""

    kernel_size: Thw
    stride: Thw

    @property
    def padding(self) -> Thw:
        """Half a kernel on either side."""
        t, h, w = self.kernel_size
        return t // 2, h // 2, w // 2


class OverlappingPatches(nn.Module):
    """A strided convolution whose kernel is larger than its stride."""

    def __init__(self, pooling: Pooling, embed_dim: int, in_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, embed_dim, pooling.kernel_size, pooling.stride, pooling.padding)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens of a video; given channels last, the convolution returns them as they are wanted."""
        patches: Tensor = self.proj(video.contiguous(memory_format=torch.channels_last_3d))
        return rearrange(patches, "b c t h w -> b (t h w) c")


class HeadPooling(nn.Module):
    """A depth-wise convolution of each head's patches by the same kernels, and a norm of each head's tokens."""

    is_mixing_extra = True

    def __init__(self, pooling: Pooling, head_dim: int, grid: TokenGrid) -> None:
        super().__init__()
        self.pooling, self.grid = pooling, grid
        self.conv = nn.Conv3d(head_dim, head_dim, pooling.kernel_size, groups=head_dim, bias=False)
        self.norm = ChannelNorm(head_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads m d"]:
        """Each head's tokens, split off its channels."""
        x = torch.cat((x[:, :1], self.pool(x[:, 1:])), dim=1)
        x = self.norm(rearrange(x, "b m (heads d) -> b m heads d", d=len(self.conv.weight)))
        return rearrange(x, "b m heads d -> b heads m d")

    def pool(self, patches: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c"]:
        """The convolution, with the kernels repeated for every head."""
        video = as_video(patches, self.grid)
        channels = video.shape[1]
        kernels = repeat(self.conv.weight, "d ... -> (heads d) ...", heads=channels // len(self.conv.weight))
        _, stride = self.pooling
        pooled = F.conv3d(video, kernels, stride=stride, padding=self.pooling.padding, groups=channels)
        return rearrange(pooled, "b c t h w -> b (t h w) c")


class SplitHeads(nn.Module):
    """What stands in the place of a pooling where there is none: not even a norm."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n d"]:
        """Each head's tokens, split off its channels."""
        return rearrange(x, "b n (heads d) -> b heads n d", d=self.head_dim)


class SkipPooling(nn.Module):
    """The largest of the patches under a kernel, channel by channel: the shortcut around a pooled attention."""

    def __init__(self, pooling: Pooling, grid: TokenGrid) -> None:
        super().__init__()
        self.pooling, self.grid = pooling, grid

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c"]:
        """The tokens of the pooled grid."""
        kernel_size, stride = self.pooling
        pooled = F.max_pool3d(as_video(x[:, 1:], self.grid), kernel_size, stride, self.pooling.padding)
        return torch.cat((x[:, :1], rearrange(pooled, "b c t h w -> b (t h w) c")), dim=1)


class FeedForward(nn.Module):
    """x + mlp(norm(x)), a part of the tokens at a time."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, mlp_ratio)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The tokens after the perceptron."""
        return cached(lambda part: part + self.mlp(self.norm(part)), x, self.mlp.fc1.out_features)


def as_video(patches: Float[Tensor, "b n c"], grid: TokenGrid) -> Float[Tensor, "b c t h w"]:
    """The same numbers, channels first in name and last in memory."""
    return rearrange(patches, "b (t h w) c -> b c t h w", t=grid.t, h=grid.h, w=grid.w)


def head_pooling(pooling: Pooling, head_dim: int, grid: TokenGrid) -> nn.Module:
    """A pooling of `pooling`'s size, or none where it would take each token alone."""
    kernel_size, stride = pooling
    return SplitHeads(head_dim) if prod(kernel_size) == prod(stride) == 1 else HeadPooling(pooling, head_dim, grid)


def cached(per_token: Callable[[Tensor], Tensor], x: Float[Tensor, "b n c"], width: int) -> Float[Tensor, "b n c2"]:
    """The value of `per_token(x)`, which makes up to `width` values of each token and treats each alone."""
    return in_parts(per_token, rows_at_once(x.device, x.shape[1], len(x) * width), x, dim=1)
