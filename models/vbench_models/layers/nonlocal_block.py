"""The non-local block in its dot-product form: every position of a clip adds a weighted sum over all positions.

Wang et al., "Non-local Neural Networks", CVPR 2018, sec. 3.2 and 3.3, https://arxiv.org/abs/1711.07971. The weights
are dot products of embeddings over the number of positions they are taken with, so no softmax; keys and values are
read from max-pooled features. As in PySlowFast, and unlike the paper's figure 2, the residual ends in a norm, whose
scale starts at zero: an inserted block begins as the identity.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class DotProductNonLocal(nn.Module):
    """Embeddings of half the channels, their products with all others, and back, beside a shortcut."""

    def __init__(self, channels: int, pool_size: tuple[int, int, int]) -> None:
        super().__init__()
        inner = channels // 2
        self.pool = nn.MaxPool3d(pool_size)
        self.query = nn.Conv3d(channels, inner, kernel_size=1)
        self.key = nn.Conv3d(channels, inner, kernel_size=1)
        self.value = nn.Conv3d(channels, inner, kernel_size=1)
        self.out = nn.Conv3d(inner, channels, kernel_size=1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """The features after the block; `x` is at least as large as the pool."""
        pooled = self.pool(x)
        mixed = average_by_products(self.query(x), self.key(pooled), self.value(pooled))
        out: Tensor = x + self.norm(self.out(mixed))
        return out


def average_by_products(
    query: Float[Tensor, "b c t h w"], key: Float[Tensor, "b c kt kh kw"], value: Float[Tensor, "b c kt kh kw"]
) -> Float[Tensor, "b c t h w"]:
    """For each position n the sum over the m pooled ones of (q_n . k_m / M) v_m.

    The products of n with m come first, as in the paper, though k v first would be cheaper: 2 n m c multiply-adds.
    """
    *_, t, h, w = query.shape
    q = rearrange(query, "b c t h w -> b (t h w) c")
    k = rearrange(key, "b c t h w -> b c (t h w)")
    v = rearrange(value, "b c t h w -> b (t h w) c")
    mixed = (q @ (k / k.shape[-1])) @ v  # scaling the keys touches fewer numbers than scaling their products
    return rearrange(mixed, "b (t h w) c -> b c t h w", t=t, h=h, w=w)
