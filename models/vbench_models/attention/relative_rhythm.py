"""Rhythm-aware temporal attention: absolute temporal positions, and a learned bias for every distance in time.

Each token attends to its own position in every frame. Absolute positions are added to the input (Vaswani et al.,
"Attention Is All You Need", 2017, sec. 3.5, https://arxiv.org/abs/1706.03762, learned); to the score of two frames
comes a number for their signed distance, one for each head (Shaw et al., "Self-Attention with Relative Position
Representations", NAACL 2018, https://arxiv.org/abs/1803.02155, in the scalar form of Raffel et al., "T5", JMLR 2020,
sec. 2.1, https://arxiv.org/abs/1910.10683). Differs from T5: every distance has a number of its own, none share one.

So a rhythm of p frames can be learned as such: a bias at distances p, 2p, ... in one head. The cost is that of
temporal attention, quadratic in t; the bias is t x t numbers a head, shared by all positions.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.neighborhoods import ProjectedAttention
from vbench_models.layers.positions import learned
from vbench_models.video import TokenGrid


class RelativeRhythmAttention(ProjectedAttention):
    """Temporal attention of one position, for clips of exactly `num_frames` frames."""

    distance: Int[Tensor, "t t"]

    def __init__(self, config: AttentionConfig, num_frames: int) -> None:
        super().__init__(config)
        self.positions = learned(num_frames, 1, 1, config.embed_dim)
        self.rhythm = learned(config.num_heads, 2 * num_frames - 1)
        frames = torch.arange(num_frames)
        self.register_buffer("distance", frames[:, None] - frames + num_frames - 1, persistent=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, with its bias; absolute positions belong to the input."""
        b, _, _, h, w, _ = q.shape
        bias = rearrange(self.rhythm[:, self.distance], "heads t s -> 1 heads t s").to(q.dtype)
        q, k, v = (rearrange(x, "b heads t h w d -> (b h w) heads t d") for x in (q, k, v))
        out = attend(q, k, v, bias)
        return rearrange(out, "(b h w) heads t d -> b heads t h w d", b=b, h=h, w=w)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        return super().forward(x + self.positions)


def build(grid: TokenGrid, dim: int, num_heads: int) -> RelativeRhythmAttention:
    """Rhythm-aware temporal attention for clips of `grid.t` frames, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return RelativeRhythmAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads), grid.t)


def computed_pairs(grid: TokenGrid, config: AttentionConfig) -> int:  # noqa: ARG001 - every pattern's signature
    """Pairs of a query and a key of which one head computes a score: t*h*w queries, t keys each."""
    return grid.tokens * grid.t


def useful_pairs(grid: TokenGrid, config: AttentionConfig) -> int:
    """Pairs that take part in one head's output: all that are computed."""
    return computed_pairs(grid, config)


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax and bias excluded: 2 d a pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
