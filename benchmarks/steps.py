"""A model whose work is a number of equal steps: what is slower by 1 % or 2 % does exactly so much more of the same.

Its clip is 2 frames of 32 x 64; a step is a product of 48 x 256 with 256 x 256 and a ReLU, and nothing else is done.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vbench_models import Clip

FRAMES, HEIGHT, WIDTH = 2, 32, 64
STEPS, DIM = 200, 256


class Steps(nn.Module):
    """`steps` times the same layer, with seeded weights that keep the scale of what goes through."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        weight = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)) * (2 / DIM) ** 0.5
        self.weight = nn.Parameter(weight)

    def forward(self, video: Tensor) -> Tensor:
        """`b c t h w` in, rows of DIM out."""
        x = video.reshape(-1, DIM)
        for _ in range(self.steps):
            x = torch.relu(x @ self.weight)
        return x


def build(_clip: Clip) -> Steps:
    """The model of the comparisons with itself."""
    return Steps(STEPS)


def build_one(_clip: Clip) -> Steps:
    """1 % more steps."""
    return Steps(STEPS + STEPS // 100)


def build_two(_clip: Clip) -> Steps:
    """2 % more steps."""
    return Steps(STEPS + STEPS // 50)
