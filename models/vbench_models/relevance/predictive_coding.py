"""Predictive-coding attention: a frame's weight is its prediction error times the precision expected of it.

A design of ours on two papers. Rao & Ballard, "Predictive coding in the visual cortex", Nature Neuroscience 2, 1999,
https://doi.org/10.1038/4580: what is passed on is what the prediction missed. Feldman & Friston, "Attention,
Uncertainty, and Free-Energy", Frontiers in Human Neuroscience 4, 2010, https://doi.org/10.3389/fnhum.2010.00215:
attention is the precision by which errors are weighted, and it depends on the state. Here one linear layer on the last
frames predicts, for every channel, the change to come and the logarithm of its precision (inverse variance); frame t
gets a weight proportional to the mean over channels of precision * |error|. `surprise` is the loss that trains both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.neighborhoods import at_least
from vbench_models.relevance.scoring import frame_means
from vbench_models.video import TokenGrid

FAINTEST = 1e-6  # error of a frame that was foreseen in full, so that a clip without surprise is weighted evenly


@dataclass(frozen=True, kw_only=True)
class PredictiveConfig:
    """Channels of a token, the frames a prediction sees, and the bound that keeps the precision of a still clip finite.

    Raises:
        ModelError: `embed_dim` or `history` is below 1.
    """

    embed_dim: int = 768
    history: int = 2
    max_log_precision: float = 8.0

    def __post_init__(self) -> None:
        at_least(1, embed_dim=self.embed_dim, history=self.history)


class Foreseen(NamedTuple):
    """What the frames before it say of each frame."""

    error: Float[Tensor, "b t c"]  # the frame less its prediction
    log_precision: Float[Tensor, "b t c"]


class PredictiveSummary(NamedTuple):
    """A clip as the weighted sum of its frames; the weights of a clip sum to 1."""

    summary: Float[Tensor, "b c"]
    weights: Float[Tensor, "b t"]


class PredictiveCoding(nn.Module):
    """Attention over the frames of a token grid `b t h w c`; a frame's features are the mean of its tokens."""

    def __init__(self, config: PredictiveConfig) -> None:
        super().__init__()
        self.config = config
        self.predict = nn.Linear(config.history * config.embed_dim, 2 * config.embed_dim)
        nn.init.zeros_(self.predict.weight)  # untrained: each frame as the one before it, precision 1
        nn.init.zeros_(self.predict.bias)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> PredictiveSummary:
        """The frames, weighted by how much each of them is news."""
        frames = frame_means(x)
        weights = news_weights(self.foresee(frames))
        summary = rearrange(weights, "b t -> b 1 t") @ frames
        return PredictiveSummary(rearrange(summary, "b 1 c -> b c"), weights)

    def foresee(self, frames: Float[Tensor, "b t c"]) -> Foreseen:
        """Error and precision of every frame, predicted from the frames before it alone."""
        before = frames_before(frames, self.config.history)
        moved, log_precision = self.predict(before.flatten(2)).chunk(2, dim=-1)
        error = frames - (before[:, :, -1] + moved)
        return Foreseen(error, log_precision.clamp(max=self.config.max_log_precision))


def frames_before(frames: Float[Tensor, "b t c"], history: int) -> Float[Tensor, "b t history c"]:
    """The `history` frames before each frame, oldest first; before the clip its first frame stood still."""
    first = repeat(frames[:, 0], "b c -> b history c", history=history)
    windows = torch.cat((first, frames[:, :-1]), dim=1).unfold(1, history, 1)
    return rearrange(windows, "b t c history -> b t history c")


def news_weights(foreseen: Foreseen) -> Float[Tensor, "b t"]:
    """Weights over the frames of each clip, proportional to precision times absolute error."""
    news = (foreseen.log_precision.exp() * foreseen.error.abs()).mean(-1) + FAINTEST
    return news / news.sum(-1, keepdim=True)


def surprise(foreseen: Foreseen) -> Float[Tensor, ""]:
    """The mean negative log-likelihood of a normal error, without its constant: (precision error^2 - ln precision) / 2.

    Its minimum in the precision is the inverse of the mean squared error, so neither can be had without the other.
    """
    return (foreseen.log_precision.exp() * foreseen.error.square() - foreseen.log_precision).mean() / 2


def build(grid: TokenGrid, dim: int, num_heads: int) -> PredictiveCoding:  # noqa: ARG001 - every grid will do
    """Predictive-coding attention over frames: from tokens `b t h w c` to a summary `b c` and weights `b t`."""
    return PredictiveCoding(PredictiveConfig(embed_dim=dim))


def macs(grid: TokenGrid, config: PredictiveConfig) -> int:
    """MACs on one clip; 1 multiply-add = 1 MAC: the predictions, 2 history c^2 a frame, and the weighted sum."""
    return grid.t * config.embed_dim * (2 * config.history * config.embed_dim + 1)
