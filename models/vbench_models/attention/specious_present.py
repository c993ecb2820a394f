"""Specious-present attention: each frame attends to a short window of frames around it.

The "specious present" is the short stretch of time that is perceived at once (James, "The Principles of Psychology",
1890, ch. 15). As attention it is a sliding window, Beltagy et al., "Longformer", 2020, sec. 3.1,
https://arxiv.org/abs/2004.05150, along time: each token attends, at its own position, to frames t - floor(w/2) ..
t + floor(w/2) - 1, or in the centred form to frames t - r .. t + r, both clipped to the clip. Differs from Longformer:
exact windows, one for each frame, in place of overlapping chunks.

The windows are overlapping views of one padded copy of the keys and values: no loop over frames, no t x t scores. Only
the windows at the clip's ends reach into the padding, which is masked: up to floor(w/2) frames at either end. The cost
is linear in t while the window is fixed. A window that reaches past the whole clip is cut to t - 1 frames a side.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.neighborhoods import ProjectedAttention, at_least
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class SpeciousPresentConfig(AttentionConfig):
    """Widths and the window w in frames, half of it past; an odd w counts as w - 1.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or the window is below 2 and would not hold its own frame.
    """

    window_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, window_size=self.window_size)

    @property
    def reach(self) -> tuple[int, int]:
        """Frames before and frames after."""
        return self.window_size // 2, self.window_size // 2 - 1


@dataclass(frozen=True, kw_only=True)
class CentredPresentConfig(AttentionConfig):
    """Widths and the radius r in frames: a window of 2 r + 1.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or the radius is negative.
    """

    radius: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, radius=self.radius)

    @property
    def reach(self) -> tuple[int, int]:
        """Frames before and frames after."""
        return self.radius, self.radius


PresentConfig: TypeAlias = SpeciousPresentConfig | CentredPresentConfig


class SpeciousPresentAttention(ProjectedAttention):
    """Attention over a window of frames, at one position, for clips of exactly `num_frames` frames."""

    config: PresentConfig
    exists: Bool[Tensor, "t m"]

    def __init__(self, config: PresentConfig, num_frames: int) -> None:
        super().__init__(config)
        self.before, self.after = clipped_reach(num_frames, config)
        frames = torch.arange(num_frames)[:, None] + torch.arange(-self.before, self.after + 1)
        self.register_buffer("exists", (frames >= 0) & (frames < num_frames), persistent=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone; on a CPU some rows of positions at a time, whose padded copies stay cached."""
        rows = rows_at_once(q.device, q.shape[3], q[:, :, :, 0].numel())
        return in_parts(self._attend, rows, q, k, v, dim=3)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One query against its window, for each frame, head and position."""
        b, heads, _, h, w, _ = q.shape
        q = rearrange(q, "b heads t h w d -> (b h w) (t heads) 1 d")
        exists = repeat(self.exists, "t m -> 1 (t heads) 1 m", heads=heads)
        out = attend(q, self._windows(k), self._windows(v), exists)
        return rearrange(out, "(b h w) (t heads) 1 d -> b heads t h w d", b=b, h=h, w=w, heads=heads)

    def _windows(self, x: Float[Tensor, "b heads t h w d"]) -> Float[Tensor, "places sequences m d"]:
        """The m frames around each frame, overlapping in memory: one copy of `x`, not m."""
        places = rearrange(x, "b heads t h w d -> b h w t heads d")
        padded = F.pad(places, (0, 0, 0, 0, self.before, self.after)).flatten(0, 2)
        windows = padded.unfold(1, self.before + 1 + self.after, 1)
        return rearrange(windows, "places t heads d m -> places (t heads) m d")


def build(grid: TokenGrid, dim: int, num_heads: int) -> SpeciousPresentAttention:
    """Specious-present attention for clips of `grid.t` frames, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SpeciousPresentAttention(SpeciousPresentConfig(embed_dim=dim, num_heads=num_heads), grid.t)


def build_centred(grid: TokenGrid, dim: int, num_heads: int) -> SpeciousPresentAttention:
    """The centred form for clips of `grid.t` frames, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SpeciousPresentAttention(CentredPresentConfig(embed_dim=dim, num_heads=num_heads), grid.t)


def clipped_reach(num_frames: int, config: PresentConfig) -> tuple[int, int]:
    """Frames before and after that a window holds on a clip of `num_frames`."""
    before, after = config.reach
    return min(before, num_frames - 1), min(after, num_frames - 1)


def computed_pairs(grid: TokenGrid, config: PresentConfig) -> int:
    """Pairs of a query and a key of which one head computes a score: t*h*w windows, what is masked included."""
    before, after = clipped_reach(grid.t, config)
    return grid.tokens * (before + 1 + after)


def useful_pairs(grid: TokenGrid, config: PresentConfig) -> int:
    """Pairs of a query and a key that exists: i frames of the window are missing i frames from an end."""
    before, after = clipped_reach(grid.t, config)
    missing = (before * (before + 1) + after * (after + 1)) // 2
    return computed_pairs(grid, config) - missing * grid.h * grid.w


def core_macs(grid: TokenGrid, config: PresentConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded: 2 d a computed pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: PresentConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
