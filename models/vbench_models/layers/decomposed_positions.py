"""Relative positions along time, height and width, added up: what a query's scores gain by the distance of a key.

Li et al., "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", CVPR 2022, sec. 4.1,
https://arxiv.org/abs/2112.01526; for keys of past clips: Wu et al., "MeMViT", CVPR 2022, sec. 3,
https://arxiv.org/abs/2201.08383, whose official code keeps tables of their own for them. Each distance along each axis
has a learned vector, and the gain is its product with the query. A table is as long as its clip's grids ask for, or it
is stretched to that length. Differs from the official code: distances between grids of unlike steps are exact before
they are rounded down (there they are sums in single precision, at some sizes one less).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vbench_models.layers.positions import learned
from vbench_models.video import TokenGrid


class AxisScores(NamedTuple):
    """Each query's product with the vector of its distance to every step, row and column of the keys."""

    times: Float[Tensor, "b heads t h w kt"]
    heights: Float[Tensor, "b heads t h w kh"]
    widths: Float[Tensor, "b heads t h w kw"]


class DistanceTables(nn.Module):
    """A vector for each distance from a key on `k_grid` to a query on `q_grid`, along each axis.

    Keys may be those of up to `clips` clips one after another, with steps of time `time_stride` times the queries'.
    Tables for height and width have `side_entries` vectors each where that is given, not one for each distance.
    """

    is_mixing_extra = True

    def __init__(
        self,
        q_grid: TokenGrid,
        k_grid: TokenGrid,
        head_dim: int,
        *,
        clips: int = 1,
        time_stride: int = 1,
        side_entries: int | None = None,
    ) -> None:
        super().__init__()
        self.q_grid, self.k_grid = q_grid, k_grid
        span = max(q_grid.t, k_grid.t * time_stride)
        self.times = learned((clips + 1) * span - 1, head_dim)
        self.heights = learned(side_entries or entries(q_grid.h, k_grid.h), head_dim)
        self.widths = learned(side_entries or entries(q_grid.w, k_grid.w), head_dim)
        self.time_index: Tensor
        self.register_buffer("time_index", times_since(q_grid.t, clips * k_grid.t, time_stride), persistent=False)
        self.height_index: Tensor
        self.register_buffer("height_index", distances(q_grid.h, k_grid.h), persistent=False)
        self.width_index: Tensor
        self.register_buffer("width_index", distances(q_grid.w, k_grid.w), persistent=False)

    def along_axes(self, q: Float[Tensor, "b heads n d"], clips: int) -> AxisScores:
        """The scores of queries on the grid for keys of the last `clips` clips."""
        q = rearrange(q, "b heads (t h w) d -> b heads t h w d", t=self.q_grid.t, h=self.q_grid.h)
        times = self.times[self.time_index[:, -clips * self.k_grid.t :]]
        heights = stretched(self.heights, entries(self.q_grid.h, self.k_grid.h))[self.height_index]
        widths = stretched(self.widths, entries(self.q_grid.w, self.k_grid.w))[self.width_index]
        return AxisScores(
            einsum(q, times, "b heads t h w d, t k d -> b heads t h w k"),
            einsum(q, heights, "b heads t h w d, h k d -> b heads t h w k"),
            einsum(q, widths, "b heads t h w d, w k d -> b heads t h w k"),
        )


class DecomposedScores(DistanceTables):
    """What queries gain, axis by axis: an attention that takes a few frames of them at a time adds up its own."""

    def forward(self, q: Float[Tensor, "b heads n d"]) -> AxisScores:
        """The scores of queries on the grid; a class token has no place, and is not among them."""
        return self.along_axes(q, clips=1)


class DecomposedPositions(DistanceTables):
    """What queries gain, added up; queries and each clip's keys stand behind a class token."""

    def forward(self, q: Float[Tensor, "b heads n d"], clips: int = 1) -> Float[Tensor, "b heads n m"]:
        """The additive bias for keys of the last `clips` clips; class tokens have no place, and zero."""
        return F.pad(added_up(self.along_axes(q[:, :, 1:], clips), clips), (0, 0, 1, 0))


def added_up(scores: AxisScores, clips: int = 1) -> Float[Tensor, "b heads n m"]:
    """The additive bias of queries on a grid for keys that stand, clip by clip, behind a class token of bias zero."""
    times, heights, widths = scores
    frames = rearrange(heights, "... k -> ... 1 k 1") + rearrange(widths, "... k -> ... 1 1 k")
    bias = rearrange(times, "... k -> ... k 1 1") + frames
    bias = rearrange(bias, "b heads t h w (clips kt) kh kw -> b heads (t h w) clips (kt kh kw)", clips=clips)
    return rearrange(F.pad(bias, (1, 0)), "b heads n clips m -> b heads n (clips m)")


def entries(queries: int, keys: int) -> int:
    """The distances that there are along one axis."""
    return 2 * max(queries, keys) - 1


def stretched(table: Float[Tensor, "n d"], length: int) -> Float[Tensor, "m d"]:
    """`length` vectors instead of n, each between the two that are nearest to its place."""
    if len(table) == length:
        return table
    steps = 2 * length  # to a vector of the table; places lie between steps, so that halves are whole
    places = ((2 * torch.arange(length, device=table.device) + 1) * len(table) - length).clamp(min=0)
    below = places // steps
    above = (below + 1).clamp(max=len(table) - 1)
    return torch.lerp(table[below], table[above], ((places % steps).to(table.dtype) / steps)[:, None])


def distances(queries: int, keys: int) -> Int[Tensor, "queries keys"]:
    """From each key to each query along one axis, in steps of the finer of both grids, rounded down; the least is 0."""
    finer = min(queries, keys)
    return torch.tensor([[(q * keys + (keys - 1 - k) * queries) // finer for k in range(keys)] for q in range(queries)])


def times_since(queries: int, keys: int, stride: int) -> Int[Tensor, "queries keys"]:
    """From each key to each query in time, in steps of the queries; the least, from the last key to the first, is 0."""
    return torch.tensor([[q + (keys - 1 - k) * stride for k in range(keys)] for q in range(queries)])
