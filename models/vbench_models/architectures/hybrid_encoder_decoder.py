"""CNN encoder, transformer encoder, transformer decoder, CNN decoder: from a clip to one map for each frame.

A design of ours for the encoder-decoder hybrid that surveys draw. The nearest papers are Carion et al., "End-to-End
Object Detection with Transformers", ECCV 2020, sec. 3.2, https://arxiv.org/abs/2005.12872, for the transformer (6 + 6
layers of 256 channels and 8 heads, on a ResNet-50's last map), and Wang et al., "VisTR", CVPR 2021, sec. 3.2,
https://arxiv.org/abs/2011.14503, which attends over the positions of all frames at once, as here. Differs from
both: the decoder's queries are the positions of the finer res4 map rather than learned objects, and layers normalise
before they act.
"""

from dataclasses import dataclass
from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.cross_attention import CrossAttention
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.layers.resnet import WIDTHS, ResNet
from vbench_models.layers.upsampling import Decoder, enlarged
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Widths of both halves of the transformer."""

    embed_dim: int = 256
    encoder_depth: int = 6
    decoder_depth: int = 6
    num_heads: int = 8
    mlp_ratio: float = 8.0  # 2,048 inner channels, as in DETR

    @property
    def attention(self) -> AttentionConfig:
        """Every attention of the network."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)

    def mlp(self) -> MLP:
        """A new perceptron, one for each layer."""
        return MLP(self.embed_dim, self.mlp_ratio)


ENCODER_DECODER = EncoderDecoderConfig()
COARSE, FINE = (1, 32, 32), (1, 16, 16)  # frames and pixels of one position of res5 and of res4


class Maps(NamedTuple):
    """One map for each frame."""

    logits: Float[Tensor, "b frames height width"]


class DecoderLayer(nn.Module):
    """Queries attend to one another, then to the encoder's memory, then an MLP, each after a norm, with a residual."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.embed_dim)
        self.self_attention = MultiHeadAttention(config.attention)
        self.cross_norm = nn.LayerNorm(config.embed_dim)
        self.cross_attention = CrossAttention(config.attention, config.embed_dim)
        self.mlp_norm = nn.LayerNorm(config.embed_dim)
        self.mlp = config.mlp()

    def forward(self, x: Float[Tensor, "b n c"], memory: Float[Tensor, "b m c"]) -> Float[Tensor, "b n c"]:
        """The queries after the layer."""
        x = x + self.self_attention(self.self_norm(x))
        x = x + self.cross_attention(self.cross_norm(x), memory)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class HybridEncoderDecoder(nn.Module):
    """The four parts in their order, with the ResNet's finer maps joined on the way up.

    Raises:
        UnsupportedClipError: height or width is no multiple of 32.
    """

    def __init__(self, config: EncoderDecoderConfig, clip: Clip) -> None:
        super().__init__()
        coarse, fine = token_grid(clip, COARSE), token_grid(clip, FINE)
        self.resnet = ResNet(stages=("res2", "res3", "res4", "res5"))
        self.coarse_tokens = Tokens(WIDTHS["res5"], config.embed_dim, coarse)
        self.fine_tokens = Tokens(WIDTHS["res4"], config.embed_dim, fine)
        self.encoder = nn.Sequential(
            *(
                Block(config.embed_dim, MultiHeadAttention(config.attention), config.mlp())
                for _ in range(config.encoder_depth)
            )
        )
        self.memory_norm = nn.LayerNorm(config.embed_dim)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(config.embed_dim)
        self.upsample = Decoder(config.embed_dim, (WIDTHS["res3"], WIDTHS["res2"]))

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Maps:
        """The map of every frame, of the frame's size."""
        b, _, t, height, width = video.shape
        res2, res3, res4, res5 = self.resnet(rearrange(video, "b c t h w -> (b t) c h w"))
        memory = self.memory_norm(self.encoder(self.coarse_tokens(res5)))
        x = self.fine_tokens(res4)
        for layer in self.decoder:
            x = layer(x, memory)
        x = rearrange(self.norm(x), "b (t h w) c -> (b t) c h w", t=t, h=height // 16)
        logits = enlarged(self.upsample(x, (res3, res2)), (height, width))
        return Maps(rearrange(logits, "(b t) 1 h w -> b t h w", b=b))


class Tokens(nn.Module):
    """The positions of a map, of all frames of a clip, projected, each with a learned place."""

    def __init__(self, channels: int, embed_dim: int, grid: TokenGrid) -> None:
        super().__init__()
        self.num_frames = grid.t
        self.project = nn.Linear(channels, embed_dim)
        self.positions = learned(1, grid.tokens, embed_dim)

    def forward(self, features: Float[Tensor, "bt channels h w"]) -> Float[Tensor, "b n c"]:
        """The tokens of each clip, n = t*h*w."""
        tokens = self.project(rearrange(features, "(b t) c h w -> b (t h w) c", t=self.num_frames))
        placed: Tensor = tokens + self.positions
        return placed


def hybrid_encoder_decoder(clip: Clip) -> HybridEncoderDecoder:
    """ResNet-50, 6 + 6 transformer layers of 256 channels, and a U-Net's way up, for clips of this size."""
    return HybridEncoderDecoder(ENCODER_DECODER, clip)
