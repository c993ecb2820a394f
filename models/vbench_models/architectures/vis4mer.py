"""ViS4mer: state spaces over the tokens that a frozen image network makes of every frame.

Islam & Bertasius, "Long Movie Clip Classification with State-Space Video Models", ECCV 2022, sec. 3,
https://arxiv.org/abs/2204.01692; details from the official code, https://github.com/md-mohaiminul/ViS4mer: one frame a
second, ViT-L/16 with its class token (197 tokens a frame) and its last norm; each layer of the decoder convolves
causally, halves the tokens by averaging pairs (an odd one is dropped) and the channels by a linear layer.

Differs from the code: the encoder is part of the network, its weights frozen, where theirs reads features from files;
the state matrix is diagonal (S4D), which has other parameters and makes its kernel by other products than theirs, that
is normal plus low rank, and convolves alike; no dropout; the linear layer for features of another width, which the code
builds and does not use, is left out.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.state_space import CausalConvolution, StateSpaceConfig
from vbench_models.layers.tokens import FrameTokens
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError, token_grid


@dataclass(frozen=True, kw_only=True)
class ViS4merConfig:
    """Widths of encoder and decoder; the decoder's channels start at the encoder's."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 1024
    encoder_depth: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0
    decoder_depth: int = 3
    state_dim: int = 64
    num_classes: int = 10  # of LVU's directors and writers


VIS4MER = ViS4merConfig()


class FrozenEncoder(nn.Module):
    """A ViT on every frame, all of whose tokens go on."""

    def __init__(self, config: ViS4merConfig, grid: TokenGrid) -> None:
        super().__init__()
        attention = AttentionConfig(embed_dim=config.embed_dim, num_heads=config.num_heads)
        self.tokens = FrameTokens(config.tubelet_size, config.embed_dim, grid)
        self.blocks = nn.Sequential(
            *(
                Block(config.embed_dim, MultiHeadAttention(attention), MLP(config.embed_dim, config.mlp_ratio))
                for _ in range(config.encoder_depth)
            )
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.requires_grad_(requires_grad=False)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens of all frames one after another, n = t*(1 + h*w)."""
        x: Tensor = self.norm(self.blocks(self.tokens(video)))
        return rearrange(x, "(b t) n c -> b (t n) c", b=len(video))


class StateSpaceLayer(nn.Module):
    """S4 with a residual, then half the tokens and half the channels."""

    def __init__(self, config: StateSpaceConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.embed_dim)
        self.convolution = CausalConvolution(config)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        self.narrow = nn.Linear(config.embed_dim, config.embed_dim // 2)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b half_n half_c"]:
        """What the next layer, or the mean, is given."""
        x = x + self.mix(self.norm(x))
        pairs = F.avg_pool1d(rearrange(x, "b n c -> b c n"), 2)
        return F.gelu(self.narrow(rearrange(pairs, "b c n -> b n c")))

    def mix(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The update of every token."""
        mixed = self.convolution(rearrange(x, "b n c -> b c n"))
        update: Tensor = self.proj(rearrange(F.gelu(mixed), "b c n -> b n c"))
        return update


class ViS4mer(nn.Module):
    """Encoder, three state spaces at 1, 1/2 and 1/4 of the tokens and channels, mean, head.

    Raises:
        UnsupportedClipError: the patches do not tile the clip, or it has too few for the layers to halve.
    """

    def __init__(self, config: ViS4merConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        check_length(grid, config.decoder_depth)
        widths = [config.embed_dim >> layer for layer in range(config.decoder_depth + 1)]
        self.encoder = FrozenEncoder(config, grid)
        self.layers = nn.Sequential(
            *(
                StateSpaceLayer(StateSpaceConfig(embed_dim=width, state_dim=config.state_dim))
                for width in widths[: config.decoder_depth]
            )
        )
        self.head = nn.Linear(widths[-1], config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of the tokens that are left."""
        x = self.layers(self.encoder(video))
        logits: Tensor = self.head(reduce(x, "b n c -> b c", "mean"))
        return logits


def check_length(grid: TokenGrid, halvings: int) -> None:
    """Raise if nothing would be left of the clip's tokens."""
    tokens, least = grid.t * (1 + grid.h * grid.w), 2**halvings
    if tokens < least:
        raise UnsupportedClipError(
            f"vis4mer halves its tokens {halvings} times, so it needs {least} or more; got {tokens} (frames={grid.t}, "
            f"{1 + grid.h * grid.w} each), nearest: frames={-(-least // (1 + grid.h * grid.w))}"
        )


def vis4mer(clip: Clip) -> ViS4mer:
    """ViS4mer over ViT-L/16 for clips of this size, ten classes."""
    return ViS4mer(VIS4MER, clip)
