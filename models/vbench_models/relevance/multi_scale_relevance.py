"""Temporal relevance at several scales: how much a frame, its clip and its sequence matter, fused to one score a frame.

A design of ours. Nearest published relatives: Zhou et al., "Temporal Relational Reasoning in Videos", ECCV 2018,
sec. 3.2, https://arxiv.org/abs/1711.08496, which adds up relations among sets of 2, 3, ... frames, and Feichtenhofer et
al., "SlowFast Networks for Video Recognition", ICCV 2019, sec. 3, https://arxiv.org/abs/1812.03982, with two frame
rates. Here the frames' features, means over their tokens, are averaged over runs of 1, 4 and 16 frames; a scorer of
its own rates the runs of each scale, every frame takes the rating of its run, and a learned convex combination of the
three is its relevance.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.neighborhoods import at_least
from vbench_models.relevance.scoring import Score, frame_means, score_macs
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig:
    """Channels of a token, the frames of a run at each scale, and the scorers' hidden channels.

    Raises:
        ModelError: no scale, or one of less than one frame.
    """

    embed_dim: int = 768
    scales: tuple[int, ...] = (1, 4, 16)
    score_dim: int = 64

    def __post_init__(self) -> None:
        if not self.scales:
            raise ModelError("scales must name at least one run of frames; got scales=()")
        at_least(1, embed_dim=self.embed_dim, score_dim=self.score_dim, scale=min(self.scales))


class Relevance(NamedTuple):
    """One score a frame, and the ratings it is made of; all between 0 and 1."""

    fused: Float[Tensor, "b t"]
    of_scale: Float[Tensor, "b t scales"]


class MultiScaleRelevance(nn.Module):
    """The relevance of every frame of a token grid `b t h w c`."""

    def __init__(self, config: MultiScaleConfig) -> None:
        super().__init__()
        self.config = config
        self.scores = nn.ModuleList(Score(config.embed_dim, config.score_dim) for _ in config.scales)
        self.fusion = nn.Parameter(torch.zeros(len(config.scales)))

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Relevance:
        """Ratings by scale and their combination; a run that the clip's end cuts short is averaged over what it has."""
        frames = frame_means(x)
        rated = [self._rate(frames, index) for index in range(len(self.config.scales))]
        of_scale = torch.stack(rated, dim=-1).sigmoid()
        return Relevance((of_scale * self.fusion.softmax(-1)).sum(-1), of_scale)

    def _rate(self, frames: Float[Tensor, "b t c"], index: int) -> Float[Tensor, "b t"]:
        scale = self.config.scales[index]
        scores: Tensor = self.scores[index](average_runs(frames, scale))
        return repeat(scores, "b runs -> b (runs scale)", scale=scale)[:, : frames.shape[1]]


def average_runs(frames: Float[Tensor, "b t c"], scale: int) -> Float[Tensor, "b runs c"]:
    """The mean of each run of `scale` frames; the last run has what is left."""
    runs = F.avg_pool1d(rearrange(frames, "b t c -> b c t"), scale, ceil_mode=True)
    return rearrange(runs, "b c runs -> b runs c")


def build(grid: TokenGrid, dim: int, num_heads: int) -> MultiScaleRelevance:  # noqa: ARG001 - every grid will do
    """Relevance at the scales 1, 4 and 16: from tokens `b t h w c` to scores `b t`."""
    return MultiScaleRelevance(MultiScaleConfig(embed_dim=dim))


def macs(grid: TokenGrid, config: MultiScaleConfig) -> int:
    """MACs on one clip; 1 multiply-add = 1 MAC, averages and fusion excluded: ceil(t / scale) scores at each scale."""
    runs = sum(-(-grid.t // scale) for scale in config.scales)
    return score_macs(runs, config.embed_dim, config.score_dim)
