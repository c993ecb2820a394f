"""ViViT: four ways to let the tubelets of a video attend to one another.

Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691; details from
the official code in Scenic: GELU by its tanh approximation, norms with eps 1e-6, positions for every token, the class
token's included; models 3 and 4 have none and average. Differs from both: no dropout, no stochastic depth, weights
start as torch starts them (the official heads and model 3's temporal attention start at zero).
"""

from dataclasses import dataclass

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.factorized_dot_product import FactorizedDotProductAttention
from vbench_models.layers.attention import AttentionConfig, AxisAttention, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import Clip, token_grid


@dataclass(frozen=True, kw_only=True)
class ViViTConfig:
    """Widths of a ViViT; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (2, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400

    @property
    def attention(self) -> AttentionConfig:
        """Every attention of the network."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)

    def mlp(self) -> MLP:
        """A new perceptron, one for each block."""
        return MLP(self.embed_dim, self.mlp_ratio, approximate="tanh")


@dataclass(frozen=True, kw_only=True)
class FactorisedEncoderConfig(ViViTConfig):
    """Widths of model 2: `depth` counts the blocks within frames, `temporal_depth` those between them."""

    temporal_depth: int = 4  # the paper's; the released Kinetics configuration of ViViT-L has 24


VIVIT_B_16X2 = ViViTConfig()
VIVIT_B_16X2_FE = FactorisedEncoderConfig()


class Encoder(nn.Module):
    """A ViT over `num_tokens` tokens: class token, learned positions, `depth` blocks, norm."""

    def __init__(self, config: ViViTConfig, num_tokens: int, depth: int) -> None:
        super().__init__()
        self.cls_token = learned(1, 1, config.embed_dim)
        self.positions = learned(1, 1 + num_tokens, config.embed_dim)
        self.blocks = nn.Sequential(
            *(Block(config.embed_dim, MultiHeadAttention(config.attention), config.mlp()) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b c"]:
        """What the class token has gathered from the sequence."""
        x = self.blocks(prepend(self.cls_token, x) + self.positions)
        gathered: Tensor = self.norm(x[:, 0])
        return gathered


class ViViT(nn.Module):
    """Model 1: joint space-time attention among all tubelets.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: ViViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.encoder = Encoder(config, token_grid(clip, config.tubelet_size).tokens, config.depth)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.encoder(rearrange(self.embedding(video), "b t h w c -> b (t h w) c"))
        logits: Tensor = self.head(x)
        return logits


class FactorisedEncoderViViT(nn.Module):
    """Model 2: a ViT within each time step, then a smaller one over what their class tokens gathered.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: FactorisedEncoderConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.space_encoder = Encoder(config, grid.h * grid.w, config.depth)
        self.time_encoder = Encoder(config, grid.t, config.temporal_depth)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token of the second encoder."""
        x = self.space_encoder(rearrange(self.embedding(video), "b t h w c -> (b t) (h w) c"))
        x = self.time_encoder(rearrange(x, "(b t) c -> b t c", b=len(video)))
        logits: Tensor = self.head(x)
        return logits


class FactorisedSelfAttentionBlock(nn.Module):
    """Attention over time, attention over space, MLP, each behind its own norm and with its own residual.

    The paper's text puts space first and finds that the order does not matter; the released configuration puts time
    first, and so does this.
    """

    def __init__(self, config: ViViTConfig) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.time_attention = AxisAttention(config.attention, "t")
        self.space_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.space_attention = AxisAttention(config.attention, "h w")
        self.mlp_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = config.mlp()

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The residual stream after the block."""
        x = x + self.time_attention(self.time_norm(x))
        x = x + self.space_attention(self.space_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class GridViViT(nn.Module):
    """The tubelets kept as a grid through the given blocks, then averaged: what models 3 and 4 share.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: ViViTConfig, clip: Clip, blocks: nn.Sequential) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.positions = learned(1, grid.t, grid.h, grid.w, config.embed_dim)
        self.blocks = blocks
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of all tokens."""
        x = self.norm(self.blocks(self.embedding(video) + self.positions))
        logits: Tensor = self.head(reduce(x, "b t h w c -> b c", "mean"))
        return logits


def factorised_self_attention_blocks(config: ViViTConfig) -> nn.Sequential:
    """The blocks of model 3, on `b t h w c`."""
    return nn.Sequential(*(FactorisedSelfAttentionBlock(config) for _ in range(config.depth)))


def factorised_dot_product_blocks(config: ViViTConfig) -> nn.Sequential:
    """The blocks of model 4, on `b t h w c`: half of the heads over time, the other half over space."""
    return nn.Sequential(
        *(
            Block(config.embed_dim, FactorizedDotProductAttention(config.attention), config.mlp())
            for _ in range(config.depth)
        )
    )


def vivit_b_16x2(clip: Clip) -> ViViT:
    """ViViT-B/16x2, model 1, for clips of this size."""
    return ViViT(VIVIT_B_16X2, clip)


def vivit_b_16x2_fe(clip: Clip) -> FactorisedEncoderViViT:
    """ViViT-B/16x2, model 2: factorised encoder, for clips of this size."""
    return FactorisedEncoderViViT(VIVIT_B_16X2_FE, clip)


def vivit_b_16x2_fsa(clip: Clip) -> GridViViT:
    """ViViT-B/16x2, model 3: factorised self-attention, for clips of this size."""
    return GridViViT(VIVIT_B_16X2, clip, factorised_self_attention_blocks(VIVIT_B_16X2))


def vivit_b_16x2_fdp(clip: Clip) -> GridViViT:
    """ViViT-B/16x2, model 4: factorised dot-product attention, for clips of this size."""
    return GridViViT(VIVIT_B_16X2, clip, factorised_dot_product_blocks(VIVIT_B_16X2))
