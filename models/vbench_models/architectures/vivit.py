"""ViViT: four ways to let the tubelets of a video attend to one another.

Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691; details from
the official code in Scenic: GELU by its tanh approximation, norms with eps 1e-6, positions for every token, the class
token's included; models 3 and 4 have none and average. Differs from both: no dropout, no stochastic depth, weights
start as torch starts them (the official heads start at zero). Sec. 3.4's start from an image model: `initialise_...`.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.factorized_dot_product import FactorizedDotProductAttention
from vbench_models.layers import inflation
from vbench_models.layers.attention import AttentionConfig, AxisAttention, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.encoder import Encoder
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
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
VIVIT_L_16X2 = replace(VIVIT_B_16X2, embed_dim=1024, depth=24, num_heads=16)
VIVIT_L_16X2_FE = replace(VIVIT_B_16X2_FE, embed_dim=1024, depth=24, num_heads=16)
VIVIT_H_14X2 = replace(VIVIT_B_16X2, tubelet_size=(2, 14, 14), embed_dim=1280, depth=32, num_heads=16)


class ViViT(nn.Module):
    """Model 1: joint space-time attention among all tubelets.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: ViViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.grid = token_grid(clip, config.tubelet_size)
        self.encoder = Encoder(config.embed_dim, self.grid.tokens, vit_blocks(config, config.depth))
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
        self.space_encoder = Encoder(config.embed_dim, grid.h * grid.w, vit_blocks(config, config.depth))
        self.time_encoder = Encoder(config.embed_dim, grid.t, vit_blocks(config, config.temporal_depth))
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


def vit_blocks(config: ViViTConfig, depth: int) -> nn.Sequential:
    """The blocks of models 1 and 2, on `b n c`."""
    return nn.Sequential(
        *(Block(config.embed_dim, MultiHeadAttention(config.attention), config.mlp()) for _ in range(depth))
    )


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


def initialise_joint(
    model: ViViT, image: inflation.ImageWeights, inflate: inflation.Inflate = inflation.at_central_frame
) -> None:
    """Model 1 out of a ViT, whose places recur in every time step.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    inflation.copy_embedding(image, model.embedding, inflate)
    inflation.copy_encoder(image, model.encoder, model.grid.t)


def initialise_factorised_encoder(
    model: FactorisedEncoderViViT,
    image: inflation.ImageWeights,
    inflate: inflation.Inflate = inflation.at_central_frame,
) -> None:
    """Model 2's first encoder out of a ViT; the second starts from noise.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    inflation.copy_embedding(image, model.embedding, inflate)
    inflation.copy_encoder(image, model.space_encoder, 1)


@torch.no_grad()
def initialise_factorised_self_attention(
    model: GridViViT, image: inflation.ImageWeights, inflate: inflation.Inflate = inflation.at_central_frame
) -> None:
    """Model 3 out of a ViT, attention over time silent: on a static clip, each time step is then the image.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    inflation.copy_embedding(image, model.embedding, inflate)
    _, _, h, w, _ = model.positions.shape
    model.positions.copy_(rearrange(inflation.patch_positions(image, h * w), "1 (h w) c -> 1 1 h w c", h=h))
    for index, block in enumerate(model.blocks):
        inflation.copy_attention(
            image, index, block.get_submodule("space_norm"), block.get_submodule("space_attention")
        )
        inflation.silence(block.get_submodule("time_attention.proj"))
        inflation.copy_mlp(image, index, block)
    inflation.copy_layer(image, "norm", model.norm)


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


def vivit_l_16x2(clip: Clip) -> ViViT:
    """ViViT-L/16x2, model 1, for clips of this size."""
    return ViViT(VIVIT_L_16X2, clip)


def vivit_l_16x2_fe(clip: Clip) -> FactorisedEncoderViViT:
    """ViViT-L/16x2, model 2: factorised encoder, for clips of this size."""
    return FactorisedEncoderViViT(VIVIT_L_16X2_FE, clip)


def vivit_h_14x2(clip: Clip) -> ViViT:
    """ViViT-H/14x2, model 1, for clips of this size."""
    return ViViT(VIVIT_H_14X2, clip)
