"""What sparse patterns share: the projections around a core, and the cutting of a grid into blocks of any size.

A grid that the blocks do not tile is cut into at most eight regions, whole blocks and remainders along each axis, each
of which its blocks tile exactly. So nothing is padded, and no score is computed that is not wanted.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, split_heads
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.video import ModelError, TokenGrid

Thw: TypeAlias = tuple[int, int, int]
Region: TypeAlias = tuple[slice, slice, slice]
AttendBlocks: TypeAlias = Callable[..., Tensor]  # of q, k, v, what else is handed on, and the region


class ProjectedAttention(nn.Module, ABC):
    """One projection to q, k, v, one out, and between them the `core` that a pattern defines."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    @abstractmethod
    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, on given q, k, v."""

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


def at_least(minimum: int, **values: int) -> None:
    """Refuse any of the named `values` that is below `minimum`.

    Raises:
        ModelError: one is.
    """
    for name, value in values.items():
        if value < minimum:
            raise ModelError(f"{name} must be at least {minimum}; got {name}={value}")


def by_blocks(
    attend: AttendBlocks,
    block_size: Thw,
    q: Float[Tensor, "b heads t h w d"],
    k: Float[Tensor, "b heads t h w d"],
    v: Float[Tensor, "b heads t h w d"],
    *shared: Float[Tensor, "b heads m d"],
) -> Float[Tensor, "b heads t h w d"]:
    """Attention within blocks: `attend(q, k, v, *shared, region)` for each region of equal blocks.

    It takes the region's q, k and v as `(b blocks) heads n d`, and `shared` as it is; on a CPU some heads at a time.
    """
    heads = rows_at_once(q.device, q.shape[1], q[:, 0].numel())
    return in_parts(partial(_by_blocks, attend, block_size), heads, q, k, v, *shared, dim=1)


def _by_blocks(attend: AttendBlocks, block_size: Thw, q: Tensor, k: Tensor, v: Tensor, *shared: Tensor) -> Tensor:
    out = torch.empty_like(q)
    for region in regions((q.shape[2], q.shape[3], q.shape[4]), block_size):
        part = (..., *region, slice(None))
        _, _, t, h, w, _ = q[part].shape
        q_blocks, k_blocks, v_blocks = (to_blocks(x[part], block_size) for x in (q, k, v))
        blocks = attend(q_blocks, k_blocks, v_blocks, *shared, region)
        out[part] = from_blocks(blocks, block_size, (t, h, w))
    return out


def regions(extents: Thw, block_size: Thw) -> list[Region]:
    """The parts of a grid that hold whole blocks and remainders along t, h and w: from one to eight of them."""
    axes = []
    for extent, size in zip(extents, block_size, strict=True):
        whole = extent // size * size
        axes.append([slice(*span) for span in ((0, whole), (whole, extent)) if span[0] < span[1]])
    return list(product(*axes))


def to_blocks(x: Float[Tensor, "b heads t h w d"], block_size: Thw) -> Float[Tensor, "blocks heads n d"]:
    """The blocks of a region join the batch; a remainder is one block."""
    t, h, w = (min(axis) for axis in zip(block_size, x.shape[2:5], strict=True))
    return rearrange(x, "b heads (nt t) (nh h) (nw w) d -> (b nt nh nw) heads (t h w) d", t=t, h=h, w=w)


def from_blocks(
    blocks: Float[Tensor, "blocks heads n d"], block_size: Thw, extents: Thw
) -> Float[Tensor, "b heads t h w d"]:
    """The region of `extents` that `to_blocks` cut up."""
    t, h, w = (min(axis) for axis in zip(block_size, extents, strict=True))
    nt, nh, nw = extents[0] // t, extents[1] // h, extents[2] // w
    axes = {"nt": nt, "nh": nh, "nw": nw, "t": t, "h": h, "w": w}
    return rearrange(blocks, "(b nt nh nw) heads (t h w) d -> b heads (nt t) (nh h) (nw w) d", **axes)


def block_pairs(grid: TokenGrid, block_size: Thw) -> int:
    """Pairs of tokens that share a block: size^2 for each whole block and rest^2 for the remainder, along each axis."""
    pairs = 1
    for extent, size in zip((grid.t, grid.h, grid.w), block_size, strict=True):
        pairs *= extent // size * size**2 + (extent % size) ** 2
    return pairs
