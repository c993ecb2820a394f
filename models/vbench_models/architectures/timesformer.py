"""TimeSformer: a ViT on the patches of every frame, with divided, joint or space-only attention.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095. Where paper and official code differ, this is the code: temporal attention does not
see the class token (eq. 13 lets it). Differs from both: no dropout, no stochastic depth, weights start as torch starts
them.
"""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class TimeSformerConfig:
    """Widths of a TimeSformer; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400

    @property
    def attention(self) -> AttentionConfig:
        """Every attention of the network."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)


TIMESFORMER_B = TimeSformerConfig()


class DividedBlock(nn.Module):
    """Attention over time, attention within each frame, MLP; on a class token and the patches after it."""

    def __init__(self, config: TimeSformerConfig, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.time_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.time_attention = MultiHeadAttention(config.attention)
        self.time_fc = nn.Linear(config.embed_dim, config.embed_dim)
        self.space_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.space_attention = MultiHeadAttention(config.attention)
        self.mlp_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = MLP(config.embed_dim, config.mlp_ratio)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the block; n = 1 + t*h*w."""
        cls, patches = x[:, :1], x[:, 1:]
        patches = patches + self.attend_time(patches)
        x = torch.cat((cls, patches), dim=1) + self.attend_space(cls, patches)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out

    def attend_time(self, patches: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Each patch attends to its own position in every frame; the class token takes no part."""
        x = rearrange(self.time_norm(patches), "b (t hw) c -> (b hw) t c", t=self.num_frames)
        x = rearrange(self.time_attention(x), "(b hw) t c -> b (t hw) c", b=len(patches))
        update: Tensor = self.time_fc(x)
        return update

    def attend_space(self, cls: Float[Tensor, "b 1 c"], patches: Float[Tensor, "b n c"]) -> Float[Tensor, "b n+1 c"]:
        """Each frame attends to itself and its copy of the class token; the copies' updates are averaged."""
        copies = repeat(cls, "b 1 c -> (b t) 1 c", t=self.num_frames)
        frames = rearrange(patches, "b (t hw) c -> (b t) hw c", t=self.num_frames)
        update = self.space_attention(self.space_norm(torch.cat((copies, frames), dim=1)))
        update = rearrange(update, "(b t) n c -> b t n c", t=self.num_frames)
        cls = reduce(update[:, :, :1], "b t 1 c -> b 1 c", "mean")
        return torch.cat((cls, rearrange(update[:, :, 1:], "b t hw c -> b (t hw) c")), dim=1)


class SpaceTimeTokens(nn.Module):
    """One class token and the patches of all frames, with a learned position in the frame and one in time."""

    def __init__(self, config: TimeSformerConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.positions = learned(1, 1 + grid.h * grid.w, config.embed_dim)
        self.times = learned(1, grid.t, config.embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens of a video, n = 1 + t*h*w; the class token has no place in time."""
        patches = rearrange(self.embedding(video), "b t h w c -> b t (h w) c")
        patches = patches + self.positions[:, 1:] + rearrange(self.times, "1 t c -> 1 t 1 c")
        return prepend(self.cls_token + self.positions[:, :1], rearrange(patches, "b t hw c -> b (t hw) c"))


class FrameTokens(nn.Module):
    """The patches of each frame behind a class token of its own, with a learned position in the frame."""

    def __init__(self, config: TimeSformerConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.positions = learned(1, 1 + grid.h * grid.w, config.embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "bt n c"]:
        """The frames of a video as so many images, n = 1 + h*w."""
        patches = rearrange(self.embedding(video), "b t h w c -> (b t) (h w) c")
        return prepend(self.cls_token, patches) + self.positions


class TimeSformer(nn.Module):
    """Divided space-time attention, the paper's choice.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: TimeSformerConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.tokens = SpaceTimeTokens(config, grid)
        self.blocks = nn.Sequential(*(DividedBlock(config, grid.t) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.blocks(self.tokens(video))
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits


class JointTimeSformer(nn.Module):
    """Joint space-time attention: a plain ViT over the tokens of all frames.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: TimeSformerConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.tokens = SpaceTimeTokens(config, token_grid(clip, config.tubelet_size))
        self.blocks = vit_blocks(config)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.blocks(self.tokens(video))
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits


class SpaceTimeSformer(nn.Module):
    """Space-only attention: a ViT on every frame, averaged over the frames before the last norm.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: TimeSformerConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.tokens = FrameTokens(config, token_grid(clip, config.tubelet_size))
        self.blocks = vit_blocks(config)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of the frames' class tokens."""
        x = self.blocks(self.tokens(video))
        x = reduce(x[:, 0], "(b t) c -> b c", "mean", b=len(video))
        logits: Tensor = self.head(self.norm(x))
        return logits


def vit_blocks(config: TimeSformerConfig) -> nn.Sequential:
    """The blocks of a ViT, on `b n c`."""
    return nn.Sequential(
        *(
            Block(config.embed_dim, MultiHeadAttention(config.attention), MLP(config.embed_dim, config.mlp_ratio))
            for _ in range(config.depth)
        )
    )


def timesformer_b(clip: Clip) -> TimeSformer:
    """TimeSformer-B, divided space-time attention, for clips of this size."""
    return TimeSformer(TIMESFORMER_B, clip)


def timesformer_b_joint(clip: Clip) -> JointTimeSformer:
    """TimeSformer-B, joint space-time attention, for clips of this size."""
    return JointTimeSformer(TIMESFORMER_B, clip)


def timesformer_b_space(clip: Clip) -> SpaceTimeSformer:
    """TimeSformer-B, space-only attention, for clips of this size."""
    return SpaceTimeSformer(TIMESFORMER_B, clip)
