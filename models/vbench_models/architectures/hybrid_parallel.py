"""A convolutional branch and a transformer branch side by side, fused by concatenation or by cross-attention.

A design of ours for the parallel hybrid that surveys draw; the nearest paper is Peng et al., "Conformer: Local Features
Coupling Global Representations for Visual Recognition", ICCV 2021, https://arxiv.org/abs/2105.03889, which exchanges
features at every stage. Here the branches meet once, at their ends. The branches are ResNet-50 on every frame, and
a ViT-B with divided attention on tubelets.
"""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.divided import DividedAttention
from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.block import Block
from vbench_models.layers.cross_attention import CrossAttention
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.layers.resnet import WIDTHS, ResNet
from vbench_models.video import Clip, token_grid


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Widths of the transformer branch; the convolutional one is a ResNet-50."""

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


PARALLEL = ParallelConfig()


class Branches(nn.Module):
    """Both branches, not fused yet.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: ParallelConfig, clip: Clip) -> None:
        super().__init__()
        grid = token_grid(clip, config.tubelet_size)
        self.resnet = ResNet(stages=("res5",))
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.positions = learned(1, grid.t, grid.h, grid.w, config.embed_dim)
        self.blocks = nn.Sequential(
            *(
                Block(config.embed_dim, DividedAttention(config.attention), MLP(config.embed_dim, config.mlp_ratio))
                for _ in range(config.depth)
            )
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)

    def forward(
        self, video: Float[Tensor, "b channels frames height width"]
    ) -> tuple[Float[Tensor, "b m resnet_c"], Float[Tensor, "b n c"]]:
        """The positions of the ResNet's last maps, of all frames, and the tokens of the transformer."""
        (features,) = self.resnet(rearrange(video, "b c t h w -> (b t) c h w"))
        tokens = self.norm(self.blocks(self.embedding(video) + self.positions))
        return (
            rearrange(features, "(b t) c h w -> b (t h w) c", b=len(video)),
            rearrange(tokens, "b t h w c -> b (t h w) c"),
        )


class ParallelConcat(nn.Module):
    """The branches' means side by side under one linear head."""

    def __init__(self, config: ParallelConfig, clip: Clip) -> None:
        super().__init__()
        self.branches = Branches(config, clip)
        self.head = nn.Linear(WIDTHS["res5"] + config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        means = [reduce(branch, "b n c -> b c", "mean") for branch in self.branches(video)]
        logits: Tensor = self.head(torch.cat(means, dim=1))
        return logits


class ParallelCross(nn.Module):
    """The transformer's tokens read from the ResNet's positions, once, before the head."""

    def __init__(self, config: ParallelConfig, clip: Clip) -> None:
        super().__init__()
        self.branches = Branches(config, clip)
        self.features_norm = nn.LayerNorm(WIDTHS["res5"], eps=1e-6)
        self.cross = CrossAttention(config.attention, WIDTHS["res5"])
        self.mlp_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = MLP(config.embed_dim, config.mlp_ratio)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        features, tokens = self.branches(video)
        x = tokens + self.cross(tokens, self.features_norm(features))
        x = x + self.mlp(self.mlp_norm(x))
        logits: Tensor = self.head(self.norm(reduce(x, "b n c -> b c", "mean")))
        return logits


def hybrid_parallel_concat(clip: Clip) -> ParallelConcat:
    """ResNet-50 beside a ViT-B with divided attention, fused by concatenation."""
    return ParallelConcat(PARALLEL, clip)


def hybrid_parallel_cross(clip: Clip) -> ParallelCross:
    """ResNet-50 beside a ViT-B with divided attention, fused by cross-attention."""
    return ParallelCross(PARALLEL, clip)
