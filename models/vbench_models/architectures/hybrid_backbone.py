"""A convolutional network for each frame and a transformer over time: what a frame shows becomes one token.

A design of ours for the hybrid that surveys draw. The nearest paper is Neimark et al., "Video Transformer Network",
ICCVW 2021, sec. 3, https://arxiv.org/abs/2102.00719, whose temporal encoder has 3 layers of 768 channels and 12 heads,
as here. Differs from it: full attention among the frames in place of Longformer's windows, which a clip of some tens of
frames does not need, and a linear head in place of two layers.
"""

from dataclasses import dataclass

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.encoder import Encoder
from vbench_models.layers.mlp import MLP
from vbench_models.layers.mobilenet import MOBILENET_V3_LARGE_CHANNELS, mobilenet_v3_large
from vbench_models.layers.resnet import WIDTHS, ResNet
from vbench_models.video import Clip


@dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """Widths of the transformer over frames."""

    embed_dim: int = 768
    depth: int = 3
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400


HYBRID = HybridConfig()


class FramesThenTime(nn.Module):
    """`backbone` on every frame, its map averaged and projected to a token, an encoder over the tokens of the clip.

    `backbone` maps `b c h w` to a tuple whose last entry has `channels` channels.
    """

    def __init__(self, config: HybridConfig, clip: Clip, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.project = nn.Linear(channels, config.embed_dim)
        self.encoder = Encoder(config.embed_dim, clip.frames, time_blocks(config))
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        features = self.backbone(rearrange(video, "b c t h w -> (b t) c h w"))[-1]
        frames = reduce(features, "(b t) c h w -> b t c", "mean", b=len(video))
        logits: Tensor = self.head(self.encoder(self.project(frames)))
        return logits


def time_blocks(config: HybridConfig) -> nn.Sequential:
    """The blocks over time, on `b t c`."""
    attention = AttentionConfig(embed_dim=config.embed_dim, num_heads=config.num_heads)
    return nn.Sequential(
        *(
            Block(config.embed_dim, MultiHeadAttention(attention), MLP(config.embed_dim, config.mlp_ratio))
            for _ in range(config.depth)
        )
    )


def hybrid_resnet50(clip: Clip) -> FramesThenTime:
    """ResNet-50 on every frame, then three transformer layers over time."""
    return FramesThenTime(HYBRID, clip, ResNet(stages=("res5",)), WIDTHS["res5"])


def hybrid_mobilenet(clip: Clip) -> FramesThenTime:
    """MobileNetV3-Large on every frame, then three transformer layers over time."""
    return FramesThenTime(HYBRID, clip, mobilenet_v3_large(), MOBILENET_V3_LARGE_CHANNELS)
