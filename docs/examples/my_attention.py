"""An attention pattern of one's own: tokens `b t h w c` in and out, of 256 channels as the builder's name says."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class EachFrameAlone(nn.Module):
    """Every token attends to those of its own frame: the core costs T (H W)^2."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, h, w, c = tokens.shape
        split = self.qkv(tokens).reshape(b * t, h * w, 3, self.num_heads, c // self.num_heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.out(mixed.reshape(b, t, h, w, c))


def build_pattern_256(_grid: object, dim: int, num_heads: int) -> nn.Module:
    return EachFrameAlone(dim, num_heads)
