"""Multi-head attention over a sequence, along chosen axes of a token grid, and in several steps one after another.

Vaswani et al., "Attention Is All You Need", 2017, sec. 3.2, https://arxiv.org/abs/1706.03762; along the axes of a
grid: Ho et al., "Axial Attention in Multidimensional Transformers", 2019, https://arxiv.org/abs/1912.12180; in steps:
Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095. No dropout; weights start as torch starts them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.video import ModelError, TokenGrid

Axes = Literal["t", "h", "w", "h w", "t h w"]

LARGEST_BATCH = 65_535  # sequences of one fused attention on CUDA: the batch is an axis of the kernel's launch grid

GRID = "b heads t h w d"
FOLDED: dict[Axes, str] = {  # the axes attended over stay; the others join the batch
    "t": "(b h w) heads t d",
    "h": "(b t w) heads h d",
    "w": "(b t h) heads w d",
    "h w": "(b t) heads (h w) d",
    "t h w": "b heads (t h w) d",
}


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Widths of one multi-head attention; the defaults are ViT-B's.

    Raises:
        ModelError: `embed_dim` is no multiple of `num_heads`.
    """

    embed_dim: int = 768
    num_heads: int = 12
    qkv_bias: bool = True

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise ModelError(
                f"embed_dim must be a multiple of num_heads; got embed_dim={self.embed_dim}, num_heads={self.num_heads}"
            )

    @property
    def head_dim(self) -> int:
        """Channels of one head, d."""
        return self.embed_dim // self.num_heads


def split_heads(
    qkv: Float[Tensor, "b t h w qkv"], num_heads: int
) -> tuple[
    Float[Tensor, "b heads t h w d"],
    Float[Tensor, "b heads t h w d"],
    Float[Tensor, "b heads t h w d"],
]:
    """Queries, keys and values out of one projection's channels, laid out (three heads d); three views, no copy."""
    q, k, v = rearrange(qkv, "b t h w (three heads d) -> three b heads t h w d", three=3, heads=num_heads)
    return q, k, v


def attend(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m e"],
    attn_mask: Tensor | None = None,
) -> Float[Tensor, "b heads n e"]:
    """The sum softmax(q k^T / sqrt(d) + mask) v for each of b sequences; `attn_mask` is torch's, and may be shared.

    Values may have another width than queries and keys.

    One call, but for batches on CUDA that no fused kernel takes: those are attended part by part.
    """
    if not q.is_cuda or len(q) <= LARGEST_BATCH:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
    parts = split_batches(q, k, v, attn_mask, LARGEST_BATCH)
    return torch.cat([F.scaled_dot_product_attention(q, k, v, attn_mask=mask) for q, k, v, mask in parts])


def split_batches(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m e"],
    attn_mask: Tensor | None,
    limit: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """q, k, v and the mask of up to `limit` sequences at a time; a mask without a batch of its own goes with each."""
    masks: Iterable[Tensor | None] = repeat(attn_mask)
    if attn_mask is not None and attn_mask.ndim == q.ndim and len(attn_mask) == len(q):
        masks = torch.split(attn_mask, limit)
    return zip(*(torch.split(x, limit) for x in (q, k, v)), masks, strict=False)


def attend_over(
    axes: Axes,
    q: Float[Tensor, "b heads t h w d"],
    k: Float[Tensor, "b heads t h w d"],
    v: Float[Tensor, "b heads t h w d"],
) -> Float[Tensor, "b heads t h w d"]:
    """Each token attends to the tokens that differ from it in `axes` alone, itself included."""
    b, _, t, h, w, _ = q.shape
    q, k, v = (rearrange(x, f"{GRID} -> {FOLDED[axes]}") for x in (q, k, v))
    out = attend(q, k, v)
    return rearrange(out, f"{FOLDED[axes]} -> {GRID}", b=b, t=t, h=h, w=w)


class MultiHeadAttention(nn.Module):
    """Attention among all tokens of a sequence: one projection to q, k, v, and one out."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The update of every token; the residual is the caller's."""
        heads = self.config.num_heads
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=heads)
        update: Tensor = self.proj(rearrange(attend(q, k, v), "b heads n d -> b n (heads d)"))
        return update


class AxisAttention(nn.Module):
    """Attention over `axes` of a token grid, with the projections of `MultiHeadAttention`."""

    def __init__(self, config: AttentionConfig, axes: Axes) -> None:
        super().__init__()
        self.config = config
        self.axes = axes
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, on given q, k, v."""
        return attend_over(self.axes, q, k, v)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


class StepwiseAttention(nn.Module):
    """Attention in several steps, each over its own axes and with its own projections.

    Every step but the first normalises what it is given, the input and all updates so far; every step but the last
    ends in a fully connected layer (TimeSformer's `temporal_fc`). Both follow TimeSformer's divided block, whose first
    normalisation and outer residual are the caller's. So the steps after the first see the residual stream as the
    caller normalised it, where TimeSformer's see the stream itself.
    """

    def __init__(self, config: AttentionConfig, steps: tuple[Axes, ...]) -> None:
        super().__init__()
        self.config = config
        self.axes = steps
        last = len(steps) - 1
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.embed_dim, eps=1e-6) if index > 0 else nn.Identity(),
                AxisAttention(config, axes),
                nn.Linear(config.embed_dim, config.embed_dim) if index < last else nn.Identity(),
            )
            for index, axes in enumerate(steps)
        )

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The steps' attention alone: what one step returns is the next one's query, so none can be skipped."""
        for axes in self.axes:
            q = attend_over(axes, q, k, v)
        return q

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The sum of the steps' updates; the residual is the caller's."""
        first, *rest = self.steps
        update: Tensor = first(x)
        for step in rest:
            update = update + step(x + update)
        return update


def projection_macs(grid: TokenGrid, config: AttentionConfig, *, steps: int = 1) -> int:
    """MACs of all products with weights, of one clip: n = t*h*w tokens, c channels; 1 multiply-add = 1 MAC.

    A step projects each token to q, k, v and out, 4 c^2; between two steps stands one fully connected layer, c^2.
    """
    return (4 * steps + steps - 1) * grid.tokens * config.embed_dim**2
