"""MViT: a pyramid of attention whose queries, keys and values a convolution pools; time is pooled by the patches alone.

Fan et al., "Multiscale Vision Transformers", ICCV 2021, sec. 3, https://arxiv.org/abs/2104.11227; details from the
official code in PySlowFast. There a stage's last MLP widens the channels, and its shortcut projects what the MLP reads,
the normalised tokens; the first attention of the next stage pools its queries to half the height and width. Keys and
values are pooled in every block, so that all blocks of one clip, but the first of a stage, see the same number of them.
Differs from it: queries, keys and values are projected apart, as in PyTorchVideo; no stochastic depth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import attend
from vbench_models.layers.mlp import MLP
from vbench_models.layers.pooled_attention import (
    FeedForward,
    OverlappingPatches,
    Pooling,
    SkipPooling,
    cached,
    head_pooling,
)
from vbench_models.layers.pooling import pooled_grid
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import Clip, TokenGrid, token_grid

PATCHES = Pooling((3, 7, 7), (2, 4, 4))
HALVING = Pooling((3, 3, 3), (1, 2, 2))
SHORTCUT = Pooling((1, 3, 3), (1, 2, 2))
NO_POOLING = Pooling((1, 1, 1), (1, 1, 1))


@dataclass(frozen=True, kw_only=True)
class MViTConfig:
    """One entry of `depths` and `kv_poolings` a stage; channels and heads double from stage to stage."""

    patches: Pooling = PATCHES
    embed_dim: int = 96
    num_heads: int = 1
    depths: tuple[int, ...] = (1, 2, 11, 2)
    kv_poolings: tuple[Pooling, ...] = (
        Pooling((3, 3, 3), (1, 8, 8)),
        Pooling((3, 3, 3), (1, 4, 4)),
        Pooling((3, 3, 3), (1, 2, 2)),
        Pooling((3, 3, 3), (1, 1, 1)),
    )
    q_pooling: Pooling = HALVING  # of the first block of every stage but the first
    skip_pooling: Pooling = SHORTCUT
    mlp_ratio: float = 4.0
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5


MVIT_B = MViTConfig()  # table 2; the code's POOL_KVQ_KERNEL
MVIT_B_24 = replace(  # the code's MVIT_B_32x3_CONV: kernels of its own, one longer than the stride
    MVIT_B,
    depths=(2, 3, 16, 3),
    kv_poolings=(
        Pooling((1, 9, 9), (1, 8, 8)),
        Pooling((1, 5, 5), (1, 4, 4)),
        Pooling((1, 3, 3), (1, 2, 2)),
        NO_POOLING,
    ),
    q_pooling=Pooling((1, 3, 3), (1, 2, 2)),
)


class SpaceTimeTokens(nn.Module):
    """Overlapping patches behind a class token; learned positions in the frame, in time, and the class token's."""

    def __init__(self, config: MViTConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.patches = OverlappingPatches(config.patches, config.embed_dim, config.in_channels)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.cls_position = learned(1, 1, config.embed_dim)
        self.positions = learned(1, grid.h * grid.w, config.embed_dim)
        self.times = learned(1, grid.t, config.embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens of a video, n = 1 + t*h*w."""
        places = rearrange(self.times, "1 t c -> 1 t 1 c") + repeat(self.positions, "1 hw c -> 1 1 hw c")
        patches = self.patches(video) + rearrange(places, "1 t hw c -> 1 (t hw) c")
        return prepend(self.cls_token + self.cls_position, patches)


class PooledAttention(nn.Module):
    """Queries, keys and values are projected, then pooled, then attend."""

    def __init__(self, dim: int, num_heads: int, grid: TokenGrid, q_pooling: Pooling, kv_pooling: Pooling) -> None:
        super().__init__()
        head_dim = dim // num_heads
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in "qkv")
        self.pool_q = head_pooling(q_pooling, head_dim, grid)
        self.pool_k = head_pooling(kv_pooling, head_dim, grid)
        self.pool_v = head_pooling(kv_pooling, head_dim, grid)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c"]:
        """The update of every token that the queries keep; the residual is the caller's."""
        out = attend(self.pool_q(self.q(x)), self.pool_k(self.k(x)), self.pool_v(self.v(x)))
        update: Tensor = self.proj(rearrange(out, "b heads m d -> b m (heads d)"))
        return update


class WideningFeedForward(nn.Module):
    """A perceptron that doubles the channels, beside a projection of what it reads, the normalised tokens."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.widen = nn.Linear(dim, 2 * dim)
        self.mlp = MLP(dim, mlp_ratio, out_dim=2 * dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c2"]:
        """The tokens as the next stage takes them."""
        return cached(self.of_tokens, x, self.mlp.fc1.out_features)

    def of_tokens(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c2"]:
        """Those of any tokens."""
        x = self.norm(x)
        out: Tensor = self.widen(x) + self.mlp(x)
        return out


class Block(nn.Module):
    """Attention beside a shortcut, both of which may pool, then the perceptron."""

    def __init__(self, attention: PooledAttention, skip: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(attention.proj.in_features, eps=1e-6)
        self.attention = attention
        self.skip = skip
        self.feed_forward = feed_forward

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c2"]:
        """The tokens after the block."""
        x = self.skip(x) + self.attention(self.attention_norm(x))
        out: Tensor = self.feed_forward(x)
        return out


def stage(config: MViTConfig, index: int, grid: TokenGrid) -> nn.Sequential:
    """The blocks of one stage for what comes to it on `grid`: the first may pool, the last may widen."""
    dim, heads = config.embed_dim * 2**index, config.num_heads * 2**index
    blocks = nn.Sequential()
    for layer in range(config.depths[index]):
        pools, widens = index > 0 and layer == 0, layer == config.depths[index] - 1 and index < len(config.depths) - 1
        q_pooling = config.q_pooling if pools else NO_POOLING
        attention = PooledAttention(dim, heads, grid, q_pooling, config.kv_poolings[index])
        skip = SkipPooling(config.skip_pooling, grid) if pools else nn.Identity()
        feed_forward = WideningFeedForward if widens else FeedForward
        blocks.append(Block(attention, skip, feed_forward(dim, config.mlp_ratio)))
        grid = pooled_grid(grid, q_pooling.stride)
    return blocks


def stage_grids(config: MViTConfig, clip: Clip) -> list[TokenGrid]:
    """The grid on which every stage's tokens lie: time as the patches leave it, height and width halved, rounded up.

    Raises:
        UnsupportedClipError: an axis of the clip is no multiple of the patches' stride.
    """
    grids = [token_grid(clip, config.patches.stride)]
    for _ in config.depths[1:]:
        grids.append(pooled_grid(grids[-1], config.q_pooling.stride))
    return grids


class MViT(nn.Module):
    """Patches with their positions, the stages, and a linear head on the class token.

    Raises:
        UnsupportedClipError: frames are odd, or height or width no multiple of 4.
    """

    def __init__(self, config: MViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grids = stage_grids(config, clip)
        self.tokens = SpaceTimeTokens(config, grids[0])
        entering = [grids[0], *grids]  # a stage is entered on the grid of the one before
        self.stages = nn.Sequential(*(stage(config, index, entering[index]) for index in range(len(grids))))
        last_dim = config.embed_dim * 2 ** (len(grids) - 1)
        self.norm = nn.LayerNorm(last_dim, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(last_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = self.stages(self.tokens(video))
        logits: Tensor = self.head(self.dropout(self.norm(x[:, 0])))
        return logits


def mvit_b_16x4(clip: Clip) -> MViT:
    """MViT-B for `clip`, 16 frames in the paper: 36.6 M parameters, 400 classes."""
    return MViT(MVIT_B, clip)


def mvit_b_32x3(clip: Clip) -> MViT:
    """MViT-B for `clip`, 32 frames in the paper."""
    return MViT(MVIT_B, clip)


def mvit_b_64x3(clip: Clip) -> MViT:
    """MViT-B for `clip`, 64 frames in the paper."""
    return MViT(MVIT_B, clip)


def mvit_b_24_32x3(clip: Clip) -> MViT:
    """MViT-B-24 for `clip`, 32 frames in the paper: 24 blocks, 53.1 M parameters, 400 classes."""
    return MViT(MVIT_B_24, clip)
