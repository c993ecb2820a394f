"""What the relevance modules share: one number from a vector, a frame's features from its tokens, and their change."""

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.video import ModelError


class Score(nn.Module):
    """Two layers from a vector to one number."""

    is_mixing_extra = True

    def __init__(self, channels: int, score_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, score_dim)
        self.out = nn.Linear(score_dim, 1)

    def forward(self, x: Float[Tensor, "*lead c"]) -> Float[Tensor, "*lead"]:
        """The higher, the more relevant; any real number."""
        score: Tensor = self.out(F.gelu(self.hidden(x))).squeeze(-1)
        return score


def score_macs(vectors: int, channels: int, score_dim: int) -> int:
    """MACs of scoring so many vectors; 1 multiply-add = 1 MAC, biases and GELU excluded."""
    return vectors * score_dim * (channels + 1)


def frame_means(x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t c"]:
    """Each frame as the mean of its tokens."""
    means: Tensor = reduce(x, "b t h w c -> b t c", "mean")
    return means


def change(x: Float[Tensor, "b t *rest"]) -> Float[Tensor, "b t *rest"]:
    """What is new in each frame since the one before it; zero in the first."""
    return torch.diff(x, dim=1, prepend=x[:, :1])


def in_unit(**fractions: float) -> None:
    """Refuse any of the named fractions that is not above 0 and at most 1.

    Raises:
        ModelError: one is not.
    """
    for name, value in fractions.items():
        if not 0 < value <= 1:
            raise ModelError(f"{name} must be a fraction above 0 and at most 1; got {name}={value}")
