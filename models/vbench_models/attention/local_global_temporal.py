"""Local-global temporal attention, in two forms: fine near by, coarse far away.

Two published ideas under one name. Near and pooled, at one position: Yang et al., "Focal Self-attention for
Local-Global Interactions in Vision Transformers", NeurIPS 2021, sec. 3.2, https://arxiv.org/abs/2107.00641, along time:
each token attends to the k nearest frames and to ceil(t / s) means of s frames each. Near the clip's ends the k frames
are pushed inward, so that every query has k. Differs from the paper: one level of pooling, by the mean, of projected
keys and values; no position bias. The pooled keys grow with t: quadratic in t, unless s grows with the clip.

Windows and key frames: Beltagy et al., "Longformer", 2020, sec. 3.1, https://arxiv.org/abs/2004.05150, in 3D: each
token attends to its block of (t, h, w) and to all tokens of g frames, spread evenly from the first on. Differs: windows
do not slide, and key frames attend no further than others. Linear in t, quadratic in h*w. A key frame's tokens that lie
in the window itself are there already: their second copy is masked, and is all that is computed in vain.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.neighborhoods import ProjectedAttention, Region, Thw, at_least, block_pairs, by_blocks
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class LocalGlobalTemporalConfig(AttentionConfig):
    """Widths, the k nearest frames (all of a shorter clip), and the s frames of each mean (the last may have fewer).

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or a number of frames is below 1.
    """

    local_frames: int = 3
    pool_stride: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, local_frames=self.local_frames, pool_stride=self.pool_stride)


class LocalGlobalTemporalAttention(ProjectedAttention):
    """The nearest frames and all pooled ones, at one position, for clips of exactly `num_frames` frames."""

    config: LocalGlobalTemporalConfig
    near: Int[Tensor, "t k"]
    pooled_frames: Int[Tensor, "m 1"]

    def __init__(self, config: LocalGlobalTemporalConfig, num_frames: int) -> None:
        super().__init__(config)
        k, stride = min(config.local_frames, num_frames), config.pool_stride
        first = (torch.arange(num_frames) - k // 2).clamp(0, num_frames - k)
        pooled_frames = (num_frames - torch.arange(0, num_frames, stride)).clamp(max=stride)
        self.register_buffer("near", first[:, None] + torch.arange(k), persistent=False)
        self.register_buffer("pooled_frames", pooled_frames[:, None], persistent=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone; on a CPU some rows of positions at a time, whose gathered frames stay cached."""
        rows = rows_at_once(q.device, q.shape[3], q[:, :, :, 0].numel())
        return in_parts(self._attend, rows, q, k, v, dim=3)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One softmax over the scores of near frames and of pooled ones."""
        b, heads, _, h, w, d = q.shape
        q, k, v = (rearrange(x, "b heads t h w d -> (b h w heads) t d") for x in (q * d**-0.5, k, v))
        near_scores = q.unsqueeze(2) @ self._gather(k).mT
        weights = torch.cat((near_scores.squeeze(2), q @ self._pool(k).mT), dim=-1).softmax(-1)
        near, pooled = weights.tensor_split((self.near.shape[1],), dim=-1)
        out = (near.unsqueeze(2) @ self._gather(v)).squeeze(2) + pooled @ self._pool(v)
        return rearrange(out, "(b h w heads) t d -> b heads t h w d", b=b, h=h, w=w, heads=heads)

    def _gather(self, x: Float[Tensor, "places t d"]) -> Float[Tensor, "places t k d"]:
        """The k nearest frames of each frame."""
        return rearrange(x.index_select(1, self.near.flatten()), "places (t k) d -> places t k d", k=self.near.shape[1])

    def _pool(self, x: Float[Tensor, "places t d"]) -> Float[Tensor, "places m d"]:
        """The means of every s frames; zeros fill up the last sum, not its mean."""
        stride = self.config.pool_stride
        filled = F.pad(x, (0, 0, 0, -x.shape[1] % stride))
        return reduce(filled, "places (m s) d -> places m d", "sum", s=stride) / self.pooled_frames


@dataclass(frozen=True, kw_only=True)
class LocalGlobalWindowsConfig(AttentionConfig):
    """Widths, the window in tokens of (t, h, w), cut to a smaller grid, and the g key frames, all of a shorter clip's.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or a size is below 1.
    """

    window_size: Thw = (4, 7, 7)
    key_frames: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, window_size=min(self.window_size), key_frames=self.key_frames)


class LocalGlobalWindowsAttention(ProjectedAttention):
    """The own window and all of some frames, for one token grid."""

    config: LocalGlobalWindowsConfig
    window: Int[Tensor, "t h w"]
    key_frames: Int[Tensor, "g"]

    def __init__(self, config: LocalGlobalWindowsConfig, grid: TokenGrid) -> None:
        super().__init__(config)
        extents = (grid.t, grid.h, grid.w)
        t, h, w = (torch.arange(n) // size for n, size in zip(extents, config.window_size, strict=True))
        window = (t[:, None, None] * grid.h + h[:, None]) * grid.w + w
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("key_frames", torch.tensor(key_frames(grid, config)), persistent=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone; one softmax over a window and the key frames' tokens outside it."""
        chosen = [x.index_select(2, self.key_frames) for x in (k, v)]
        shared = rearrange(chosen, "two b heads g h w d -> b heads (two g h w) d")

        def attend_window(q: Tensor, k: Tensor, v: Tensor, shared: Tensor, region: Region) -> Tensor:
            b = len(shared)
            outside = repeat(self._outside(region), "windows m -> (b windows) 1 1 m", b=b)
            seen = F.pad(outside, (q.shape[2], 0), value=True)
            shared = repeat(shared, "b heads m d -> (b windows) heads m d", windows=len(q) // b)
            windows = rows_at_once(q.device, len(q), 2 * k[0].numel() + shared[0].numel())
            return in_parts(attend_both, windows, q, k, v, shared, seen, dim=0)

        return by_blocks(attend_window, self.config.window_size, q, k, v, shared)

    def _outside(self, region: Region) -> Tensor:
        """Which tokens of the key frames lie outside each window of a region, windows x tokens."""
        t, h, w = self.config.window_size
        windows = self.window[region][::t, ::h, ::w].flatten()
        return windows[:, None] != self.window.index_select(0, self.key_frames).flatten()


def attend_both(
    q: Float[Tensor, "windows heads n d"],
    k: Float[Tensor, "windows heads n d"],
    v: Float[Tensor, "windows heads n d"],
    shared: Float[Tensor, "windows heads m_and_m d"],
    seen: Bool[Tensor, "windows 1 1 n_and_m"],
) -> Float[Tensor, "windows heads n d"]:
    """Attention to the windows' own keys, and to those of the shared ones, first keys, then values, that are seen."""
    shared_k, shared_v = shared.chunk(2, dim=2)
    return attend(q, torch.cat((k, shared_k), dim=2), torch.cat((v, shared_v), dim=2), seen)


def key_frames(grid: TokenGrid, config: LocalGlobalWindowsConfig) -> list[int]:
    """The frames that all tokens see: g of t, evenly spread from the first on."""
    count = min(config.key_frames, grid.t)
    return [index * grid.t // count for index in range(count)]


def build(grid: TokenGrid, dim: int, num_heads: int) -> LocalGlobalTemporalAttention:
    """The form at one position, for clips of `grid.t` frames, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return LocalGlobalTemporalAttention(LocalGlobalTemporalConfig(embed_dim=dim, num_heads=num_heads), grid.t)


def build_windows(grid: TokenGrid, dim: int, num_heads: int) -> LocalGlobalWindowsAttention:
    """The form with windows and key frames, for clips of this grid, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return LocalGlobalWindowsAttention(LocalGlobalWindowsConfig(embed_dim=dim, num_heads=num_heads), grid)


LocalGlobalConfig: TypeAlias = LocalGlobalTemporalConfig | LocalGlobalWindowsConfig


def computed_pairs(grid: TokenGrid, config: LocalGlobalConfig) -> int:
    """Pairs of a query and a key of which one head computes a score.

    At one position t*h*w * (k + ceil(t / s)), a pooled frame being one key; with windows the pairs of each window and
    t*h*w * g*h*w of tokens with key frames.
    """
    if isinstance(config, LocalGlobalTemporalConfig):
        return grid.tokens * (min(config.local_frames, grid.t) + -(-grid.t // config.pool_stride))
    shared = len(key_frames(grid, config)) * grid.h * grid.w
    return block_pairs(grid, config.window_size) + grid.tokens * shared


def useful_pairs(grid: TokenGrid, config: LocalGlobalConfig) -> int:
    """Pairs that take part in one head's output: all but those of a window with the key frames that cross it, twice."""
    if isinstance(config, LocalGlobalTemporalConfig):
        return computed_pairs(grid, config)
    size = config.window_size[0]
    crossed = sum(min(size, grid.t - frame // size * size) for frame in key_frames(grid, config))
    return computed_pairs(grid, config) - crossed * block_pairs(TokenGrid(1, grid.h, grid.w), config.window_size)


def core_macs(grid: TokenGrid, config: LocalGlobalConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax and means excluded: 2 d a pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: LocalGlobalConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
