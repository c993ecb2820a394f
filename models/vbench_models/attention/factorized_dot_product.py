"""Factorised dot-product attention: half of the heads attend over time, the other half over space.

Model 4 of Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691.
The first half of the heads takes time, as in the official code; the parameters are those of joint attention.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend_over, projection_macs, split_heads
from vbench_models.video import ModelError, TokenGrid


class FactorizedDotProductAttention(nn.Module):
    """One projection to q, k, v; two neighbourhoods, one for each half of the heads.

    Raises:
        ModelError: an odd number of heads has no halves.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        if config.num_heads % 2:
            near = f"{config.num_heads - 1} or {config.num_heads + 1}" if config.num_heads > 1 else "2"
            raise ModelError(f"num_heads must be even; got num_heads={config.num_heads}, nearest: {near}")
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone: the first half of the heads over time, the second over height and width."""
        (q_time, q_space), (k_time, k_space), (v_time, v_space) = (x.chunk(2, dim=1) for x in (q, k, v))
        over_time = attend_over("t", q_time, k_time, v_time)
        over_space = attend_over("h w", q_space, k_space, v_space)
        return torch.cat((over_time, over_space), dim=1)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


def build(grid: TokenGrid, dim: int, num_heads: int) -> FactorizedDotProductAttention:  # noqa: ARG001 - every grid will do
    """Factorised dot-product attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`, or `num_heads` is odd.
    """
    return FactorizedDotProductAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n = t*h*w queries against t keys in half of the channels and h*w keys in the other half.
    """
    return grid.tokens * (grid.t + grid.h * grid.w) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
