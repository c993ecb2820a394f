"""Pruned attention: a learned score keeps, for each block of queries, a fraction of the blocks of keys.

Gao et al., "SeerAttention: Learning Intrinsic Sparse Attention in Your LLMs", 2024, sec. 3,
https://arxiv.org/abs/2410.13276: queries and keys are pooled over blocks of consecutive tokens (in t, h, w order) and a
small gate scores each pair of blocks, in each head. The kept blocks are gathered and only they are computed. Differs
from the paper: means are the only pooling; and the gate is additive, score = w . tanh(U q + V k) (Bahdanau et al.,
2015, https://arxiv.org/abs/1409.0473), so that every product of the scoring has a parameter in it. As in the paper the
choice itself has no gradient: `scores` is what one trains, against block maxima of the full attention map.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs, split_heads
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class PrunedConfig(AttentionConfig):
    """Widths, blocks and the kept fraction of them; a grid smaller than one block is one block.

    Raises:
        ModelError: `keep` is not in (0, 1], or `num_heads` does not divide `embed_dim`.
    """

    block_size: int = 128
    keep: float = 0.25
    score_dim: int = 16

    def __post_init__(self) -> None:
        AttentionConfig.__post_init__(self)
        if not 0 < self.keep <= 1:
            raise ModelError(f"keep must be a fraction above 0 and at most 1; got keep={self.keep}")


class BlockScore(nn.Module):
    """One number for every block of queries, block of keys and head."""

    is_mixing_extra = True

    def __init__(self, head_dim: int, score_dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(head_dim, score_dim) * head_dim**-0.5)
        self.key = nn.Parameter(torch.randn(head_dim, score_dim) * head_dim**-0.5)
        self.out = nn.Parameter(torch.randn(score_dim, 1) * score_dim**-0.5)

    def forward(
        self, q: Float[Tensor, "b heads blocks d"], k: Float[Tensor, "b heads blocks d"]
    ) -> Float[Tensor, "b heads blocks blocks"]:
        """Rows are blocks of queries, columns blocks of keys."""
        of_queries = rearrange(q @ self.query, "b heads i s -> b heads i 1 s")
        of_keys = rearrange(k @ self.key, "b heads j s -> b heads 1 j s")
        return (torch.tanh(of_queries + of_keys) @ self.out).squeeze(-1)


class PrunedAttention(nn.Module):
    """Attention of each block of queries to the blocks of keys that score highest with it."""

    def __init__(self, config: PrunedConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.score = BlockScore(config.head_dim, config.score_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Scoring, which is counted as mixing extra, and the attention to what it keeps."""
        tokens, shape = q[0, 0, ..., 0].numel(), q.shape
        size = block_size(tokens, self.config)
        blocks = blocks_of(tokens, self.config)
        queries, keys, values = (rearrange(into_blocks(x, size), "b heads i s d -> (b heads i) s d") for x in (q, k, v))
        first = torch.arange(0, len(keys), blocks, device=q.device)
        index = rearrange(self.kept(q, k), "b heads i kept -> (b heads) i kept")
        rows = rearrange(index + first[:, None, None], "s i kept -> (s i) kept")

        def attend_kept(queries: Tensor, rows: Tensor) -> Tensor:
            kept_keys, kept_values = (gather_blocks(x, rows) for x in (keys, values))
            mask = self._kept_are_tokens(rows % blocks, tokens) if tokens % size else None
            return attend(queries.unsqueeze(1), kept_keys, kept_values, mask)

        at_once = rows_at_once(q.device, len(rows), 2 * rows.shape[1] * keys[0].numel())
        out = in_parts(attend_kept, at_once, queries, rows, dim=0)
        out = rearrange(out, "(b heads i) 1 s d -> b heads (i s) d", b=shape[0], heads=shape[1])
        return out[:, :, :tokens].reshape(shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update

    def scores(
        self, q: Float[Tensor, "b heads t h w d"], k: Float[Tensor, "b heads t h w d"]
    ) -> Float[Tensor, "b heads blocks blocks"]:
        """What the gate thinks of every pair of blocks, from the means over their tokens."""
        tokens = q[0, 0, ..., 0].numel()
        size = block_size(tokens, self.config)
        counts = self._are_tokens(tokens, q.device).sum(-1, keepdim=True)
        means = (into_blocks(x, size).sum(-2) / counts for x in (q, k))
        scores: Tensor = self.score(*means)
        return scores

    def kept(
        self, q: Float[Tensor, "b heads t h w d"], k: Float[Tensor, "b heads t h w d"]
    ) -> Int[Tensor, "b heads blocks kept"]:
        """For each block of queries the blocks of keys with the highest scores."""
        scores = self.scores(q, k)
        return scores.topk(kept_blocks(scores.shape[-1], self.config), sorted=False).indices

    def _are_tokens(self, tokens: int, device: torch.device) -> Bool[Tensor, "blocks size"]:
        """Which places of the blocks hold a token; the last block may end in padding."""
        size = block_size(tokens, self.config)
        return rearrange(
            torch.arange(-(-tokens // size) * size, device=device) < tokens, "(j size) -> j size", size=size
        )

    def _kept_are_tokens(self, index: Int[Tensor, "rows kept"], tokens: int) -> Bool[Tensor, "rows 1 1 keys"]:
        return rearrange(self._are_tokens(tokens, index.device)[index], "rows j size -> rows 1 1 (j size)")


def into_blocks(x: Float[Tensor, "b heads t h w d"], size: int) -> Float[Tensor, "b heads blocks size d"]:
    """Blocks of consecutive tokens; the last one is filled up with zeros."""
    x = x.flatten(2, 4)
    padding = -x.shape[2] % size
    x = F.pad(x, (0, 0, 0, padding)) if padding else x
    return rearrange(x, "b heads (j size) d -> b heads j size d", size=size)


def gather_blocks(x: Float[Tensor, "blocks size d"], rows: Int[Tensor, "rows kept"]) -> Float[Tensor, "rows 1 keys d"]:
    """The chosen blocks of every block of queries, end to end: whole blocks are copied, not single tokens."""
    chosen = x.flatten(1).index_select(0, rows.flatten())
    return rearrange(chosen, "(rows j) (size d) -> rows 1 (j size) d", rows=len(rows), size=x.shape[1])


def build(grid: TokenGrid, dim: int, num_heads: int) -> PrunedAttention:  # noqa: ARG001 - every grid will do
    """Attention to a quarter of the blocks of 128 keys, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return PrunedAttention(PrunedConfig(embed_dim=dim, num_heads=num_heads))


def block_size(tokens: int, config: PrunedConfig) -> int:
    """Tokens of a block: never more than there are."""
    return min(config.block_size, tokens)


def blocks_of(tokens: int, config: PrunedConfig) -> int:
    """Blocks of a sequence, the last one perhaps padded."""
    return -(-tokens // block_size(tokens, config))


def kept_blocks(blocks: int, config: PrunedConfig) -> int:
    """Blocks of keys that each block of queries keeps: the nearest number to the fraction, and at least one."""
    return max(1, round(config.keep * blocks))


def computed_pairs(grid: TokenGrid, config: PrunedConfig) -> int:
    """Pairs of a query and a key of which a score is computed, in one head; padding included.

    The useful ones are as many where the blocks divide the grid; else it depends on how often the last block is kept.
    """
    blocks, size = blocks_of(grid.tokens, config), block_size(grid.tokens, config)
    return blocks * kept_blocks(blocks, config) * size**2


def core_macs(grid: TokenGrid, config: PrunedConfig) -> int:
    """MACs of q k^T and a v over the kept blocks of one clip; 1 multiply-add = 1 MAC, softmax excluded.

    n queries against a quarter of the keys: the square stays, and falls linearly with the kept fraction.
    """
    return 2 * computed_pairs(grid, config) * config.embed_dim


def mixing_extra_macs(grid: TokenGrid, config: PrunedConfig) -> int:
    """MACs of the scoring on one clip: two small projections of each block, and `score_dim` for each pair and head."""
    blocks = blocks_of(grid.tokens, config)
    return config.score_dim * blocks * (2 * config.embed_dim + config.num_heads * blocks)


def macs(grid: TokenGrid, config: PrunedConfig) -> int:
    """MACs of the whole module on one clip: core, scoring and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
