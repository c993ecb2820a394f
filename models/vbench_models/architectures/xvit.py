"""X-ViT: a ViT on every frame whose keys and values borrow channels from the frames beside it.

Bulat et al., "Space-time Mixing Attention for Video Transformer", NeurIPS 2021, https://arxiv.org/abs/2106.05968;
details from the official code, https://github.com/1adrianb/video-transformers: the frame's class token is shifted with
its patches; the head's block projects q, k, v without bias; the norms of the head have torch's eps of 1e-5.

Differs from both: positions are learned for the clip's own size (the code interpolates those of 224 x 224); layers
that the code builds and never uses are left out; no stochastic depth, weights start as torch starts them.
"""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.space_time_mixing import SpaceTimeMixingAttention, SpaceTimeMixingConfig
from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned, prepend
from vbench_models.layers.tokens import FrameTokens
from vbench_models.video import Clip, token_grid

HEAD_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class XViTConfig:
    """Widths of an X-ViT; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    shift_div: int = 8  # Kinetics; Something-Something has 4
    num_classes: int = 400
    dropout: float = 0.5

    @property
    def attention(self) -> SpaceTimeMixingConfig:
        """The attention of every block over patches."""
        return SpaceTimeMixingConfig(embed_dim=self.embed_dim, num_heads=self.num_heads, shift_div=self.shift_div)

    @property
    def head_attention(self) -> AttentionConfig:
        """The attention among frames."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads, qkv_bias=False)

    def mlp(self) -> MLP:
        """A new perceptron, one for each block."""
        return MLP(self.embed_dim, self.mlp_ratio)


XVIT_B = XViTConfig()


class TemporalHead(nn.Module):
    """One ViT block among the frames' class tokens and one of the clip, then a classifier of two layers."""

    def __init__(self, config: XViTConfig) -> None:
        super().__init__()
        self.cls_token = learned(1, 1, config.embed_dim)
        self.block = Block(config.embed_dim, MultiHeadAttention(config.head_attention), config.mlp(), HEAD_EPS)
        self.norm = nn.LayerNorm(config.embed_dim, eps=HEAD_EPS)
        self.hidden = nn.Linear(config.embed_dim, config.embed_dim)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, frames: Float[Tensor, "b t c"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        clip = self.block(prepend(self.cls_token, frames))[:, 0]
        logits: Tensor = self.classifier(self.dropout(self.activation(self.hidden(self.norm(clip)))))
        return logits


class XViT(nn.Module):
    """Frames as images that look at their neighbours, then a head over the clip.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: XViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.tokens = FrameTokens(config.tubelet_size, config.embed_dim, grid)
        self.times = learned(1, grid.t, 1, 1, config.embed_dim)
        self.blocks = nn.Sequential(
            *(
                Block(config.embed_dim, SpaceTimeMixingAttention(config.attention), config.mlp())
                for _ in range(config.depth)
            )
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = TemporalHead(config)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = rearrange(self.tokens(video), "(b t) n c -> b t 1 n c", b=len(video))  # a frame is a row: class, patches
        x = self.blocks(x + self.times)
        logits: Tensor = self.head(self.norm(x[:, :, 0, 0]))
        return logits


def xvit_b(clip: Clip) -> XViT:
    """X-ViT-B/16, for clips of this size."""
    return XViT(XVIT_B, clip)
