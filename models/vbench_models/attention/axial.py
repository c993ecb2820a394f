"""Axial attention: along height, then width, then time.

Ho et al., "Axial Attention in Multidimensional Transformers", 2019, sec. 3, https://arxiv.org/abs/1912.12180; on video:
Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3, "axial attention",
https://arxiv.org/abs/2102.05095, in the order time, width, height. Differs from the papers: no class token, and the
later steps see the normalised stream plus the earlier updates (see `StepwiseAttention`). The cost knows no order.
"""

from jaxtyping import Float
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, StepwiseAttention, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.video import TokenGrid


class AxialAttention(StepwiseAttention):
    """Attention over one axis at a time."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__(config, ("h", "w", "t"))

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The steps' attention alone; on a CPU some heads at a time, cached while they are copied from axis to axis."""
        heads = rows_at_once(q.device, q.shape[1], q[:, 0].numel())
        return in_parts(super().core, heads, q, k, v, dim=1)


def build(grid: TokenGrid, dim: int, num_heads: int) -> AxialAttention:  # noqa: ARG001 - every grid will do
    """Axial attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return AxialAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n = t*h*w queries, each against h keys in its column, w in its row and t at its position.
    """
    return 2 * grid.tokens * (grid.t + grid.h + grid.w) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip, norms excluded: the core and 3 * 4 + 2 = 14 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config, steps=3)
