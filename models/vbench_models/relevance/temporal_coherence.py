"""Temporal coherence: a penalty on attention, or on features, that change from one frame to the next.

Of attention: a design of ours; on features the idea is that of Mobahi et al., "Deep Learning from Temporal Coherence in
Video", ICML 2009, https://doi.org/10.1145/1553374.1553469. The penalty is the mean over neighbouring frames of
the squared distance between their attention maps.

Slow features: Wiskott & Sejnowski, "Slow Feature Analysis: Unsupervised Learning of Invariances", Neural Computation
14, 2002, https://doi.org/10.1162/089976602317318938: the squared change of each feature is least while its mean
is 0 and its variance 1, so that a constant is no solution. Here a batch norm without weights holds mean and variance
over clips and frames: the batch's in training, the averages of training afterwards. Differs from the paper: the
features are not decorrelated, and learned by gradients instead of an eigenvalue problem.
"""

from dataclasses import dataclass
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.neighborhoods import at_least
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class CoherenceConfig:
    """Channels of a token.

    Raises:
        ModelError: there are none.
    """

    embed_dim: int = 768

    def __post_init__(self) -> None:
        at_least(1, embed_dim=self.embed_dim)


class Coherence(NamedTuple):
    """Frames, where they were looked at, and the two penalties; the caller adds what it wants of them to its loss."""

    frames: Float[Tensor, "b t c"]
    attention: Float[Tensor, "b t h w"]
    attention_change: Float[Tensor, ""]
    slowness: Float[Tensor, ""]


class TemporalCoherence(nn.Module):
    """Attentive pooling of each frame of `b t h w c` by one learned query, with the penalties on its two results."""

    def __init__(self, config: CoherenceConfig) -> None:
        super().__init__()
        self.config = config
        self.query = nn.Linear(config.embed_dim, 1, bias=False)
        self.slow = SlowFeatures(config.embed_dim)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Coherence:
        """Each frame as the sum of its tokens, weighted by attention."""
        tokens = rearrange(x, "b t h w c -> b t (h w) c")
        weights = rearrange(self.query(tokens), "b t n 1 -> b t 1 n").softmax(-1)
        frames = rearrange(weights @ tokens, "b t 1 c -> b t c")
        attention = weights.reshape(x.shape[:-1])
        return Coherence(frames, attention, mean_change(attention), self.slow(frames))


class SlowFeatures(nn.Module):
    """The mean squared change of features `b t c` of mean 0 and variance 1; there is nothing to learn in it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)

    def forward(self, features: Float[Tensor, "b t c"]) -> Float[Tensor, ""]:
        """The mean over channels of what slow feature analysis calls the delta value."""
        normal: Tensor = self.norm(rearrange(features, "b t c -> b c t"))
        return mean_change(rearrange(normal, "b c t -> b t c")) / features.shape[-1]


def mean_change(maps: Float[Tensor, "b t *positions"]) -> Float[Tensor, ""]:
    """The mean over pairs of neighbouring frames of the squared distance between their maps; zero for one frame.

    Maps of attention from elsewhere are as welcome as those of `TemporalCoherence`: the axes after t are summed over.
    """
    pairs = max(1, maps.shape[0] * (maps.shape[1] - 1))
    return maps.diff(dim=1).square().sum() / pairs


def build(grid: TokenGrid, dim: int, num_heads: int) -> TemporalCoherence:  # noqa: ARG001 - every grid will do
    """Attentive pooling with both penalties: from tokens `b t h w c` to frames `b t c`, attention and two scalars."""
    return TemporalCoherence(CoherenceConfig(embed_dim=dim))


def macs(grid: TokenGrid, config: CoherenceConfig) -> int:
    """MACs on one clip; 1 multiply-add = 1 MAC: scores and weighted sums, c a token each. The penalties are free."""
    return 2 * grid.tokens * config.embed_dim
