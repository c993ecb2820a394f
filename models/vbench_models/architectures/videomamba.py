"""VideoMamba: a class token and the patches of all frames through state spaces alone, in both directions.

Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", ECCV 2024, sec. 3.2,
https://arxiv.org/abs/2403.06977; details from the official code, https://github.com/OpenGVLab/VideoMamba: patches of
one frame, tokens in t, h, w order (space first) behind the class token, RMS norms of eps 1e-5, no MLP, the head on the
class token alone. Differs from the code: no stochastic depth, the residual stream keeps the network's precision (theirs
is single), weights start as torch starts them.

The published figures hold what the authors' counter saw: the projections in and out, the patch embedding, and five for
each element that a norm returns. Convolutions, selections and scans run inside one fused kernel, which it did not see.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.mamba import BidirectionalMamba, MambaConfig
from vbench_models.layers.tokens import SpaceTimeTokens
from vbench_models.video import Clip, token_grid

EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class VideoMambaConfig(MambaConfig):
    """Widths of a VideoMamba; the clip's size is given when it is built. The defaults: VideoMamba-Ti."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 192
    depth: int = 24
    num_classes: int = 400


VIDEOMAMBA_TI = VideoMambaConfig()
VIDEOMAMBA_S = replace(VIDEOMAMBA_TI, embed_dim=384)
VIDEOMAMBA_M = replace(VIDEOMAMBA_TI, embed_dim=576, depth=32)


class MambaBlock(nn.Module):
    """x + mamba(norm(x))."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.embed_dim, eps=EPS)
        self.mamba = BidirectionalMamba(config)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the block."""
        out: Tensor = x + self.mamba(self.norm(x))
        return out


class VideoMamba(nn.Module):
    """Tokens, blocks, norm, head.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: VideoMambaConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.tokens = SpaceTimeTokens(config.tubelet_size, config.embed_dim, token_grid(clip, config.tubelet_size))
        self.blocks = nn.Sequential(*(MambaBlock(config) for _ in range(config.depth)))
        self.norm = nn.RMSNorm(config.embed_dim, eps=EPS)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.norm(self.blocks(self.tokens(video)))
        logits: Tensor = self.head(x[:, 0])
        return logits


def videomamba_ti(clip: Clip) -> VideoMamba:
    """VideoMamba-Ti for clips of this size."""
    return VideoMamba(VIDEOMAMBA_TI, clip)


def videomamba_s(clip: Clip) -> VideoMamba:
    """VideoMamba-S for clips of this size."""
    return VideoMamba(VIDEOMAMBA_S, clip)


def videomamba_m(clip: Clip) -> VideoMamba:
    """VideoMamba-M for clips of this size."""
    return VideoMamba(VIDEOMAMBA_M, clip)
