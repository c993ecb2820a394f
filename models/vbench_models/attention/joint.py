"""Joint space-time attention: every token attends to every token of the clip.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3, "joint space-time
attention", https://arxiv.org/abs/2102.05095; model 1 of Arnab et al., "ViViT", ICCV 2021, sec. 3.3,
https://arxiv.org/abs/2103.15691. Differs from the papers: no class token.
"""

from vbench_models.layers.attention import AttentionConfig, AxisAttention, projection_macs
from vbench_models.video import TokenGrid


class JointAttention(AxisAttention):
    """Attention over time, height and width at once."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config, "t h w")


def build(grid: TokenGrid, dim: int, num_heads: int) -> JointAttention:  # noqa: ARG001 - every grid will do
    """Joint space-time attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return JointAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n = t*h*w queries, each against all n keys.
    """
    return 2 * grid.tokens**2 * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
