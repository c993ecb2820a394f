"""Attention in steps over a sequence that a class token leads: along time, and within groups of a frame's patches.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095, as in its official code: attention over time does not see the class token, where the
paper's eq. 13 lets it; within frames each group has a copy of it, and what the copies gather is averaged.
"""

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.mlp import MLP
from vbench_models.video import TokenGrid

FRAMES = "(b t) (h w) c"
ROWS = "(b t h) w c"
COLUMNS = "(b t w) h c"


class TimeStep(nn.Module):
    """Each patch attends to its own position in every frame, then a linear layer; the class token takes no part."""

    def __init__(self, config: AttentionConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.num_frames = grid.t
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attention = MultiHeadAttention(config)
        self.fc = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the step; n = 1 + t*h*w."""
        cls, patches = x[:, :1], x[:, 1:]
        places = rearrange(self.norm(patches), "b (t hw) c -> (b hw) t c", t=self.num_frames)
        update = rearrange(self.attention(places), "(b hw) t c -> b (t hw) c", b=len(x))
        return torch.cat((cls, patches + self.fc(update)), dim=1)


class FrameStep(nn.Module):
    """Each of the `groups`, FRAMES, ROWS or COLUMNS, attends to itself and its copy of the class token, then `fc`."""

    def __init__(self, config: AttentionConfig, grid: TokenGrid, groups: str, fc: nn.Module) -> None:
        super().__init__()
        self.groups = groups
        self.sizes = {"t": grid.t, "h": grid.h, "w": grid.w}
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attention = MultiHeadAttention(config)
        self.fc = fc

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the step; n = 1 + t*h*w."""
        cls, patches = x[:, :1], x[:, 1:]
        groups = rearrange(patches, f"b (t h w) c -> {self.groups}", **self.sizes)
        copies = repeat(cls, "b 1 c -> (b groups) 1 c", groups=len(groups) // len(x))
        update = self.fc(self.attention(self.norm(torch.cat((copies, groups), dim=1))))
        cls_update = reduce(update[:, :1], "(b groups) 1 c -> b 1 c", "mean", b=len(x))
        patch_update = rearrange(update[:, 1:], f"{self.groups} -> b (t h w) c", **self.sizes)
        return x + torch.cat((cls_update, patch_update), dim=1)


class SteppedBlock(nn.Module):
    """The steps one after another, each with its own norm and residual, then the MLP."""

    def __init__(self, embed_dim: int, steps: dict[str, nn.Module], mlp: MLP) -> None:
        super().__init__()
        self.steps = nn.ModuleDict(steps)
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = mlp

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the block; n = 1 + t*h*w."""
        for step in self.steps.values():
            x = step(x)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out
