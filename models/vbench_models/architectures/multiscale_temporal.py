"""Multi-scale temporal transformer: one video transformer for each of several frame rates, fused by a linear layer.

A design of ours; no paper has exactly this form. Nearest: Yan et al., "Multiview Transformers for Video Recognition",
CVPR 2022, https://arxiv.org/abs/2201.04288, whose streams differ in their tubelets, in their widths, and read from one
another. Here every stream is a TimeSformer-B of its own, with divided attention, Bertasius et al., "Is Space-Time
Attention All You Need for Video Understanding?", ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095, on every fourth,
every second and every frame of the clip; the streams meet only in the linear layer, which takes their class tokens side
by side. A frame that a stream skips is not computed by it.
"""

from dataclasses import dataclass
from math import lcm

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.mlp import MLP
from vbench_models.layers.steps import FRAMES, FrameStep, SteppedBlock, TimeStep
from vbench_models.layers.tokens import SpaceTimeTokens
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class MultiscaleTemporalConfig:
    """The streams' temporal strides, and the widths that they share; the clip's size is given when it is built."""

    strides: tuple[int, ...] = (4, 2, 1)
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400

    @property
    def attention(self) -> AttentionConfig:
        """Every attention of the network."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)

    @property
    def smallest_clip(self) -> tuple[int, int, int]:
        """Frames, height and width of which a clip holds a whole number: every stream then has the same span."""
        return lcm(*self.strides), self.patch_size, self.patch_size


MULTISCALE_TEMPORAL = MultiscaleTemporalConfig()


class Stream(nn.Module):
    """A video transformer on every `stride`-th frame of the clip, the first included."""

    def __init__(self, config: MultiscaleTemporalConfig, grid: TokenGrid, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.tokens = SpaceTimeTokens((1, config.patch_size, config.patch_size), config.embed_dim, grid)
        self.blocks = nn.Sequential(*(divided_block(config, grid) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b c"]:
        """What the class token has gathered from the stream's frames."""
        x = self.blocks(self.tokens(video[:, :, :: self.stride]))
        gathered: Tensor = self.norm(x[:, 0])
        return gathered


class MultiscaleTemporal(nn.Module):
    """The streams, a linear layer over their features side by side, and a linear head.

    Raises:
        UnsupportedClipError: the frames are no multiple of every stride, or the patches do not tile them.
    """

    def __init__(self, config: MultiscaleTemporalConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        token_grid(clip, config.smallest_clip)  # refuses what some stream cannot take
        self.streams = nn.ModuleList(
            Stream(config, token_grid(clip, (stride, config.patch_size, config.patch_size)), stride)
            for stride in config.strides
        )
        self.fusion = nn.Linear(len(config.strides) * config.embed_dim, config.embed_dim)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the fused features."""
        features = torch.cat([stream(video) for stream in self.streams], dim=-1)
        logits: Tensor = self.head(self.fusion(features))
        return logits


def divided_block(config: MultiscaleTemporalConfig, grid: TokenGrid) -> SteppedBlock:
    """Attention over time, attention within each frame, MLP."""
    space = FrameStep(config.attention, grid, FRAMES, nn.Identity())
    steps = {"time": TimeStep(config.attention, grid), "space": space}
    return SteppedBlock(config.embed_dim, steps, MLP(config.embed_dim, config.mlp_ratio))


def multiscale_temporal(clip: Clip) -> MultiscaleTemporal:
    """Three TimeSformer-B streams, on a quarter, half and all of the frames, for clips of this size."""
    return MultiscaleTemporal(MULTISCALE_TEMPORAL, clip)
