"""Memory cross-attention: the clip's queries attend to its own keys and to a bounded cache of past clips.

Wu et al., "MeMViT: Memory-Augmented Multiscale Vision Transformer for Efficient Long-Term Video Recognition", CVPR
2022, sec. 3, https://arxiv.org/abs/2201.08383. What a clip leaves behind are its keys and values, detached; one step
later a strided convolution compresses them, with a gradient for the convolution alone, and from then on they are kept
as they are (sec. 3.3, "pipelined"). Differs from the paper: it caches what its two linear layers then turn into keys
and values, we cache keys and values themselves; no class token, no pooling of the current clip, no relative positions;
and a stream starts with a full cache, in which its first clip stands for the past, so that the first step costs what
every step costs and is counted as the steady state.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, projection_macs, split_heads
from vbench_models.layers.pooling import Thw, TokenPooling, pooled_grid, pooling_macs
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(AttentionConfig):
    """Widths, how many past clips are kept, and how they are compressed; an axis shorter than its stride leaves one.

    Raises:
        ModelError: fewer than one past clip, or `num_heads` does not divide `embed_dim`.
    """

    memory_clips: int = 2
    kernel_size: Thw = (7, 3, 3)
    stride: Thw = (4, 2, 2)

    def __post_init__(self) -> None:
        AttentionConfig.__post_init__(self)
        if self.memory_clips < 1:
            raise ModelError(f"memory_clips must be at least 1; got memory_clips={self.memory_clips}")


class Memory(NamedTuple):
    """What a stream remembers between two clips; all of it detached, all of it of fixed size."""

    last_keys: Float[Tensor, "b heads t h w d"]  # of the clip just seen, not compressed yet
    last_values: Float[Tensor, "b heads t h w d"]
    keys: Float[Tensor, "b heads m d"]  # of the `memory_clips` - 1 clips before it, oldest first
    values: Float[Tensor, "b heads m d"]


class MemoryCrossAttention(nn.Module):
    """Attention over the clip and its past; `step` carries the state, `forward` is the first step of a stream."""

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.compress_keys = TokenPooling(config.embed_dim, config.kernel_size, config.stride)
        self.compress_values = TokenPooling(config.embed_dim, config.kernel_size, config.stride)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def step(
        self, x: Float[Tensor, "b t h w c"], memory: Memory | None = None
    ) -> tuple[Float[Tensor, "b t h w c"], Memory]:
        """The update of every token and the state for the next clip; without a memory, a stream begins."""
        out, memory = self.attend(*split_heads(self.qkv(x), self.config.num_heads), memory)
        return self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)")), memory

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of the first clip of a stream; the residual is the caller's."""
        update, _ = self.step(x)
        return update

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, at the start of a stream; compressing the memory is part of it, as mixing extra."""
        out, _ = self.attend(q, k, v)
        return out

    def attend(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
        memory: Memory | None = None,
    ) -> tuple[Float[Tensor, "b heads t h w d"], Memory]:
        """Compress the last clip, attend to the past and the present, and move on by one clip."""
        last_keys, last_values = (k.detach(), v.detach()) if memory is None else memory[:2]
        new_keys = _compressed(self.compress_keys, last_keys)
        new_values = _compressed(self.compress_values, last_values)
        old_keys, old_values = self._repeated(new_keys, new_values) if memory is None else memory[2:]
        past_keys, past_values = torch.cat((old_keys, new_keys), 2), torch.cat((old_values, new_values), 2)
        out = F.scaled_dot_product_attention(
            q.flatten(2, 4),
            torch.cat((past_keys, k.flatten(2, 4)), 2),
            torch.cat((past_values, v.flatten(2, 4)), 2),
        ).reshape(q.shape)
        one_clip = new_keys.shape[2]
        kept = (x[:, :, one_clip:].detach() for x in (past_keys, past_values))
        return out, Memory(k.detach(), v.detach(), *kept)

    def _repeated(
        self, keys: Float[Tensor, "b heads m d"], values: Float[Tensor, "b heads m d"]
    ) -> tuple[Float[Tensor, "b heads n d"], Float[Tensor, "b heads n d"]]:
        """The first clip in every place of the cache but the last."""
        older = self.config.memory_clips - 1
        old_keys, old_values = (repeat(x.detach(), "b heads m d -> b heads (o m) d", o=older) for x in (keys, values))
        return old_keys, old_values


def _compressed(compress: TokenPooling, x: Float[Tensor, "b heads t h w d"]) -> Float[Tensor, "b heads m d"]:
    heads = x.shape[1]
    pooled: Tensor = compress(rearrange(x, "b heads t h w d -> b t h w (heads d)"))
    return rearrange(pooled, "b t h w (heads d) -> b heads (t h w) d", heads=heads)


def build(grid: TokenGrid, dim: int, num_heads: int) -> MemoryCrossAttention:  # noqa: ARG001 - every grid will do
    """Memory cross-attention with two past clips, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return MemoryCrossAttention(MemoryConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: MemoryConfig) -> int:
    """MACs of q k^T and a v on one clip with a full cache; 1 multiply-add = 1 MAC, softmax excluded.

    n queries against the n keys of the clip and about n / 16 of each past clip: quadratic in the clip, and the same for
    every clip of a stream, however long it has become.
    """
    keys = grid.tokens + config.memory_clips * pooled_grid(grid, config.stride).tokens
    return 2 * grid.tokens * keys * config.embed_dim


def mixing_extra_macs(grid: TokenGrid, config: MemoryConfig) -> int:
    """MACs of compressing one past clip, keys and values; the others are compressed already."""
    return 2 * pooling_macs(grid, config.kernel_size, config.stride, config.embed_dim)


def macs(grid: TokenGrid, config: MemoryConfig) -> int:
    """MACs of the whole module on one clip, norms excluded: core, compression and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
