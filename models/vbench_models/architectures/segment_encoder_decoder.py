"""Video segmentation by a U-Net whose coarsest features attend over time: one mask for each frame.

A design of ours for the encoder-decoder that surveys draw: Ronneberger et al., "U-Net", MICCAI 2015, sec. 2,
https://arxiv.org/abs/1505.04597, on every frame, and a transformer along time at each position of its coarsest map, as
the temporal half of Bertasius et al., ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095. Differs from U-Net: zero
padding and batch norm, so that a mask has the frame's size, and half of its channels at every level.
"""

from dataclasses import dataclass
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.layers.upsampling import Decoder, DoubleConv
from vbench_models.video import Clip, UnsupportedClipError


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Channels of the levels, the last of them the bottleneck's, and the transformer over time."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    depth: int = 4
    num_heads: int = 8
    mlp_ratio: float = 4.0


SEGMENTER = SegmenterConfig()


class Masks(NamedTuple):
    """The logits of the foreground, of the frames' size."""

    logits: Float[Tensor, "b frames height width"]


class TemporalUNet(nn.Module):
    """Down on each frame, along time at the bottom, up on each frame with what was kept on the way down.

    Raises:
        UnsupportedClipError: a side is shorter than one position of the coarsest map.
    """

    def __init__(self, config: SegmenterConfig, clip: Clip) -> None:
        super().__init__()
        *kept, bottom = config.widths
        pitch = 2 ** len(kept)
        if min(clip.height, clip.width) < pitch:
            raise UnsupportedClipError(f"height and width must be at least {pitch}; got {clip.height}x{clip.width}")
        self.down = nn.ModuleList(
            DoubleConv(before, after) for before, after in zip((3, *kept), config.widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        attention = AttentionConfig(embed_dim=bottom, num_heads=config.num_heads)
        self.times = learned(1, clip.frames, 1, 1, bottom)
        self.over_time = nn.Sequential(
            *(Block(bottom, AxisAttention(attention, "t"), MLP(bottom, config.mlp_ratio)) for _ in range(config.depth))
        )
        self.up = Decoder(bottom, tuple(reversed(kept)))

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Masks:
        """The mask of every frame."""
        x = rearrange(video, "b c t h w -> (b t) c h w")
        levels = []
        for index, convolve in enumerate(self.down):
            x = convolve(self.pool(x) if index else x)
            levels.append(x)
        *fine, coarse = levels
        grid = rearrange(coarse, "(b t) c h w -> b t h w c", b=len(video))
        moved = rearrange(self.over_time(grid + self.times), "b t h w c -> (b t) c h w")
        return Masks(rearrange(self.up(moved, tuple(reversed(fine))), "(b t) 1 h w -> b t h w", b=len(video)))


def segment_encoder_decoder(clip: Clip) -> TemporalUNet:
    """A U-Net of 32 to 512 channels with four transformer blocks along time at its bottom."""
    return TemporalUNet(SEGMENTER, clip)
