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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
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
        seen = prod(clipped)
        self.register_buffer("index", numbers(lambda: offset_index(window_size)[:seen, :seen]), persistent=False)

    def forward(self) -> Float[Tensor, "heads n n"]:
        """The bias of every pair of tokens of one window, a matrix a head in memory, as kernels read it."""
        return rearrange(self.table[self.index], "n m heads -> heads n m").contiguous()


class ShiftedWindowAttention(nn.Module):
    """Multi-head attention within windows of one grid; the windows, their bias index and mask belong to that grid.

    Padding aside, tokens are moved twice: into shifted windows by one gather, before the projections, and back.
    """

    order: Int[Tensor, "windows n"]
    back: Int[Tensor, "tokens"]
    run: Int[Tensor, "windows n"]

    def __init__(self, config: ShiftedWindowConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.config = config
        t, h, w = self.cut = cut(grid, config)
        self.size = (t.size, h.size, w.size)
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.position_bias = RelativePositionBias(config.window_size, self.size, config.num_heads)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        tokens = prod(axis.padded for axis in self.cut)
        self.register_buffer("order", numbers(lambda: by_window(torch.arange(tokens), self.cut)), persistent=False)
        self.register_buffer("back", self.order.flatten().argsort(), persistent=False)
        self.register_buffer("run", numbers(lambda: runs(self.cut)), persistent=False)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of `x`; padding is added before the projections and cut off after them."""
        tokens = rearrange(pad_to_windows(x, self.size), "b t h w c -> b (t h w) c").index_select(
            1, self.order.flatten()
        )
        windows = rearrange(tokens, "b (windows n) c -> (b windows) n c", n=prod(self.size))
        q, k, v = rearrange(
            self.qkv(windows),
            "windows n (three heads d) -> three windows heads n d",
            three=3,
            heads=self.config.num_heads,
        )
        update = self.proj(rearrange(self._attend(q, k, v), "windows heads n d -> windows n (heads d)"))
        update = rearrange(update, "(b windows) n c -> b (windows n) c", b=len(x)).index_select(1, self.back)
        return self._on_grid(update, x.shape[1:4])

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Attention alone; a grid that the windows do not divide is padded with queries, keys and values of zero."""
        out = self._attend(*(self._to_windows(x) for x in (q, k, v)))
        out = rearrange(out, "(b windows) heads n d -> b (windows n) heads d", b=len(q)).index_select(1, self.back)
        grid = self._on_grid(rearrange(out, "b n heads d -> b n (heads d)"), q.shape[2:5])
        return rearrange(grid, "b t h w (heads d) -> b heads t h w d", heads=q.shape[1])

    def _attend(
        self,
        q: Float[Tensor, "windows heads n d"],
        k: Float[Tensor, "windows heads n d"],
        v: Float[Tensor, "windows heads n d"],
    ) -> Float[Tensor, "windows heads n d"]:
        batch = len(q) // prod(axis.count for axis in self.cut)
        return attend(q, k, v, self._bias_and_mask(batch))

    def _bias_and_mask(self, batch: int) -> Float[Tensor, "windows heads n n"]:
        """What is added to the scores: one bias for all regular windows, or its masked copy for each shifted window."""
        bias: Tensor = rearrange(self.position_bias(), "heads n m -> 1 heads n m")
        if not any(axis.shift for axis in self.cut):
            return bias
        apart = rearrange(self.run, "windows n -> windows 1 n 1") != rearrange(self.run, "windows m -> windows 1 1 m")
        masked = torch.where(apart, -torch.inf, bias)  # one pass, where masked_fill copies first
        return repeat(masked, "windows ... -> (b windows) ...", b=batch) if batch > 1 else masked

    def _to_windows(self, x: Float[Tensor, "b heads t h w d"]) -> Float[Tensor, "windows heads n d"]:
        tokens = rearrange(pad_to_windows(x, self.size), "b heads t h w d -> b (t h w) heads d")
        windows = tokens.index_select(1, self.order.flatten())
        return rearrange(windows, "b (windows n) heads d -> (b windows) heads n d", n=prod(self.size))

    def _on_grid(self, tokens: Float[Tensor, "b n c"], extents: Sequence[int]) -> Float[Tensor, "b t h w c"]:
        """The tokens in their places, without the padding."""
        padded_t, padded_h, _ = (axis.padded for axis in self.cut)
        t, h, w = extents
        return rearrange(tokens, "b (t h w) c -> b t h w c", t=padded_t, h=padded_h)[:, :t, :h, :w]


def numbers(make: Callable[[], Tensor]) -> Tensor:
    """What follows from sizes alone, made on the CPU, where index arithmetic is quick, for the device of the module."""
    device = torch.get_default_device()
    with torch.device("cpu"):
        made = make()
    return made.to(device)


def by_window(numbers: Int[Tensor, "tokens"], axes: tuple[Cut, Cut, Cut]) -> Int[Tensor, "windows n"]:
    """What a padded grid, flattened, holds at each place of each window, after the cyclic shift."""
    t, h, w = axes
    grid = rearrange(numbers, "(t h w) -> t h w", t=t.padded, h=h.padded)
    shifted = torch.roll(grid, (-t.shift, -h.shift, -w.shift), dims=(0, 1, 2))
    return rearrange(shifted, "(nt t) (nh h) (nw w) -> (nt nh nw) (t h w)", t=t.size, h=h.size, w=w.size)


def runs(axes: tuple[Cut, Cut, Cut]) -> Int[Tensor, "windows n"]:
    """A number for each token of each window; tokens with different ones were brought together by the wrap alone.

    Along one axis the window of position p is floor((p - shift) / size), with -1 for what the shift wraps around.
    """
    t, h, w = ((torch.arange(axis.padded) - axis.shift) // axis.size for axis in axes)
    run = (t[:, None, None] * (axes[1].count + 1) + h[:, None]) * (axes[2].count + 1) + w
    return by_window(run.flatten(), axes)


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


def offset_index(window_size: Thw) -> Int[Tensor, "n n"]:
    """For tokens i and j of a window, the row of the table of size (2t-1)(2h-1)(2w-1) that belongs to their offset."""
    places = torch.meshgrid(*(torch.arange(size) for size in window_size), indexing="ij")
    t, h, w = (
        place.flatten()[:, None] - place.flatten() + size - 1 for place, size in zip(places, window_size, strict=True)
    )
    _, height, width = window_size
    return (t * (2 * height - 1) + h) * (2 * width - 1) + w


def pad_to_windows(x: Shaped[Tensor, "*lead t h w c"], size: Thw) -> Shaped[Tensor, "*lead tp hp wp c"]:
    """Zeros at the far end of t, h and w, up to the next multiple of `size`."""
    t, h, w = (-extent % multiple for extent, multiple in zip(x.shape[-4:-1], size, strict=True))
    return F.pad(x, (0, 0, 0, w, 0, h, 0, t)) if t or h or w else x
