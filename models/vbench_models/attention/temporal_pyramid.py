"""Temporal pyramid: joint attention at a coarse temporal resolution in early layers, at a finer one later.

The survey note "Temporal Attention Architectures for Video Understanding", 2025, sec. 4.2, names the pattern and no
paper; as far as we know none has exactly this form. Queries, keys and values are averaged over runs of 4, 2 and then 1
frames (the last run may be shorter), and each frame receives the update of its run. Averaging commutes with a
projection, so `forward` averages once, before all of them. The nearest published relative pools features rather than
attention: Yang et al., "Temporal Pyramid Network for Action Recognition", CVPR 2020, https://arxiv.org/abs/2004.03548.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend_over, projection_macs, split_heads
from vbench_models.video import ModelError, TokenGrid

STRIDES = (4, 2, 1)
LAYERS_PER_STRIDE = 4  # of the twelve of a ViT-B


@dataclass(frozen=True, kw_only=True)
class TemporalPyramidConfig(AttentionConfig):
    """Widths and the frames averaged into one; a clip of fewer frames is averaged whole.

    Raises:
        ModelError: a stride below 1, or `num_heads` does not divide `embed_dim`.
    """

    temporal_stride: int = 4

    def __post_init__(self) -> None:
        AttentionConfig.__post_init__(self)
        if self.temporal_stride < 1:
            raise ModelError(f"temporal_stride must be at least 1; got temporal_stride={self.temporal_stride}")


class TemporalPyramidAttention(nn.Module):
    """Joint attention among averages over runs of frames."""

    def __init__(self, config: TemporalPyramidConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone: q, k, v averaged over time, and its output spread over the frames again."""
        b, _, t, *_ = q.shape
        q, k, v = (rearrange(x, "b heads t h w d -> (b heads) t h w d") for x in (q, k, v))
        q, k, v = (average_time(x, self.config.temporal_stride) for x in (q, k, v))
        q, k, v = (rearrange(x, "(b heads) t h w d -> b heads t h w d", b=b) for x in (q, k, v))
        out = rearrange(attend_over("t h w", q, k, v), "b heads t h w d -> (b heads) t h w d")
        return rearrange(spread_time(out, self.config.temporal_stride, t), "(b heads) ... -> b heads ...", b=b)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        coarse = average_time(x, self.config.temporal_stride)
        out = attend_over("t h w", *split_heads(self.qkv(coarse), self.config.num_heads))
        update = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return spread_time(update, self.config.temporal_stride, x.shape[1])


def average_time(x: Float[Tensor, "b t h w c"], stride: int) -> Float[Tensor, "b runs h w c"]:
    """Each run of `stride` frames as its mean; the last run has what is left."""
    _, _, h, w, _ = x.shape
    if stride == 1:
        return x
    runs = F.avg_pool2d(rearrange(x, "b t h w c -> b t (h w c)"), (stride, 1), ceil_mode=True)
    return rearrange(runs, "b runs (h w c) -> b runs h w c", h=h, w=w)


def spread_time(x: Float[Tensor, "b runs h w c"], stride: int, frames: int) -> Float[Tensor, "b t h w c"]:
    """Each run for each of its frames."""
    return x if stride == 1 else repeat(x, "b runs h w c -> b (runs stride) h w c", stride=stride)[:, :frames]


def build(grid: TokenGrid, dim: int, num_heads: int, layer: int = 0) -> TemporalPyramidAttention:  # noqa: ARG001
    """Joint attention at a quarter of the frames in layers 0 to 3, at half of them in 4 to 7, at all of them after.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    stride = STRIDES[min(layer // LAYERS_PER_STRIDE, len(STRIDES) - 1)]
    return TemporalPyramidAttention(TemporalPyramidConfig(embed_dim=dim, num_heads=num_heads, temporal_stride=stride))


def averaged_grid(grid: TokenGrid, config: TemporalPyramidConfig) -> TokenGrid:
    """The grid that attention sees: one frame for each run, the last one included."""
    return TokenGrid(-(-grid.t // config.temporal_stride), grid.h, grid.w)


def core_macs(grid: TokenGrid, config: TemporalPyramidConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax and averages excluded.

    n / stride queries against as many keys: 1/16 and 1/4 of joint attention, and still its square.
    """
    return 2 * averaged_grid(grid, config).tokens ** 2 * config.embed_dim


def macs(grid: TokenGrid, config: TemporalPyramidConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 for every averaged token."""
    return core_macs(grid, config) + projection_macs(averaged_grid(grid, config), config)
