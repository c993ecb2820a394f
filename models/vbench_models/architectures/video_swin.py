"""Video Swin: a pyramid of shifted-window attention blocks that merges 2 x 2 neighbours between its stages.

Liu et al., "Video Swin Transformer", CVPR 2022, sec. 3. https://arxiv.org/abs/2106.13230. Tubelets halve time, and no
stage pools it again. Any clip is taken: what tubelets, windows or mergers do not divide is padded with zeros at
the far end, as in the official code. Differs from it: no stochastic depth, which acts in training only; and merging
opens a stage, as in the paper's figure 1, where the code lets it close the stage before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.shifted_window import ShiftedWindowAttention, ShiftedWindowConfig, Thw
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.video import Clip, TokenGrid


@dataclass(frozen=True, kw_only=True)
class VideoSwinConfig:
    """One entry of `depths` and `num_heads` a stage; the width doubles from stage to stage. The defaults are Swin-T."""

    tubelet_size: Thw = (2, 4, 4)
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window_size: Thw = (8, 7, 7)
    mlp_ratio: float = 4.0
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5


# sec. 3.3; all are trained on 32 frames, every second one, of 224 x 224, and the last of 384 x 384
VIDEO_SWIN_T = VideoSwinConfig()
VIDEO_SWIN_S = replace(VIDEO_SWIN_T, depths=(2, 2, 18, 2))
VIDEO_SWIN_B = replace(VIDEO_SWIN_S, embed_dim=128, num_heads=(4, 8, 16, 32))
VIDEO_SWIN_L = replace(VIDEO_SWIN_S, embed_dim=192, num_heads=(6, 12, 24, 48))
VIDEO_SWIN_L_384 = replace(VIDEO_SWIN_L, window_size=(8, 12, 12))


class PatchMerging(nn.Module):
    """2 x 2 tokens of a frame become one of twice the width; an odd row or column is merged with zeros."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h2 w2 c2"]:
        """Half the height and width, rounded up, and twice the channels."""
        *_, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2)) if h % 2 or w % 2 else x
        x = rearrange(x, "b t (h dh) (w dw) c -> b t h w (dw dh c)", dh=2, dw=2)
        merged: Tensor = self.reduction(self.norm(x))
        return merged


class Block(nn.Module):
    """Attention within windows, then an MLP, each after a norm and beside a shortcut."""

    def __init__(self, attention: ShiftedWindowConfig, mlp_ratio: float, grid: TokenGrid) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(attention.embed_dim)
        self.attention = ShiftedWindowAttention(attention, grid)
        self.mlp_norm = nn.LayerNorm(attention.embed_dim)
        self.mlp = MLP(attention.embed_dim, mlp_ratio)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The tokens after the block."""
        x = x + self.attention(self.attention_norm(x))
        tokens = rearrange(x, "b t h w c -> (b t h w) c")
        rows = rows_at_once(x.device, len(tokens), self.mlp.fc1.out_features)
        return in_parts(self.feed_forward, rows, tokens, dim=0).view(x.shape)

    def feed_forward(self, x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """The MLP and its shortcut, for any of the tokens."""
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class Stage(nn.Module):
    """Merging, but in the first stage, and blocks whose windows are regular and shifted by turns."""

    def __init__(self, config: VideoSwinConfig, index: int, grid: TokenGrid) -> None:
        super().__init__()
        dim = config.embed_dim * 2**index
        regular = ShiftedWindowConfig(
            embed_dim=dim, num_heads=config.num_heads[index], window_size=config.window_size, shift_size=(0, 0, 0)
        )
        shifted = replace(regular, shift_size=half(config.window_size))
        by_turns = (shifted if layer % 2 else regular for layer in range(config.depths[index]))
        self.merge = PatchMerging(dim // 2) if index else nn.Identity()
        self.blocks = nn.Sequential(*(Block(attention, config.mlp_ratio, grid) for attention in by_turns))

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h2 w2 c2"]:
        """The tokens of the stage's own grid."""
        out: Tensor = self.blocks(self.merge(x))
        return out


class VideoSwin(nn.Module):
    """Normalised tubelet tokens, the stages, and a linear head on the mean of the normalised result."""

    def __init__(self, config: VideoSwinConfig, clip: Clip) -> None:
        super().__init__()
        self.tubelet_size = config.tubelet_size
        self.embed = TubeletEmbedding(config.tubelet_size, config.embed_dim, config.in_channels)
        self.embed_norm = nn.LayerNorm(config.embed_dim)
        grids = stage_grids(config, clip)
        self.stages = nn.Sequential(*(Stage(config, index, grid) for index, grid in enumerate(grids)))
        last_dim = config.embed_dim * 2 ** (len(grids) - 1)
        self.norm = nn.LayerNorm(last_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(last_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = self.embed_norm(self.embed(pad_to_tubelets(video, self.tubelet_size)))
        x = reduce(self.norm(self.stages(x)), "b t h w c -> b c", "mean")
        logits: Tensor = self.head(self.dropout(x))
        return logits


def video_swin_t(clip: Clip) -> VideoSwin:
    """Video Swin-T for `clip`: 28.2 M parameters, 400 classes. Its windows and masks belong to the clip's size."""
    return VideoSwin(VIDEO_SWIN_T, clip)


def video_swin_s(clip: Clip) -> VideoSwin:
    """Video Swin-S for `clip`: 49.8 M parameters, 400 classes."""
    return VideoSwin(VIDEO_SWIN_S, clip)


def video_swin_b(clip: Clip) -> VideoSwin:
    """Video Swin-B for `clip`: 88.0 M parameters, 400 classes."""
    return VideoSwin(VIDEO_SWIN_B, clip)


def video_swin_l(clip: Clip) -> VideoSwin:
    """Video Swin-L for `clip`: 197.0 M parameters, 400 classes."""
    return VideoSwin(VIDEO_SWIN_L, clip)


def video_swin_l_384(clip: Clip) -> VideoSwin:
    """Video Swin-L with windows of 8 x 12 x 12, made for 384 x 384 pixels: 200.0 M parameters, 400 classes."""
    return VideoSwin(VIDEO_SWIN_L_384, clip)


def stage_grids(config: VideoSwinConfig, clip: Clip) -> list[TokenGrid]:
    """The token grid of every stage: tubelets rounded up, then height and width halved, rounded up."""
    extents = (clip.frames, clip.height, clip.width)
    t, h, w = (-(-extent // size) for extent, size in zip(extents, config.tubelet_size, strict=True))
    return [TokenGrid(t, -(-h // 2**index), -(-w // 2**index)) for index in range(len(config.depths))]


def pad_to_tubelets(
    video: Float[Tensor, "b channels frames height width"], tubelet_size: Thw
) -> Float[Tensor, "b channels padded_frames padded_height padded_width"]:
    """Zeros at the far end of every axis, up to the next multiple of the tubelet."""
    t, h, w = (-extent % size for extent, size in zip(video.shape[2:], tubelet_size, strict=True))
    return F.pad(video, (0, w, 0, h, 0, t)) if t or h or w else video


def half(window_size: Thw) -> Thw:
    """The paper's shift: half a window along every axis, rounded down."""
    t, h, w = window_size
    return t // 2, h // 2, w // 2
