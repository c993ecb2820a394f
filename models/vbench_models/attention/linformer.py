"""Linformer: keys and values are projected along the tokens to a fixed number of them.

Wang et al., "Linformer: Self-Attention with Linear Complexity", 2020, sec. 4, https://arxiv.org/abs/2006.04768. The
projections E and F are shared by all heads ("headwise sharing") and have one weight for every token, so a module
belongs to one grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, projection_macs, split_heads
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class LinformerConfig(AttentionConfig):
    """Widths and the number of projected keys; a grid of fewer tokens is projected to its own length."""

    projected_length: int = 256


class LengthProjection(nn.Module):
    """A learned mixture of all n tokens for each of the projected ones."""

    is_mixing_extra = True

    def __init__(self, tokens: int, projected: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(projected, tokens) * projected**-0.5)

    def forward(self, x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b heads m d"]:
        """One product for all clips and heads."""
        b, heads, n, _ = x.shape
        if n != self.weight.shape[1]:
            raise ModelError(
                f"this module was built for {self.weight.shape[1]} tokens; got {n}: build it for that grid"
            )
        mixed = self.weight @ rearrange(x, "b heads n d -> n (b heads d)")
        return rearrange(mixed, "m (b heads d) -> b heads m d", b=b, heads=heads)


class LinformerAttention(nn.Module):
    """Attention to `projected_length` mixtures of the keys; for one grid."""

    def __init__(self, config: LinformerConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.project_keys = LengthProjection(grid.tokens, projected_tokens(grid, config))
        self.project_values = LengthProjection(grid.tokens, projected_tokens(grid, config))
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention with its projections along the tokens, which are counted as mixing extra."""
        keys, values = self.project_keys(k.flatten(2, 4)), self.project_values(v.flatten(2, 4))
        return F.scaled_dot_product_attention(q.flatten(2, 4), keys, values).reshape(q.shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


def build(grid: TokenGrid, dim: int, num_heads: int) -> LinformerAttention:
    """Linformer with k = 256 for `grid`, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return LinformerAttention(LinformerConfig(embed_dim=dim, num_heads=num_heads), grid)


def projected_tokens(grid: TokenGrid, config: LinformerConfig) -> int:
    """Keys after the projection: never more than there are tokens."""
    return min(config.projected_length, grid.tokens)


def core_macs(grid: TokenGrid, config: LinformerConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n queries, each against 256 keys: linear from 256 tokens on, the square below.
    """
    return 2 * grid.tokens * projected_tokens(grid, config) * config.embed_dim


def mixing_extra_macs(grid: TokenGrid, config: LinformerConfig) -> int:
    """MACs of E k and F v on one clip: as many as those of the core."""
    return 2 * projected_tokens(grid, config) * grid.tokens * config.embed_dim


def macs(grid: TokenGrid, config: LinformerConfig) -> int:
    """MACs of the whole module on one clip: core, E and F, and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
