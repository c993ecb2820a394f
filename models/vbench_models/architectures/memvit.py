"""MeMViT: a multiscale ViT whose every other block attends to compressed tokens of clips seen before.

Wu et al., "MeMViT: Memory-Augmented Multiscale Vision Transformer for Efficient Long-Term Video Recognition", CVPR
2022, sec. 3, https://arxiv.org/abs/2201.08383, with the classifier of its pre-training in place of the AVA head. As in
the official code: tokens are pooled before they are projected; what a clip leaves in a block are its pooled tokens,
detached, and the next clip compresses them; every second (16x4) or third (32x3) of the past clips is attended to, none
nearer than that; blocks that do not read keep and compress their past all the same. Differs from it: the past is passed
in and returned, and a new video starts with `empty_memory()`; tables of positions fit the grids of the clip at hand; no
stochastic depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import attend
from vbench_models.layers.decomposed_positions import DecomposedPositions
from vbench_models.layers.mlp import MLP
from vbench_models.layers.pooled_attention import HeadPooling, OverlappingPatches, Pooling, SkipPooling
from vbench_models.layers.pooling import Thw, pooled_grid
from vbench_models.layers.positions import learned, prepend
from vbench_models.layers.stream import state_bytes
from vbench_models.video import Clip, TokenGrid, token_grid

PATCHES = Pooling((3, 7, 7), (2, 4, 4))
COMPRESSION = Pooling((7, 3, 3), (4, 2, 2))


@dataclass(frozen=True, kw_only=True)
class MeMViTConfig:
    """At each block of `widened`, channels and heads double while height and width halve. The defaults: MeMViT-16."""

    patches: Pooling = PATCHES
    embed_dim: int = 96
    depth: int = 16
    widened: tuple[int, ...] = (1, 3, 14)
    pool_kernel: Thw = (3, 3, 3)
    kv_stride: int = 8  # in height and width, of the first block; each halving of the queries halves it
    mlp_ratio: float = 4.0
    compression: Pooling = COMPRESSION
    memory_clips: int = 2  # past clips that are attended to
    memory_gap: int = 2  # clips from one of them to the next, and from the nearest to the present
    num_classes: int = 400
    dropout: float = 0.5

    @property
    def kept_clips(self) -> int:
        """Past clips that must be kept for this."""
        return self.memory_clips * self.memory_gap


MEMVIT_16 = MeMViTConfig()
MEMVIT_24 = replace(MEMVIT_16, depth=24, widened=(2, 5, 21), memory_gap=3)


class Past(NamedTuple):
    """What one clip left in one block: pooled tokens behind a class token, not projected yet; detached."""

    keys: Float[Tensor, "b n c"]
    values: Float[Tensor, "b n c"]


Pasts: TypeAlias = tuple[Past, ...]  # oldest first; all but the last are compressed
Memory: TypeAlias = tuple[Pasts, ...]  # one for each block


class Output(NamedTuple):
    """What a clip gives, and the memory for the next one."""

    logits: Float[Tensor, "b classes"]
    memory: Memory


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """Widths, poolings and grids of one block; what leaves it lies on the grid of its queries."""

    dim: int
    out_dim: int
    num_heads: int
    pool_q: Pooling
    pool_kv: Pooling
    grid: TokenGrid
    q_grid: TokenGrid
    kv_grid: TokenGrid
    memory_grid: TokenGrid  # of one past clip
    reads_memory: bool


def block_plans(config: MeMViTConfig, clip: Clip) -> Iterator[BlockPlan]:
    """The blocks in their order; those of even number read memory."""
    grid, dim = token_grid(clip, config.patches.stride), config.embed_dim
    for index in range(config.depth):
        heads = 2 ** sum(block <= index for block in config.widened)
        step, kv_step = 1 + (index in config.widened), max(1, config.kv_stride // heads)
        pool_q, pool_kv = (Pooling(config.pool_kernel, (1, side, side)) for side in (step, kv_step))
        plan = BlockPlan(
            dim=dim,
            out_dim=config.embed_dim * heads,
            num_heads=heads,
            pool_q=pool_q,
            pool_kv=pool_kv,
            grid=grid,
            q_grid=pooled_grid(grid, pool_q.stride),
            kv_grid=pooled_grid(grid, pool_kv.stride),
            memory_grid=pooled_grid(pooled_grid(grid, pool_kv.stride), config.compression.stride),
            reads_memory=index % 2 == 0,
        )
        yield plan
        dim, grid = plan.out_dim, plan.q_grid


class MemoryAttention(nn.Module):
    """Pooled tokens of a clip attend to themselves and to what earlier clips left."""

    def __init__(self, plan: BlockPlan, config: MeMViTConfig) -> None:
        super().__init__()
        self.plan, self.config = plan, config
        head_channels, head_dim = plan.dim // plan.num_heads, plan.out_dim // plan.num_heads
        self.pool_q = HeadPooling(plan.pool_q, head_channels, plan.grid)
        self.pool_k = HeadPooling(plan.pool_kv, head_channels, plan.grid)
        self.pool_v = HeadPooling(plan.pool_kv, head_channels, plan.grid)
        self.compress_k = HeadPooling(config.compression, plan.dim, plan.kv_grid)
        self.compress_v = HeadPooling(config.compression, plan.dim, plan.kv_grid)
        self.q, self.k, self.v = (nn.Linear(plan.dim, plan.out_dim) for _ in "qkv")
        self.positions = DecomposedPositions(plan.q_grid, plan.kv_grid, head_dim)
        self.memory_positions = DecomposedPositions(
            plan.q_grid, plan.memory_grid, head_dim, clips=config.memory_clips, time_stride=config.compression.stride[0]
        )
        self.proj = nn.Linear(plan.out_dim, plan.out_dim)

    def forward(self, x: Float[Tensor, "b n c"], pasts: Pasts) -> tuple[Float[Tensor, "b m c2"], Pasts]:
        """The update of the tokens on the queries' grid, and what the next clip finds."""
        q, k, v = (whole(pool(x)) for pool in (self.pool_q, self.pool_k, self.pool_v))
        pasts, present = self.compress_last(pasts), Past(k, v)
        update = self.attend(q, (*self.read(pasts), present))
        kept = (*pasts, present)[-self.config.kept_clips :]
        return update, tuple(Past(past.keys.detach(), past.values.detach()) for past in kept)

    def compress_last(self, pasts: Pasts) -> Pasts:
        """The clip before this one becomes as its elders are."""
        if not pasts:
            return pasts
        *elders, last = pasts
        return (*elders, Past(whole(self.compress_k(last.keys)), whole(self.compress_v(last.values))))

    def read(self, pasts: Pasts) -> Pasts:
        """As many as there are at the right distances from the present."""
        gap = self.config.memory_gap
        return pasts[len(pasts) % gap :: gap] if self.plan.reads_memory else ()

    def attend(self, q: Float[Tensor, "b n c"], clips: Pasts) -> Float[Tensor, "b n c2"]:
        """Attention to the clips, of which the last is the present; all but the class token add their queries."""
        keys, values = (torch.cat(tokens, dim=1) for tokens in zip(*clips, strict=True))
        projected = (self.q(q), self.k(keys), self.v(values))
        q, k, v = (rearrange(x, "b n (heads d) -> b heads n d", heads=self.plan.num_heads) for x in projected)
        bias = self.positions(q)
        if len(clips) > 1:
            bias = torch.cat((self.memory_positions(q, len(clips) - 1), bias), dim=-1)
        out = attend(q, k, v, bias)
        out = torch.cat((out[:, :, :1], out[:, :, 1:] + q[:, :, 1:]), dim=2)
        update: Tensor = self.proj(whole(out))
        return update


class Block(nn.Module):
    """Attention, then an MLP; the shortcut is widened and pooled where the attention is."""

    def __init__(self, plan: BlockPlan, config: MeMViTConfig) -> None:
        super().__init__()
        widens = plan.dim != plan.out_dim
        self.attention_norm = nn.LayerNorm(plan.dim, eps=1e-6)
        self.attention = MemoryAttention(plan, config)
        self.widen = nn.Linear(plan.dim, plan.out_dim) if widens else None
        self.skip = SkipPooling(Pooling((1, 3, 3), plan.pool_q.stride), plan.grid) if widens else nn.Identity()
        self.mlp_norm = nn.LayerNorm(plan.out_dim, eps=1e-6)
        self.mlp = MLP(plan.out_dim, config.mlp_ratio)

    def forward(self, x: Float[Tensor, "b n c"], pasts: Pasts) -> tuple[Float[Tensor, "b m c2"], Pasts]:
        """The residual stream on the grid of the queries, and what the next clip finds."""
        normed = self.attention_norm(x)
        update, pasts = self.attention(normed, pasts)
        x = self.skip(x if self.widen is None else self.widen(normed)) + update
        return x + self.mlp(self.mlp_norm(x)), pasts


class MeMViT(nn.Module):
    """Overlapping patches behind a class token, the blocks, and a linear head on the class token.

    Raises:
        UnsupportedClipError: frames are odd, or height or width no multiple of 4.
    """

    def __init__(self, config: MeMViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.plans = tuple(block_plans(config, clip))
        self.patches = OverlappingPatches(config.patches, config.embed_dim)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.blocks = nn.ModuleList(Block(plan, config) for plan in self.plans)
        self.norm = nn.LayerNorm(self.plans[-1].out_dim, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.plans[-1].out_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"], memory: Memory) -> Output:
        """The logits of each clip, and the memory with this clip in it."""
        x = prepend(self.cls_token, self.patches(video))
        kept: list[Pasts] = []
        for block, pasts in zip(self.blocks, memory, strict=True):
            x, new = block(x, pasts)
            kept.append(new)
        return Output(self.head(self.dropout(self.norm(x[:, 0]))), tuple(kept))

    def empty_memory(self) -> Memory:
        """The memory before the first clip of a stream."""
        return ((),) * self.config.depth

    def full_memory(self, video: Float[Tensor, "b channels frames height width"]) -> Memory:
        """Noise in the place of as many past clips like `video` as are kept."""

        def noise(grid: TokenGrid, channels: int) -> Past:
            keys, values = torch.randn(2, len(video), 1 + grid.tokens, channels, device=video.device).to(video.dtype)
            return Past(keys, values)

        elders = range(self.config.kept_clips - 1)
        return tuple(
            (*(noise(plan.memory_grid, plan.dim) for _ in elders), noise(plan.kv_grid, plan.dim)) for plan in self.plans
        )

    def further_inputs(self, video: Float[Tensor, "b channels frames height width"]) -> tuple[Memory]:
        """The steady state of a stream: the memory is full."""
        return (self.full_memory(video),)

    def state_bytes(self, memory: Memory) -> int:
        """What the stream holds between two clips."""
        return state_bytes(memory)


def whole(x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b n c"]:
    """The heads' channels side by side."""
    return rearrange(x, "b heads n d -> b n (heads d)")


def memvit_16(clip: Clip) -> MeMViT:
    """MeMViT-16 for clips of this size: 35.4 M parameters, 400 classes."""
    return MeMViT(MEMVIT_16, clip)


def memvit_24(clip: Clip) -> MeMViT:
    """MeMViT-24 for clips of this size: 52.6 M parameters, 400 classes."""
    return MeMViT(MEMVIT_24, clip)
