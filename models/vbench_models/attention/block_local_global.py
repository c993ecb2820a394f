"""Block-local attention with global tokens: blocks of space and time, and g learned tokens that join them all.

Zaheer et al., "Big Bird: Transformers for Longer Sequences", NeurIPS 2020, sec. 2, extra global tokens ("ETC"),
https://arxiv.org/abs/2007.14062; Beltagy et al., "Longformer", 2020, sec. 3.1, https://arxiv.org/abs/2004.05150.
Differs from both: blocks do not overlap, no random pairs, and the global tokens live within the layer. So they first
read, then are read: each attends to all n tokens and all g global ones, then every token attends to its block and to
the g tokens, whose keys are learned and whose values are what they read. Queries, keys and values of the global tokens
are learned straight in the width of the heads, without projections.

Linear in t, h and w while block and g are fixed. The scores of the global queries are products with parameters alone on
one side and count as `mixing_extra`; all other products are the core's. Blocks at the far end of an axis are smaller
where the block size does not divide it; nothing is padded.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.neighborhoods import ProjectedAttention, Thw, at_least, block_pairs, by_blocks
from vbench_models.layers.positions import learned
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class BlockLocalGlobalConfig(AttentionConfig):
    """Widths, the block in tokens of (t, h, w), cut to the grid where that is smaller, and the g global tokens.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or a size is below 1.
    """

    block_size: Thw = (4, 7, 7)
    num_global: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, block_size=min(self.block_size), num_global=self.num_global)


class GlobalTokens(nn.Module):
    """Tokens that read the whole clip; queries, keys and values are parameters."""

    is_mixing_extra = True

    def __init__(self, config: BlockLocalGlobalConfig) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (
            learned(config.num_heads, config.num_global, config.head_dim) for _ in range(3)
        )

    def forward(self, k: Float[Tensor, "b heads n d"], v: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b heads g d"]:
        """What the global tokens read; on a CPU some heads at a time."""
        own = (
            repeat(x.to(k.dtype), "heads g d -> b heads g d", b=k.shape[0])
            for x in (self.queries, self.keys, self.values)
        )
        heads = rows_at_once(k.device, k.shape[1], k[:, 0].numel())
        return in_parts(self._read, heads, *own, k, v, dim=1)

    @staticmethod
    def _read(queries: Tensor, keys: Tensor, values: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries, torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2))


class BlockLocalGlobalAttention(ProjectedAttention):
    """Each token attends to its block and to the global tokens, which have read the clip."""

    config: BlockLocalGlobalConfig

    def __init__(self, config: BlockLocalGlobalConfig) -> None:
        super().__init__(config)
        self.global_tokens = GlobalTokens(config)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone: the global tokens read, then all tokens attend."""
        read = self.global_tokens(*(rearrange(x, "b heads t h w d -> b heads (t h w) d") for x in (k, v)))
        keys = repeat(self.global_tokens.keys.to(k.dtype), "heads g d -> b heads g d", b=len(k))

        def attend_block(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, _region: object) -> Tensor:
            keys, values = (
                repeat(x, "b heads g d -> (b blocks) heads g d", blocks=len(q) // len(x)) for x in (keys, values)
            )
            return attend(q, torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2))

        return by_blocks(attend_block, self.config.block_size, q, k, v, keys, read)


def build(grid: TokenGrid, dim: int, num_heads: int) -> BlockLocalGlobalAttention:  # noqa: ARG001 - every grid will do
    """Block-local attention with global tokens, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return BlockLocalGlobalAttention(BlockLocalGlobalConfig(embed_dim=dim, num_heads=num_heads))


def computed_pairs(grid: TokenGrid, config: BlockLocalGlobalConfig) -> int:
    """Pairs of a query and a key of which one head computes a score.

    Those within blocks, n * g of tokens with global keys, and g * (n + g) of global tokens with all keys.
    """
    n, g = grid.tokens, config.num_global
    return block_pairs(grid, config.block_size) + n * g + g * (n + g)


def useful_pairs(grid: TokenGrid, config: BlockLocalGlobalConfig) -> int:
    """Pairs that take part in one head's output: all that are computed."""
    return computed_pairs(grid, config)


def core_macs(grid: TokenGrid, config: BlockLocalGlobalConfig) -> int:
    """MACs of q k^T and a v on one clip, without the scores of the global queries; 1 multiply-add = 1 MAC."""
    return 2 * computed_pairs(grid, config) * config.embed_dim - mixing_extra_macs(grid, config)


def mixing_extra_macs(grid: TokenGrid, config: BlockLocalGlobalConfig) -> int:
    """MACs of the learned global queries with all keys, of one clip: g * (n + g) scores, d a head each."""
    return config.num_global * (grid.tokens + config.num_global) * config.embed_dim


def macs(grid: TokenGrid, config: BlockLocalGlobalConfig) -> int:
    """MACs of the whole module on one clip: the core, the global tokens' scores and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
