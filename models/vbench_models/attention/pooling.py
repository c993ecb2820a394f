"""Pooling attention: queries attend to keys and values that a strided convolution has pooled.

Fan et al., "Multiscale Vision Transformers", ICCV 2021, sec. 3.1, https://arxiv.org/abs/2104.11227. Differs from the
paper: no class token; queries are pooled with stride 1, as every block of the improved MViT does (Li et al., "MViTv2",
CVPR 2022, https://arxiv.org/abs/2112.01526), since pooling them between stages is the architecture's; MViTv2's residual
pooling and relative positions are left to it too. The kernels span one head's channels and are shared by all heads.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, projection_macs, split_heads
from vbench_models.layers.pooling import Thw, TokenPooling, pooled_grid, pooling_macs
from vbench_models.video import TokenGrid

EVERY_TOKEN = (1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class PoolingConfig(AttentionConfig):
    """Widths and pooling; an axis shorter than its stride is pooled to one token.

    The stride is MViT-B's for keys and values at 28 x 28 tokens; its stages have (1, 8, 8), (1, 4, 4), (1, 2, 2) and
    (1, 1, 1), so that 7 x 7 of them remain in each frame.
    """

    kernel_size: Thw = (3, 3, 3)
    kv_stride: Thw = (1, 4, 4)
    q_stride: Thw = (1, 1, 1)


class PoolingAttention(nn.Module):
    """One projection to q, k, v; a pooling for each of them; attention among what remains."""

    def __init__(self, config: PoolingConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.pool_q = TokenPooling(config.head_dim, config.kernel_size, EVERY_TOKEN)
        self.pool_k = TokenPooling(config.head_dim, config.kernel_size, config.kv_stride)
        self.pool_v = TokenPooling(config.head_dim, config.kernel_size, config.kv_stride)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention with its pooling: the poolings are part of the core, and counted as mixing extra."""
        b, heads, t, h, w, _ = q.shape
        pools = (self.pool_q, self.pool_k, self.pool_v)
        pooled = (pool(rearrange(x, "b heads ... -> (b heads) ...")) for pool, x in zip(pools, (q, k, v), strict=True))
        q, k, v = (rearrange(x, "(b heads) t h w d -> b heads (t h w) d", b=b, heads=heads) for x in pooled)
        out = F.scaled_dot_product_attention(q, k, v)
        return rearrange(out, "b heads (t h w) d -> b heads t h w d", t=t, h=h, w=w)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


def build(grid: TokenGrid, dim: int, num_heads: int) -> PoolingAttention:  # noqa: ARG001 - every grid will do
    """Pooling attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return PoolingAttention(PoolingConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: PoolingConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n queries, each against the pooled keys, n / 16 of them: the square stays, its coefficient falls.
    """
    return 2 * grid.tokens * pooled_grid(grid, config.kv_stride).tokens * config.embed_dim


def mixing_extra_macs(grid: TokenGrid, config: PoolingConfig) -> int:
    """MACs of the three pooling convolutions on one clip."""
    strides = (EVERY_TOKEN, config.kv_stride, config.kv_stride)
    return sum(pooling_macs(grid, config.kernel_size, stride, config.embed_dim) for stride in strides)


def macs(grid: TokenGrid, config: PoolingConfig) -> int:
    """MACs of the whole module on one clip, norms excluded: core, poolings and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
