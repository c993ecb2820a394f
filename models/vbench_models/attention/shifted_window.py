"""3D shifted-window attention: tokens attend within space-time windows, which every other layer displaces.

Liu et al., "Video Swin Transformer", CVPR 2022, sec. 3.1 and 3.2. https://arxiv.org/abs/2106.13230.

Where the paper leaves a choice, this follows the official code:

- an axis no longer than its window is one window, clipped to the axis and never shifted;
- an axis that its window does not divide is padded with zeros at the far end, and the padding takes part: it is
  projected, attended to and attends; only its output is cut off;
- a clipped window keeps the full-size bias table, and its i-th token reads it as the i-th token of the full window.
  Clipped in time alone, that is the token's own place; clipped in height or width, it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vbench_models.layers.attention import attend
from vbench_models.video import ModelError, TokenGrid

Thw: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ShiftedWindowConfig:
    """Widths and windows; `shift_size` (0, 0, 0) makes the windows regular.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or a shift is not smaller than its window.
    """

    embed_dim: int
    num_heads: int
    window_size: Thw = (8, 7, 7)
    shift_size: Thw = (4, 3, 3)
    qkv_bias: bool = True

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise ModelError(
                f"embed_dim must be a multiple of num_heads; got embed_dim={self.embed_dim}, num_heads={self.num_heads}"
            )
        if not all(0 <= shift < size for shift, size in zip(self.shift_size, self.window_size, strict=True)):
            raise ModelError(
                f"a shift must be at least 0 and smaller than its window; "
                f"got shift_size={self.shift_size}, window_size={self.window_size}"
            )


@dataclass(frozen=True, slots=True)
class Cut:
    """How one axis of `extent` tokens is cut into windows of `size`, displaced by `shift`."""

    extent: int
    size: int
    shift: int

    @property
    def count(self) -> int:
        """Windows along the axis."""
        return -(-self.extent // self.size)

    @property
    def padded(self) -> int:
        """Tokens along the axis, padding included."""
        return self.count * self.size

    @property
    def counts(self) -> tuple[int, ...]:
        """Windows that hold one run of neighbours, then, if the axis is shifted, the last one, which holds two."""
        return (self.count - 1, 1) if self.shift else (self.count,)

    def runs(self) -> list[int]:
        """Lengths, in tokens of the video, of the runs of neighbours that attend to one another.

        A shifted window that reaches around the edge of the axis holds two runs, and the mask keeps them apart.
        """
        starts = [0, *range(self.shift, self.padded, self.size)]
        edges = [min(edge, self.extent) for edge in [*starts, self.padded]]
        return [end - start for start, end in pairwise(edges)]


def cut(grid: TokenGrid, config: ShiftedWindowConfig) -> tuple[Cut, Cut, Cut]:
    """The cuts of t, h and w: an axis no longer than its window is one clipped window, without shift."""
    t, h, w = (
        Cut(extent, size, shift) if extent > size else Cut(extent, extent, 0)
        for extent, size, shift in zip((grid.t, grid.h, grid.w), config.window_size, config.shift_size, strict=True)
    )
    return t, h, w


class RelativePositionBias(nn.Module):
    """One learned number per head and offset (t, h, w) between two tokens of a window."""

    index: Int[Tensor, "n n"]

    def __init__(self, window_size: Thw, clipped: Thw, num_heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(prod(2 * size - 1 for size in window_size), num_heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.register_buffer("index", numbers(lambda: offset_index(window_size, prod(clipped))), persistent=False)

    def forward(self) -> Float[Tensor, "heads n n"]:
        """The bias of every pair of tokens of one window, a matrix a head in memory, as kernels read it."""
        by_head = rearrange(self.table, "offsets heads -> heads offsets").contiguous()
        return rearrange(by_head.index_select(1, self.index.flatten()), "heads (n m) -> heads n m", n=len(self.index))


class ShiftedWindowAttention(nn.Module):
    """Multi-head attention within windows of one grid; the windows, their bias index and masks belong to that grid.

    Padding aside, tokens are moved twice: into shifted windows by one gather, before the projections, and back.
    Windows lie in memory kind by kind, a kind being the axes along which they reach around the edge: its windows share
    one mask, and there are eight kinds at most on any grid.
    """

    order: Int[Tensor, "windows n"]
    back: Int[Tensor, "tokens"]
    run: Int[Tensor, "kinds n"]

    def __init__(self, config: ShiftedWindowConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.config = config
        t, h, w = self.cut = cut(grid, config)
        self.size = (t.size, h.size, w.size)
        self.kind_counts = [prod(counts) for counts in product(t.counts, h.counts, w.counts)]
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.position_bias = RelativePositionBias(config.window_size, self.size, config.num_heads)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        self.register_buffer("order", numbers(lambda: by_window(self.cut)), persistent=False)
        self.register_buffer("back", inverse(self.order.flatten()), persistent=False)
        self.register_buffer("run", numbers(lambda: runs(self.cut)), persistent=False)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of `x`; padding is added before the projections and cut off after them."""
        q, k, v = rearrange(
            self.qkv(self._to_windows(x)),
            "windows n (three heads d) -> three windows heads n d",
            three=3,
            heads=self.config.num_heads,
        )
        return self._on_grid(self.proj(self._attend(q, k, v)), x.shape[:4])

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Attention alone; a grid that the windows do not divide is padded with queries, keys and values of zero."""
        b, heads, *extents, _ = q.shape
        windows = (self._to_windows(rearrange(x, "b heads t h w d -> b t h w (heads d)")) for x in (q, k, v))
        q, k, v = (rearrange(x, "windows n (heads d) -> windows heads n d", heads=heads) for x in windows)
        grid = self._on_grid(self._attend(q, k, v), (b, *extents))
        return rearrange(grid, "b t h w (heads d) -> b heads t h w d", heads=heads)

    def _attend(
        self,
        q: Float[Tensor, "windows heads n d"],
        k: Float[Tensor, "windows heads n d"],
        v: Float[Tensor, "windows heads n d"],
    ) -> Float[Tensor, "windows n c"]:
        sizes = [len(q) // sum(self.kind_counts) * count for count in self.kind_counts]
        kinds = zip(*(torch.split(x, sizes) for x in (q, k, v)), strict=True)
        updates = [
            rearrange(attend(q, k, v, mask), "windows heads n d -> windows n (heads d)")
            for (q, k, v), mask in zip(kinds, self._masks(), strict=True)
        ]
        return torch.cat(updates) if len(updates) > 1 else updates[0]

    def _masks(self) -> Iterator[Float[Tensor, "1 heads n n"]]:
        """What is added to the scores, for one kind of windows after another, so that one mask is held at a time."""
        bias: Tensor = rearrange(self.position_bias(), "heads n m -> 1 heads n m")
        yield bias  # one run of neighbours
        for run in self.run[1:]:
            apart = run[:, None] != run
            yield bias + torch.where(apart, -torch.inf, bias.new_zeros(()))  # n^2 where, then a quick sum

    def _to_windows(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "windows n c"]:
        """The windows of all clips of the batch, kind by kind; one gather, whatever the strides of `x`."""
        tokens = rearrange(pad_to_windows(x, self.size), "b t h w c -> (b t h w) c")
        clip = self.order.numel() * torch.arange(len(x), device=x.device)
        place = rearrange(self.order, "windows n -> windows 1 n") + rearrange(clip, "b -> b 1")
        return rearrange(tokens.index_select(0, place.flatten()), "(windows n) c -> windows n c", n=prod(self.size))

    def _on_grid(self, windows: Float[Tensor, "windows n c"], extents: Sequence[int]) -> Float[Tensor, "b t h w c"]:
        """The tokens in their places, without the padding; `extents` are b, t, h and w."""
        b, t, h, w = extents
        tokens = rearrange(windows, "(windows b) n c -> b (windows n) c", b=b).index_select(1, self.back)
        padded_t, padded_h, _ = (axis.padded for axis in self.cut)
        return rearrange(tokens, "b (t h w) c -> b t h w c", t=padded_t, h=padded_h)[:, :t, :h, :w]


def numbers(make: Callable[[], Tensor]) -> Tensor:
    """What follows from sizes alone, made on the CPU, where index arithmetic is quick, for the device of the module."""
    device = torch.get_default_device()
    with torch.device("cpu"):
        made = make()
    return made.to(device)


def inverse(order: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """The permutation that undoes `order`."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def by_window(axes: tuple[Cut, Cut, Cut]) -> Int[Tensor, "windows n"]:
    """The tokens of a padded grid, flattened, at each place of each window after the cyclic shift, kind by kind."""
    t, h, w = axes
    grid = rearrange(torch.arange(t.padded * h.padded * w.padded), "(t h w) -> t h w", t=t.padded, h=h.padded)
    shifted = torch.roll(grid, (-t.shift, -h.shift, -w.shift), dims=(0, 1, 2))
    windows = rearrange(shifted, "(nt t) (nh h) (nw w) -> (nt nh nw) (t h w)", t=t.size, h=h.size, w=w.size)
    last = (torch.arange(axis.count) >= axis.counts[0] for axis in axes)  # where the axis is shifted, else nowhere
    return windows[octant(*last).argsort(stable=True)]


def runs(axes: tuple[Cut, Cut, Cut]) -> Int[Tensor, "kinds n"]:
    """A number for each token of a window of each kind; two tokens with different ones met by the wrap alone.

    Where a window reaches around the edge of an axis, its last `shift` places hold what was wrapped around.
    """
    wrapped = [torch.arange(axis.size) >= axis.size - axis.shift for axis in axes]
    kinds = product(*(range(len(axis.counts)) for axis in axes))
    return torch.stack([octant(*(two * after for two, after in zip(kind, wrapped, strict=True))) for kind in kinds])


def octant(t: Shaped[Tensor, "t"], h: Shaped[Tensor, "h"], w: Shaped[Tensor, "w"]) -> Int[Tensor, "n"]:
    """For every place of a grid the number, 0 to 7, whose binary digits are the flags of its t, h and w."""
    return (4 * t[:, None, None] + 2 * h[:, None] + 1 * w).flatten()


def build(grid: TokenGrid, dim: int, num_heads: int, layer: int = 1) -> ShiftedWindowAttention:
    """The paper's windows on `grid`: regular in even layers, shifted in odd ones.

    Raises:
        ModelError: `num_heads` does not divide `dim`.
    """
    shift_size = (4, 3, 3) if layer % 2 else (0, 0, 0)
    return ShiftedWindowAttention(ShiftedWindowConfig(embed_dim=dim, num_heads=num_heads, shift_size=shift_size), grid)


def core_macs(grid: TokenGrid, config: ShiftedWindowConfig) -> int:
    """Multiply-adds of q k^T and a v on one clip: `embed_dim` each for every computed pair."""
    return 2 * config.embed_dim * computed_pairs(grid, config)


def macs(grid: TokenGrid, config: ShiftedWindowConfig) -> int:
    """Multiply-adds of the whole module on one clip: four projections of every padded token, and the core."""
    padded_tokens = prod(axis.padded for axis in cut(grid, config))
    return 4 * config.embed_dim**2 * padded_tokens + core_macs(grid, config)


def computed_pairs(grid: TokenGrid, config: ShiftedWindowConfig) -> int:
    """Pairs of a query and a key of which a score is computed: all pairs of every window, padded or masked or not."""
    return prod(axis.count * axis.size**2 for axis in cut(grid, config))


def useful_pairs(grid: TokenGrid, config: ShiftedWindowConfig) -> int:
    """Pairs of two tokens of the video that the mask lets through; at most `computed_pairs`."""
    return prod(sum(run**2 for run in axis.runs()) for axis in cut(grid, config))


def offset_index(window_size: Thw, tokens: int) -> Int[Tensor, "n n"]:
    """For tokens i and j among a window's first ones, the row of the table that belongs to their offset.

    A table of (2t-1)(2h-1)(2w-1) rows is a grid of offsets, the offset of zero in its middle: with the window laid on
    its first corner, i lies i - j from j, and so in the row of the middle plus that of i minus that of j.
    """
    _, height, width = window_size
    t, h, w = torch.meshgrid(*(torch.arange(size) for size in window_size), indexing="ij")
    row = (((2 * height - 1) * t + h) * (2 * width - 1) + w).flatten()
    return row[:tokens, None] - (row[:tokens] - row[-1])


def pad_to_windows(x: Shaped[Tensor, "*lead t h w c"], size: Thw) -> Shaped[Tensor, "*lead tp hp wp c"]:
    """Zeros at the far end of t, h and w, up to the next multiple of `size`."""
    t, h, w = (-extent % multiple for extent, multiple in zip(x.shape[-4:-1], size, strict=True))
    return F.pad(x, (0, 0, 0, w, 0, h, 0, t)) if t or h or w else x
