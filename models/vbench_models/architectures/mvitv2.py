"""MViTv2: MViT with decomposed relative positions, queries pooled in every block and added to what they gather.

Li et al., "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", CVPR 2022, sec. 4,
https://arxiv.org/abs/2112.01526; details from the official code in PySlowFast. There the channels widen within the
first attention of a stage, whose shortcut projects the normalised tokens before it pools them; there are no absolute
positions; the class token adds no query. Tables of positions are as long as the grid rounded down asks for, but
poolings round up: where both differ, the tables are stretched. Differs from it: queries, keys and values are projected
apart; both sides' tables have the length that the longer side asks for, as in torchvision, where the official code
takes squares alone; no stochastic depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import attend
from vbench_models.layers.cache import rows_at_once
from vbench_models.layers.decomposed_positions import AxisScores, DecomposedScores, added_up
from vbench_models.layers.pooled_attention import FeedForward, HeadPooling, OverlappingPatches, Pooling, SkipPooling
from vbench_models.layers.pooling import pooled_grid
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError, token_grid

PATCHES = Pooling((3, 7, 7), (2, 4, 4))
KEEPING = Pooling((3, 3, 3), (1, 1, 1))
HALVING = Pooling((3, 3, 3), (1, 2, 2))
SHORTCUT = Pooling((1, 3, 3), (1, 2, 2))


@dataclass(frozen=True, kw_only=True)
class MViTv2Config:
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
    q_pooling: Pooling = KEEPING
    opening_q_pooling: Pooling = HALVING  # of the first block of every stage but the first
    skip_pooling: Pooling = SHORTCUT
    mlp_ratio: float = 4.0
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5


MVITV2_S = MViTv2Config()  # table 1
MVITV2_B = replace(MVITV2_S, depths=(2, 3, 16, 3))
MVITV2_L = replace(MVITV2_S, embed_dim=144, num_heads=2, depths=(2, 6, 36, 4))


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """Widths and grids of one block; `side` is its longer side in tokens, had all poolings before it rounded down."""

    dim: int
    out_dim: int
    num_heads: int
    grid: TokenGrid
    side: int
    q_pooling: Pooling
    kv_pooling: Pooling

    @property
    def q_grid(self) -> TokenGrid:
        """The grid of the queries, and of what leaves the block."""
        return pooled_grid(self.grid, self.q_pooling.stride)

    @property
    def side_entries(self) -> int:
        """Vectors in the tables of height and width: the distances along the longer side, were poolings to round down.

        Below 1 where a side has been halved to nothing.
        """
        steps = self.q_pooling.stride[1], self.kv_pooling.stride[1]
        return 2 * max(self.side // step for step in steps) - 1


def block_plans(config: MViTv2Config, clip: Clip) -> Iterator[BlockPlan]:
    """The blocks in their order.

    Raises:
        UnsupportedClipError: an axis of the clip is no multiple of the patches' stride, or both sides are too short.
    """
    grid = token_grid(clip, config.patches.stride)
    dim, side = config.embed_dim, max(grid.h, grid.w)
    halvings = 2 ** (len(config.depths) - 1)
    if side < halvings:
        shortest = halvings * config.patches.stride[1]
        raise UnsupportedClipError(
            f"the longer side of the clip must have {shortest} pixels or more, to be halved {len(config.depths) - 1} "
            f"times after the patches; got height={clip.height}, width={clip.width}"
        )
    for stage, (depth, kv_pooling) in enumerate(zip(config.depths, config.kv_poolings, strict=True)):
        for layer in range(depth):
            opens = stage > 0 and layer == 0
            plan = BlockPlan(
                dim=dim,
                out_dim=config.embed_dim * 2**stage,
                num_heads=config.num_heads * 2**stage,
                grid=grid,
                side=side,
                q_pooling=config.opening_q_pooling if opens else config.q_pooling,
                kv_pooling=kv_pooling,
            )
            yield plan
            dim, grid, side = plan.out_dim, plan.q_grid, side // plan.q_pooling.stride[1]


class PooledAttention(nn.Module):
    """Pooled queries attend to pooled keys by content and by distance; each patch adds its query to what it gathers."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        head_dim = plan.out_dim // plan.num_heads
        self.q_grid, k_grid = plan.q_grid, pooled_grid(plan.grid, plan.kv_pooling.stride)
        self.q, self.k, self.v = (nn.Linear(plan.dim, plan.out_dim) for _ in "qkv")
        self.pool_q = HeadPooling(plan.q_pooling, head_dim, plan.grid)
        self.pool_k = HeadPooling(plan.kv_pooling, head_dim, plan.grid)
        self.pool_v = HeadPooling(plan.kv_pooling, head_dim, plan.grid)
        self.positions = DecomposedScores(self.q_grid, k_grid, head_dim, side_entries=plan.side_entries)
        self.proj = nn.Linear(plan.out_dim, plan.out_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c2"]:
        """The update of every token that the queries keep; the residual is the caller's."""
        q, k, v = self.pool_q(self.q(x)), self.pool_k(self.k(x)), self.pool_v(self.v(x))
        gathered = attend(q[:, :, :1], k, v), *self.gather(q[:, :, 1:], k, v)
        out = torch.cat([rearrange(part, "b heads n d -> b n (heads d)") for part in gathered], dim=1)
        update: Tensor = self.proj(out)
        return update

    def gather(
        self, q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads m d"], v: Float[Tensor, "b heads m d"]
    ) -> Iterator[Float[Tensor, "b heads part d"]]:
        """The patches, a few frames of queries at a time: the bias of all would be the largest tensor by far."""
        by_frame = rearrange(q, "b heads (t hw) d -> b heads t hw d", t=self.q_grid.t)
        bias_of_frame = by_frame[:, :, 0, :, 0].numel() * k.shape[2]
        frames = rows_at_once(q.device, self.q_grid.t, bias_of_frame)
        parts = zip(*(torch.split(y, frames, dim=2) for y in (by_frame, *self.positions(q))), strict=True)
        for part, *scores in parts:
            queries = rearrange(part, "b heads t hw d -> b heads (t hw) d")
            yield attend(queries, k, v, added_up(AxisScores(*scores))) + queries


class Block(nn.Module):
    """Attention beside the tokens themselves, then the perceptron."""

    def __init__(self, plan: BlockPlan, mlp_ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(plan.dim, eps=1e-6)
        self.attention = PooledAttention(plan)
        self.feed_forward = FeedForward(plan.out_dim, mlp_ratio)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The tokens after the block."""
        out: Tensor = self.feed_forward(x + self.attention(self.attention_norm(x)))
        return out


class OpeningBlock(nn.Module):
    """The first of a stage: attention beside a shortcut that widens the normalised tokens, then pools them."""

    def __init__(self, plan: BlockPlan, skip_pooling: Pooling, mlp_ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(plan.dim, eps=1e-6)
        self.attention = PooledAttention(plan)
        self.widen = nn.Linear(plan.dim, plan.out_dim)
        self.skip = SkipPooling(skip_pooling, plan.grid)
        self.feed_forward = FeedForward(plan.out_dim, mlp_ratio)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b m c2"]:
        """The tokens of the stage's own grid."""
        x = self.attention_norm(x)
        out: Tensor = self.feed_forward(self.skip(self.widen(x)) + self.attention(x))
        return out


class MViTv2(nn.Module):
    """Patches behind a class token, the blocks, and a linear head on the class token.

    Raises:
        UnsupportedClipError: frames are odd, height or width no multiple of 4, or both sides below 32.
    """

    def __init__(self, config: MViTv2Config, clip: Clip) -> None:
        super().__init__()
        self.config = config
        plans = list(block_plans(config, clip))
        self.patches = OverlappingPatches(config.patches, config.embed_dim, config.in_channels)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.blocks = nn.Sequential(
            *(
                Block(plan, config.mlp_ratio)
                if plan.dim == plan.out_dim
                else OpeningBlock(plan, config.skip_pooling, config.mlp_ratio)
                for plan in plans
            )
        )
        last_dim = plans[-1].out_dim
        self.norm = nn.LayerNorm(last_dim, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(last_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = self.blocks(prepend(self.cls_token, self.patches(video)))
        logits: Tensor = self.head(self.dropout(self.norm(x[:, 0])))
        return logits


def mvitv2_s_16x4(clip: Clip) -> MViTv2:
    """MViTv2-S for `clip`, 16 frames in the paper: 34.5 M parameters, 400 classes."""
    return MViTv2(MVITV2_S, clip)


def mvitv2_b_32x3(clip: Clip) -> MViTv2:
    """MViTv2-B for `clip`, 32 frames in the paper: 51.2 M parameters, 400 classes."""
    return MViTv2(MVITV2_B, clip)


def mvitv2_l_40x3(clip: Clip) -> MViTv2:
    """MViTv2-L for `clip`, 40 frames of 312 x 312 in the paper: 213.4 M parameters, 400 classes."""
    return MViTv2(MVITV2_L, clip)
