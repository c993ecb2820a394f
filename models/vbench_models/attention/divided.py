"""Divided space-time attention: along time, then within each frame; or the other way round.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3, "divided
space-time attention", https://arxiv.org/abs/2102.05095; both orders: sec. 4.7. Differs from the paper: no class token,
and the second step sees the normalised stream plus the first step's update (see `StepwiseAttention`).
"""

from vbench_models.layers.attention import AttentionConfig, StepwiseAttention, projection_macs
from vbench_models.video import TokenGrid


class DividedAttention(StepwiseAttention):
    """Attention over time, then over height and width."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config, ("t", "h w"))


class SpaceFirstDividedAttention(StepwiseAttention):
    """Attention over height and width, then over time."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config, ("h w", "t"))


def build(grid: TokenGrid, dim: int, num_heads: int) -> DividedAttention:  # noqa: ARG001 - every grid will do
    """Divided attention, time then space, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return DividedAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def build_space_first(
    grid: TokenGrid,  # noqa: ARG001 - every grid will do
    dim: int,
    num_heads: int,
) -> SpaceFirstDividedAttention:
    """Divided attention, space then time, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SpaceFirstDividedAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip, in either order; 1 multiply-add = 1 MAC, softmax excluded.

    n = t*h*w queries, each against the t keys of its position and then the h*w keys of its frame.
    """
    return 2 * grid.tokens * (grid.t + grid.h * grid.w) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip, norms excluded: the core and 4 + 1 + 4 = 9 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config, steps=2)
