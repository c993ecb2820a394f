"""Space-time mixing: attention within each frame, over keys and values that borrow channels from the frames beside it.

Bulat et al., "Space-time Mixing Attention for Video Transformer" (X-ViT), NeurIPS 2021, sec. 3.2,
https://arxiv.org/abs/2106.05968. The channels of all heads, laid side by side, are numbered from 0: the first 1/8 come
from the next frame, the next 1/8 from the one before, zeros from beyond the clip's ends; queries stay. So it is in the
official code, where the paper's eq. 9 has the shift inside every head. Differs from both: no class token.

The shift moves numbers and multiplies none: the cost is that of space-only attention.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend_over, projection_macs
from vbench_models.layers.neighborhoods import ProjectedAttention, at_least
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class SpaceTimeMixingConfig(AttentionConfig):
    """Widths; floor(channels / `shift_div`) come from each neighbour: 8 on Kinetics, 4 on Something-Something.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or `shift_div` is below 2.
    """

    shift_div: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, shift_div=self.shift_div)


class SpaceTimeMixingAttention(ProjectedAttention):
    """Space-only attention with shifted keys and values."""

    config: SpaceTimeMixingConfig

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, the shift included."""
        return attend_over("h w", q, self._shift(k), self._shift(v))

    def _shift(self, x: Float[Tensor, "b heads t h w d"]) -> Float[Tensor, "b heads t h w d"]:
        heads = x.shape[1]
        channels = rearrange(x, "b heads t h w d -> b t h w (heads d)")
        fold = channels.shape[-1] // self.config.shift_div
        following, preceding, own = channels.tensor_split((fold, 2 * fold), dim=-1)
        no_frame = (0, 0, 0, 0, 0, 0)
        following = F.pad(following[:, 1:], (*no_frame, 0, 1))
        preceding = F.pad(preceding[:, :-1], (*no_frame, 1, 0))
        mixed = torch.cat((following, preceding, own), dim=-1)
        return rearrange(mixed, "b t h w (heads d) -> b heads t h w d", heads=heads)


def build(grid: TokenGrid, dim: int, num_heads: int) -> SpaceTimeMixingAttention:  # noqa: ARG001 - every grid will do
    """Space-time mixing attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SpaceTimeMixingAttention(SpaceTimeMixingConfig(embed_dim=dim, num_heads=num_heads))


def computed_pairs(grid: TokenGrid, config: SpaceTimeMixingConfig) -> int:  # noqa: ARG001 - every pattern's signature
    """Pairs of a query and a key of which one head computes a score: t*h*w queries, h*w keys each."""
    return grid.tokens * grid.h * grid.w


def useful_pairs(grid: TokenGrid, config: SpaceTimeMixingConfig) -> int:
    """Pairs that take part in one head's output: all that are computed."""
    return computed_pairs(grid, config)


def core_macs(grid: TokenGrid, config: SpaceTimeMixingConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded: 2 d a pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: SpaceTimeMixingConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
