"""Attention from one sequence to another: queries of the first, keys and values of the second.

Vaswani et al., "Attention Is All You Need", 2017, sec. 3.2.3, https://arxiv.org/abs/1706.03762. The other sequence may
have a width of its own. No dropout; weights start as torch starts them.
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend


class CrossAttention(nn.Module):
    """Queries in the width of the sequence that asks; keys and values projected from `other_dim` channels to it."""

    def __init__(self, config: AttentionConfig, other_dim: int) -> None:
        super().__init__()
        self.config = config
        self.query = nn.Linear(config.embed_dim, config.embed_dim, bias=config.qkv_bias)
        self.key_value = nn.Linear(other_dim, 2 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(
        self, x: Float[Tensor, "b n c"], other: Float[Tensor, "b m other_c"], attn_mask: Tensor | None = None
    ) -> Float[Tensor, "b n c"]:
        """The update of every token of `x`; the residual is the caller's. `attn_mask` is torch's."""
        heads = self.config.num_heads
        q = rearrange(self.query(x), "b n (heads d) -> b heads n d", heads=heads)
        k, v = rearrange(self.key_value(other), "b m (two heads d) -> two b heads m d", two=2, heads=heads)
        update: Tensor = self.proj(rearrange(attend(q, k, v, attn_mask), "b heads n d -> b n (heads d)"))
        return update
