"""Temporal relevance allocator: each token is scored against a summary of the frames around it, and weighted by that.

A design of ours; the score is the scaled product of Vaswani et al., "Attention Is All You Need", 2017, sec. 3.2.1,
https://arxiv.org/abs/1706.03762, with the context of a frame as the only query of its tokens. The context is the mean
token over the frames at most `radius` away, the frame itself included; beyond the ends of the clip there is nothing to
average. Two ways to weight: `RelevanceAllocator` shares out a fixed amount, so that what one token gains the others
lose; `RelevanceGate` decides on each token alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.neighborhoods import at_least
from vbench_models.relevance.scoring import frame_means
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class AllocatorConfig:
    """Channels of a token, channels it is compared in, and the frames of context on either side.

    Raises:
        ModelError: a width below 1, or a negative radius.
    """

    embed_dim: int = 768
    score_dim: int = 64
    radius: int = 2

    def __post_init__(self) -> None:
        at_least(1, embed_dim=self.embed_dim, score_dim=self.score_dim)
        at_least(0, radius=self.radius)


class Allocation(NamedTuple):
    """The tokens times their weights, and the weights."""

    tokens: Float[Tensor, "b t h w c"]
    weights: Float[Tensor, "b t h w"]


class ContextScore(nn.Module):
    """How well each token answers to its frame's temporal context."""

    is_mixing_extra = True

    def __init__(self, config: AllocatorConfig) -> None:
        super().__init__()
        self.config = config
        self.query = nn.Linear(config.embed_dim, config.score_dim)
        self.key = nn.Linear(config.embed_dim, config.score_dim)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w"]:
        """The higher, the more relevant; any real number."""
        query = rearrange(self.query(temporal_context(frame_means(x), self.config.radius)), "b t d -> b t d 1")
        keys = rearrange(self.key(x), "b t h w d -> b t (h w) d")
        scores: Tensor = (keys @ query * self.config.score_dim**-0.5).reshape(x.shape[:-1])
        return scores


class RelevanceAllocator(nn.Module):
    """Weights by a softmax over all tokens of the clip, scaled to a mean of 1: equal scores leave the clip as it is."""

    def __init__(self, config: AllocatorConfig) -> None:
        super().__init__()
        self.config = config
        self.score = ContextScore(config)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Allocation:
        """The clip with a fixed sum of weights shared out among its tokens."""
        scores: Tensor = self.score(x).flatten(1)
        weights = (scores.softmax(-1) * scores.shape[-1]).reshape(x.shape[:-1])
        return Allocation(x * weights.unsqueeze(-1), weights)


class RelevanceGate(nn.Module):
    """Weights by a sigmoid of each token's own score, between 0 and 1."""

    def __init__(self, config: AllocatorConfig) -> None:
        super().__init__()
        self.config = config
        self.score = ContextScore(config)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Allocation:
        """The clip with each token let through as far as it is relevant."""
        weights: Tensor = self.score(x).sigmoid()
        return Allocation(x * weights.unsqueeze(-1), weights)


def temporal_context(frames: Float[Tensor, "b t c"], radius: int) -> Float[Tensor, "b t c"]:
    """The mean of the frames at most `radius` away from each, of those that there are."""
    frames = rearrange(frames, "b t c -> b c t")
    means = F.avg_pool1d(frames, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return rearrange(means, "b c t -> b t c")


def build(grid: TokenGrid, dim: int, num_heads: int) -> RelevanceAllocator:  # noqa: ARG001 - every grid will do
    """The softmax allocator with two frames of context on either side: from `b t h w c` to tokens and weights."""
    return RelevanceAllocator(AllocatorConfig(embed_dim=dim))


def build_gate(grid: TokenGrid, dim: int, num_heads: int) -> RelevanceGate:  # noqa: ARG001 - every grid will do
    """The sigmoid gate with two frames of context on either side: from `b t h w c` to tokens and weights."""
    return RelevanceGate(AllocatorConfig(embed_dim=dim))


def core_macs(grid: TokenGrid, config: AllocatorConfig) -> int:
    """MACs of comparing each token of one clip with its context; linear in the tokens."""
    return grid.tokens * config.score_dim


def macs(grid: TokenGrid, config: AllocatorConfig) -> int:
    """MACs on one clip; 1 multiply-add = 1 MAC: a projection of each token and each context, and the comparison."""
    return (grid.tokens + grid.t) * config.embed_dim * config.score_dim + core_macs(grid, config)
