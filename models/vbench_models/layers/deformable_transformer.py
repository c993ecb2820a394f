"""The layers of Deformable DETR's encoder and decoder, and where the pixels of its feature levels are.

Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection", ICLR 2021, sec. 4,
https://arxiv.org/abs/2010.04159; the table of positions is that of Carion et al., "End-to-End Object Detection with
Transformers", ECCV 2020, sec. A.4, https://arxiv.org/abs/2005.12872. Norms follow the residuals; no dropout.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.deformable_attention import DeformableAttention, DeformableConfig, Shapes


class EncoderLayer(nn.Module):
    """Deformable attention among the pixels of all levels, and an MLP; each is normalised after its residual."""

    def __init__(self, config: DeformableConfig, mlp_dim: int, shapes: Shapes) -> None:
        super().__init__()
        width = config.embed_dim
        self.attention, self.attention_norm = DeformableAttention(config, shapes), nn.LayerNorm(width)
        self.mlp, self.mlp_norm = perceptron(width, mlp_dim, width), nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "b n c"], positions: Float[Tensor, "1 n c"], places: Float[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n c"]:
        """The pixels after the layer."""
        x = self.attention_norm(x + self.attention(x + positions, places, x))
        out: Tensor = self.mlp_norm(x + self.mlp(x))
        return out


class DecoderLayer(nn.Module):
    """Attention among the queries, deformable attention to the pixels around their references, and an MLP."""

    def __init__(self, config: DeformableConfig, mlp_dim: int, shapes: Shapes) -> None:
        super().__init__()
        width, heads = config.embed_dim, config.num_heads
        self.attention = MultiHeadAttention(AttentionConfig(embed_dim=width, num_heads=heads))
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention, self.cross_norm = DeformableAttention(config, shapes), nn.LayerNorm(width)
        self.mlp, self.mlp_norm = perceptron(width, mlp_dim, width), nn.LayerNorm(width)

    def forward(
        self,
        queries: Float[Tensor, "b q c"],
        reference: Float[Tensor, "b q coordinates"],
        memory: Float[Tensor, "b n c"],
    ) -> Float[Tensor, "b q c"]:
        """The queries after the layer."""
        queries = self.attention_norm(queries + self.attention(queries))
        queries = self.cross_norm(queries + self.cross_attention(queries, reference, memory))
        out: Tensor = self.mlp_norm(queries + self.mlp(queries))
        return out


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers from width to width, with ReLU between them."""
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.ReLU(), nn.Linear(before, after)] if index else [nn.Linear(before, after)]
    return nn.Sequential(*layers)


def pixel_centres(shapes: Shapes) -> Float[Tensor, "1 n 2"]:
    """(x, y) of every pixel of every level, in the unit square."""
    levels = []
    for h, w in shapes:
        y, x = (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w
        levels.append(torch.stack((x.expand(h, w), y[:, None].expand(h, w)), dim=-1).flatten(0, 1))
    return torch.cat(levels)[None]


def sine_positions(shapes: Shapes, channels: int) -> Float[Tensor, "1 n c"]:
    """DETR's table: one half of the channels for y, one for x, pairs of sine and cosine of falling frequency."""
    steps = torch.arange(0, channels // 2, 2) / (channels // 2)
    angles = 2 * pi * pixel_centres(shapes).flip(-1)[..., None] / 10_000**steps
    return rearrange(torch.stack((angles.sin(), angles.cos()), -1), "1 n yx step pair -> 1 n (yx step pair)")
