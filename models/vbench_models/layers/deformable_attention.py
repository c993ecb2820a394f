"""Multi-scale deformable attention: a query looks at a few places of each feature level, and says itself where.

Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection", ICLR 2021, sec. 4.1,
https://arxiv.org/abs/2010.04159. Places and weights are linear in the query, so there is no product of queries and
keys. What stands for it is sampling: each of heads * levels * points * d values takes 4 multiply-adds to interpolate
and one to weigh, the factor 5 of the paper's appendix A.1; both mix data with data and count as attention. Differs
from the official code: no CUDA kernel and no padding; places are sampled level by level by torch, so that the samples
of one level are in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import pi
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig

Shapes: TypeAlias = tuple[tuple[int, int], ...]  # height and width of each level

SAMPLE_MACS = 5  # of a sampled value: four corners, and its weight


@dataclass(frozen=True, kw_only=True)
class DeformableConfig(AttentionConfig):
    """Widths, levels and places of each; the defaults are Deformable DETR's."""

    embed_dim: int = 256
    num_heads: int = 8
    num_levels: int = 4
    num_points: int = 4


class DeformableAttention(nn.Module):
    """Attention to `num_points` places of each level around a reference, which is a point or a box."""

    extents: Tensor

    def __init__(self, config: DeformableConfig, shapes: Shapes) -> None:
        super().__init__()
        self.config, self.shapes = config, shapes
        places = config.num_heads * config.num_levels * config.num_points
        self.offsets = nn.Linear(config.embed_dim, 2 * places)
        self.weights = nn.Linear(config.embed_dim, places)
        self.value = nn.Linear(config.embed_dim, config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        extents = torch.tensor([(w, h) for h, w in shapes], dtype=torch.get_default_dtype())
        self.register_buffer("extents", rearrange(extents, "levels xy -> levels 1 xy"), persistent=False)
        look_around(self.offsets, config)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        reference: Float[Tensor, "b q coordinates"],
        memory: Float[Tensor, "b n c"],
    ) -> Float[Tensor, "b q c"]:
        """The update of every query; `reference` is (x, y) or (x, y, w, h) in the unit square, `memory` all levels."""
        heads, levels = self.config.num_heads, self.config.num_levels
        values = rearrange(self.value(memory), "b n (heads d) -> (b heads) d n", heads=heads)
        weights = rearrange(self.weights(queries), "b q (heads places) -> (b heads) q places", heads=heads)
        weights = rearrange(weights.softmax(-1), "n q (levels points) -> n q levels points", levels=levels)
        out = weighted_samples(values, self.places(queries, reference), weights, self.shapes)
        update: Tensor = self.proj(rearrange(out, "(b heads) q d -> b q (heads d)", heads=heads))
        return update

    def places(
        self, queries: Float[Tensor, "b q c"], reference: Float[Tensor, "b q coordinates"]
    ) -> Float[Tensor, "n q levels points 2"]:
        """Where each query looks: offsets are pixels around a point, shares of half its size around a box."""
        axes = {"heads": self.config.num_heads, "levels": self.config.num_levels, "xy": 2}
        around = "b q (heads levels points xy) -> b heads q levels points xy"
        offsets = rearrange(self.offsets(queries), around, **axes)
        reference = rearrange(reference, "b q coordinates -> b 1 q 1 1 coordinates")
        centre, size = reference[..., :2], reference[..., 2:]
        step = size * (0.5 / self.config.num_points) if size.shape[-1] else 1 / self.extents
        places: Tensor = centre + offsets * step
        return rearrange(places, "b heads q levels points xy -> (b heads) q levels points xy")


def weighted_samples(
    values: Float[Tensor, "n d pixels"],
    places: Float[Tensor, "n q levels points 2"],
    weights: Float[Tensor, "n q levels points"],
    shapes: Shapes,
) -> Float[Tensor, "n q d"]:
    """The sum over all levels of bilinear samples, each times its weight; beyond the borders lie zeros."""
    levels = torch.split(values, [h * w for h, w in shapes], dim=-1)
    parts = (
        weighted_sum(rearrange(level, "n d (h w) -> n d h w", h=h), places[:, :, index], weights[:, :, index])
        for index, (level, (h, _)) in enumerate(zip(levels, shapes, strict=True))
    )
    *_, total = accumulate(parts)
    return total


def weighted_sum(
    level: Float[Tensor, "n d h w"], places: Float[Tensor, "n q points 2"], weights: Float[Tensor, "n q points"]
) -> Float[Tensor, "n q d"]:
    """One level's part, of places in the unit square."""
    level = level.contiguous()  # in half precision torch 2.13 reads past a level that is a view, on the CPU
    samples = F.grid_sample(level, 2 * places - 1, mode="bilinear", padding_mode="zeros", align_corners=False)
    return einsum(samples, weights, "n d q points, n q points -> n q d")


def look_around(offsets: nn.Linear, config: DeformableConfig) -> None:
    """The paper's start: head i looks in the i-th of equal directions, its points one to `num_points` pixels away."""
    angles = torch.arange(config.num_heads) * (2 * pi / config.num_heads)
    directions = torch.stack((angles.cos(), angles.sin()), -1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    distances = torch.arange(1, config.num_points + 1)
    start = directions[:, None, None] * distances[:, None]
    with torch.no_grad():
        offsets.weight.zero_()
        offsets.bias.copy_(start.expand(-1, config.num_levels, -1, -1).flatten())


def sampling_macs(queries: int, config: DeformableConfig) -> int:
    """MACs of interpolating and weighing, of one sequence: 5 c a place of one head, whatever the levels' sizes."""
    return SAMPLE_MACS * queries * config.num_levels * config.num_points * config.embed_dim
