"""The neutral backbone: one ViT-B/16 around every attention pattern, so that only the pattern differs.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, https://arxiv.org/abs/2010.11929, over the frames of a
clip. A yardstick of ours, no published network: no class token, learned positions, the mean of all tokens to the head.
The norms stand before attention and perceptron, as in ViT; two more networks differ from it in these norms alone: those
that a pattern has within itself, as divided attention between its two steps, stay as they are.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.adaptive_norm import AdaptiveNormBlock, Modulation, modulated
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.layers.post_norm import PostNormBlock
from vbench_models.video import Clip, TokenGrid, token_grid

BlockBuilder = Callable[[int, nn.Module, MLP], nn.Module]  # (embed_dim, attention, mlp)
PatternBuilder = Callable[..., nn.Module]  # (grid, dim, num_heads) or (grid, dim, num_heads, layer)


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Widths around the pattern: ViT-B's."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400


BACKBONE_B = BackboneConfig()


class Backbone(nn.Module):
    """Tubelets, `depth` blocks around the pattern, norm, mean, head.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
        ModelError: the pattern does not take the clip's token grid.
    """

    def __init__(
        self, config: BackboneConfig, clip: Clip, pattern_builder: PatternBuilder, block: BlockBuilder = Block
    ) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        pattern_of = builder_by_layer(pattern_builder, grid, config)
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.positions = learned(1, grid.t, grid.h, grid.w, config.embed_dim)
        self.blocks = nn.Sequential(
            *(
                block(config.embed_dim, pattern_of(layer), MLP(config.embed_dim, config.mlp_ratio))
                for layer in range(config.depth)
            )
        )
        self.norm: nn.Module = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of all tokens."""
        x = self.norm(self.blocks(self.embedding(video) + self.positions))
        logits: Tensor = self.head(reduce(x, "b t h w c -> b c", "mean"))
        return logits


class PostNormBackbone(Backbone):
    """The same with post-norm blocks: the last block's norm is the network's last; raises as `Backbone`."""

    def __init__(self, config: BackboneConfig, clip: Clip, pattern_builder: PatternBuilder) -> None:
        super().__init__(config, clip, pattern_builder, PostNormBlock)
        self.norm = nn.Identity()


class AdaptiveNormBackbone(Backbone):
    """The same with norms that the clip itself decides, the last one included; raises as `Backbone`.

    The condition is the mean of the clip's embedded tokens, positions included: a video has neither the time step nor
    the class of DiT. It costs no parameters, and each block's linear layer reads it as it is.
    """

    def __init__(self, config: BackboneConfig, clip: Clip, pattern_builder: PatternBuilder) -> None:
        super().__init__(config, clip, pattern_builder, AdaptiveNormBlock)
        self.modulation = Modulation(config.embed_dim, 2)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6, elementwise_affine=False)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of all tokens."""
        x = self.embedding(video) + self.positions
        condition = reduce(x, "b t h w c -> b c", "mean")
        for block in self.blocks:
            x = block(x, condition)
        x = modulated(self.norm(x), *self.modulation(condition))
        logits: Tensor = self.head(reduce(x, "b t h w c -> b c", "mean"))
        return logits


def builder_by_layer(
    pattern_builder: PatternBuilder, grid: TokenGrid, config: BackboneConfig
) -> Callable[[int], nn.Module]:
    """From a block's index to its pattern: builders with a parameter `layer` are told the index, others are not."""
    if "layer" in inspect.signature(pattern_builder).parameters:
        return lambda layer: pattern_builder(grid, config.embed_dim, config.num_heads, layer=layer)
    return lambda _: pattern_builder(grid, config.embed_dim, config.num_heads)


def build(pattern_builder: PatternBuilder, clip: Clip) -> Backbone:
    """ViT-B/16 for clips of this size, with the pattern in every block."""
    return Backbone(BACKBONE_B, clip, pattern_builder)


def build_post_norm(pattern_builder: PatternBuilder, clip: Clip) -> PostNormBackbone:
    """The same with its norms after the residual sums."""
    return PostNormBackbone(BACKBONE_B, clip, pattern_builder)


def build_adaptive_norm(pattern_builder: PatternBuilder, clip: Clip) -> AdaptiveNormBackbone:
    """The same with norms whose scale, shift and gate the clip decides."""
    return AdaptiveNormBackbone(BACKBONE_B, clip, pattern_builder)
