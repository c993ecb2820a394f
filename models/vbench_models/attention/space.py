"""Space-only attention: each frame attends within itself, and nothing passes between frames.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3, "space attention",
https://arxiv.org/abs/2102.05095. Differs from the paper: no class token.
"""

from vbench_models.layers.attention import AttentionConfig, AxisAttention, projection_macs
from vbench_models.video import TokenGrid


class SpaceAttention(AxisAttention):
    """Attention over height and width."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config, "h w")


def build(grid: TokenGrid, dim: int, num_heads: int) -> SpaceAttention:  # noqa: ARG001 - every grid will do
    """Space-only attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SpaceAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n = t*h*w queries, each against the h*w keys of its frame.
    """
    return 2 * grid.tokens * (grid.h * grid.w) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
