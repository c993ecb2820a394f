"""Strided temporal attention: each token attends, at its own position, to frames 0, s, 2s, ... of the clip.

The fixed strided pattern of Child et al., "Generating Long Sequences with Sparse Transformers", 2019, sec. 4.3,
https://arxiv.org/abs/1904.10509, along time. Differs from the paper: not causal, every query sees the same frames, and
no local half goes with it. The frames between are sliced away before the products, not masked after them. The number
of keys is ceil(t / s): it grows with the clip, so the cost stays quadratic in t.
"""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.neighborhoods import ProjectedAttention, at_least
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class StridedConfig(AttentionConfig):
    """Widths and the stride s between two key frames; a clip of s frames or fewer has one key frame, its first.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or the stride is below 1.
    """

    stride: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, stride=self.stride)


class StridedAttention(ProjectedAttention):
    """Attention over every s-th frame, at one position. All frames are projected, by one product."""

    config: StridedConfig

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone: t queries against ceil(t / s) keys at each position."""
        b, _, _, h, w, _ = q.shape
        k, v = (x[:, :, :: self.config.stride] for x in (k, v))
        q, k, v = (rearrange(x, "b heads t h w d -> (b h w) heads t d") for x in (q, k, v))
        out = attend(q, k, v)
        return rearrange(out, "(b h w) heads t d -> b heads t h w d", b=b, h=h, w=w)


def build(grid: TokenGrid, dim: int, num_heads: int) -> StridedAttention:  # noqa: ARG001 - every grid will do
    """Strided temporal attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return StridedAttention(StridedConfig(embed_dim=dim, num_heads=num_heads))


def computed_pairs(grid: TokenGrid, config: StridedConfig) -> int:
    """Pairs of a query and a key of which one head computes a score: t*h*w * ceil(t / s)."""
    return grid.tokens * -(-grid.t // config.stride)


def useful_pairs(grid: TokenGrid, config: StridedConfig) -> int:
    """Pairs that take part in one head's output: all that are computed."""
    return computed_pairs(grid, config)


def core_macs(grid: TokenGrid, config: StridedConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded: 2 d a pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: StridedConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
