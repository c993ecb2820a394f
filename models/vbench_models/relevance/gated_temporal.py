"""Gated temporal processing: a predictor rates the frames, and only those it lets through are processed.

Raposo et al., "Mixture-of-Depths: Dynamically allocating compute in transformer-based language models", 2024, sec. 3,
https://arxiv.org/abs/2404.02258: a router picks a fixed number of tokens for a block and the others pass by on the
residual. Here whole frames are picked. The kept frames are gathered, pass one pre-norm transformer block with attention
along time, among themselves alone, and are put back; a skipped frame is neither projected nor attended to and leaves
as it came. The predictor sees each frame's mean token. As the choice has no gradient, a kept frame moves towards the
block's output by the sigmoid of its score, which is how the predictor learns. Three forms:

- `GatedTemporal` keeps ceil(keep * t) frames of every clip, so its cost is known beforehand;
- `ThresholdGatedTemporal` keeps the frames whose sigmoid exceeds a threshold, so its cost is known with the data;
- `MaskedTemporal` processes all frames and multiplies by the mask, as sketches of gating do: it saves nothing.
"""

from dataclasses import dataclass
from math import ceil

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.relevance.scoring import Score, frame_means, in_unit, score_macs
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class TemporalBlockConfig(AttentionConfig):
    """Widths of the block and of the predictor in front of it."""

    mlp_ratio: float = 4.0
    score_dim: int = 64


@dataclass(frozen=True, kw_only=True)
class GatedTemporalConfig(TemporalBlockConfig):
    """The kept fraction of the frames; at least one frame is kept.

    Raises:
        ModelError: `keep` is not in (0, 1], or `num_heads` does not divide `embed_dim`.
    """

    keep: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        in_unit(keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class ThresholdGatedConfig(TemporalBlockConfig):
    """The probability of relevance above which a frame is kept; a clip may keep all of its frames, or none."""

    threshold: float = 0.5


class GatedTemporal(nn.Module):
    """The block, for a fixed number of frames of each clip."""

    def __init__(self, config: GatedTemporalConfig) -> None:
        super().__init__()
        self.config = config
        self.gate = Score(config.embed_dim, config.score_dim)
        self.block = temporal_block(config)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The clip after the block; skipped frames are unchanged."""
        scores: Tensor = self.gate(frame_means(x))
        kept = top_frames(scores, kept_frames(x.shape[1], self.config))
        clips = torch.arange(len(x), device=x.device)[:, None]
        return x.index_put((clips, kept), towards(self.block, x[clips, kept], scores[clips, kept]))


class ThresholdGatedTemporal(nn.Module):
    """The block, for as many frames of each clip as exceed the threshold."""

    def __init__(self, config: ThresholdGatedConfig) -> None:
        super().__init__()
        self.config = config
        self.gate = Score(config.embed_dim, config.score_dim)
        self.block = temporal_block(config)

    def kept(self, x: Float[Tensor, "b t h w c"]) -> Bool[Tensor, "b t"]:
        """Which frames are let through."""
        scores: Tensor = self.gate(frame_means(x))
        return scores.sigmoid() > self.config.threshold

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The clips after the block, one after another, as each has its own number of kept frames."""
        scores: Tensor = self.gate(frame_means(x))
        return torch.stack([self._pass(clip, score) for clip, score in zip(x, scores, strict=True)])

    def _pass(self, clip: Float[Tensor, "t h w c"], scores: Float[Tensor, "t"]) -> Float[Tensor, "t h w c"]:
        (kept,) = torch.nonzero(scores.sigmoid() > self.config.threshold, as_tuple=True)
        if not len(kept):
            return clip
        return clip.index_put((kept,), towards(self.block, clip[None, kept], scores[None, kept])[0])


class MaskedTemporal(nn.Module):
    """The block over all frames, and its update thrown away where `GatedTemporal` would have skipped the frame."""

    def __init__(self, config: GatedTemporalConfig) -> None:
        super().__init__()
        self.config = config
        self.gate = Score(config.embed_dim, config.score_dim)
        self.block = temporal_block(config)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The clip after the block; skipped frames are unchanged, but were paid for and attended to."""
        scores: Tensor = self.gate(frame_means(x))
        kept = top_frames(scores, kept_frames(x.shape[1], self.config))
        mask = torch.zeros_like(scores).scatter(1, kept, 1.0)
        return x + rearrange(mask, "b t -> b t 1 1 1") * (towards(self.block, x, scores) - x)


def temporal_block(config: TemporalBlockConfig) -> Block:
    """One pre-norm block whose attention runs along time."""
    return Block(config.embed_dim, AxisAttention(config, "t"), MLP(config.embed_dim, config.mlp_ratio))


def top_frames(scores: Float[Tensor, "b t"], count: int) -> Int[Tensor, "b kept"]:
    """The frames with the highest scores, in order of time."""
    return scores.topk(count, sorted=False).indices.sort().values


def towards(
    block: Block, frames: Float[Tensor, "b kept h w c"], scores: Float[Tensor, "b kept"]
) -> Float[Tensor, "b kept h w c"]:
    """The frames, moved towards the block's output by the sigmoid of their scores."""
    share = rearrange(scores.sigmoid(), "b kept -> b kept 1 1 1")
    out: Tensor = frames + share * (block(frames) - frames)
    return out


def build(grid: TokenGrid, dim: int, num_heads: int) -> GatedTemporal:  # noqa: ARG001 - every grid will do
    """The gated block that keeps half of the frames, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return GatedTemporal(GatedTemporalConfig(embed_dim=dim, num_heads=num_heads))


def build_masked(grid: TokenGrid, dim: int, num_heads: int) -> MaskedTemporal:  # noqa: ARG001 - every grid will do
    """The same with a mask in place of the gathering, to be held against it.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return MaskedTemporal(GatedTemporalConfig(embed_dim=dim, num_heads=num_heads))


def kept_frames(frames: int, config: GatedTemporalConfig) -> int:
    """Kept frames of a clip: the fraction, rounded up, but not for the last digit of 0.55 * 100; at least one."""
    return max(1, ceil(round(config.keep * frames, 9)))


def core_macs(grid: TokenGrid, config: TemporalBlockConfig, *, kept: int) -> int:
    """MACs of q k^T and a v on one clip: at each position `kept` queries against as many keys."""
    return 2 * kept**2 * grid.h * grid.w * config.embed_dim


def macs_of_kept(grid: TokenGrid, config: TemporalBlockConfig, *, kept: int) -> int:
    """MACs on one clip of which `kept` frames pass; 1 multiply-add = 1 MAC, norms and softmax excluded.

    The predictor sees all frames; projections and MLP cost 4 c^2 + 2 c hidden for each token of a kept frame.
    """
    hidden_dim = int(config.embed_dim * config.mlp_ratio)
    weights = kept * grid.h * grid.w * config.embed_dim * (4 * config.embed_dim + 2 * hidden_dim)
    scoring = score_macs(grid.t, config.embed_dim, config.score_dim)
    return scoring + weights + core_macs(grid, config, kept=kept)


def macs(grid: TokenGrid, config: GatedTemporalConfig) -> int:
    """MACs of `GatedTemporal` on one clip: linear in the kept frames, but for the square in the attention core."""
    return macs_of_kept(grid, config, kept=kept_frames(grid.t, config))
