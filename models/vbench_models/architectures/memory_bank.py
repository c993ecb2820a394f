"""A ViT whose current clip queries a bank of compressed past features: the bank is written, evicted and compressed.

A design of ours. A clip that queries features of its past: Wu et al., "Long-Term Feature Banks for Detailed Video
Understanding", CVPR 2019, https://arxiv.org/abs/1812.05038. A memory kept to a size by merging the neighbours in time
that are most alike: Song et al., "MovieChat", CVPR 2024, https://arxiv.org/abs/2307.16449, and He et al., "MA-LMM",
CVPR 2024, https://arxiv.org/abs/2404.05726; they keep something of every step for ever, here a full bank drops its
oldest slot with every clip, so that nothing of a clip is left after as many clips as there are slots. A merged slot
weighs in the attention as much as the steps that it stands for: Bolya et al., "Token Merging", ICLR 2023, sec. 3,
https://arxiv.org/abs/2210.09461. Data decide what is merged, the configuration how much: every clip costs the same once
the bank is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.layers.block import Block
from vbench_models.layers.cross_attention import CrossAttention
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.pooling import Thw, TokenPooling, pooled_grid
from vbench_models.layers.positions import learned
from vbench_models.layers.stream import state_bytes
from vbench_models.video import Clip, ModelError, token_grid


@dataclass(frozen=True, kw_only=True)
class MemoryBankConfig:
    """Widths of a ViT-B, and a bank; `depth` blocks look within a time step, then `reader_depth` read the bank too.

    Raises:
        ModelError: nothing is evicted, or more than there is.
    """

    tubelet_size: Thw = (2, 16, 16)
    embed_dim: int = 768
    depth: int = 8
    reader_depth: int = 4
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400
    pool_kernel: Thw = (1, 3, 3)
    pool_stride: Thw = (1, 2, 2)  # of the tokens that are kept of a time step
    capacity: int = 32  # slots
    evicted: int = 1  # slots that leave a full bank with every clip

    def __post_init__(self) -> None:
        if not 1 <= self.evicted <= self.capacity:
            raise ModelError(
                f"evicted must be from 1 to the capacity, {self.capacity}; got evicted={self.evicted}: "
                "a bank that only merges never forgets"
            )

    @property
    def attention(self) -> AttentionConfig:
        """Every attention of the network."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)


MEMORY_BANK = MemoryBankConfig()


class Slot(NamedTuple):
    """The pooled tokens of one time step, or the mean of those of several neighbouring ones; detached."""

    features: Float[Tensor, "b n c"]
    steps: Int[Tensor, " b"]  # how many time steps it stands for


Bank: TypeAlias = tuple[Slot, ...]  # oldest first


class Output(NamedTuple):
    """What a clip gives, and the bank for the next one."""

    logits: Float[Tensor, "b classes"]
    memory: Bank


class Reader(nn.Module):
    """A ViT block with one more attention, to the bank, between its two halves."""

    def __init__(self, config: MemoryBankConfig) -> None:
        super().__init__()
        self.space_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.space_attention = AxisAttention(config.attention, "h w")
        self.bank_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.bank_attention = CrossAttention(config.attention, config.embed_dim)
        self.mlp_norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.mlp = MLP(config.embed_dim, config.mlp_ratio)

    def forward(
        self, x: Float[Tensor, "b t h w c"], entries: Float[Tensor, "b m c"], weights: Float[Tensor, "b 1 1 m"]
    ) -> Float[Tensor, "b t h w c"]:
        """The residual stream after the block."""
        x = x + self.space_attention(self.space_norm(x))
        queries = rearrange(self.bank_norm(x), "b t h w c -> b (t h w) c")
        x = x + self.bank_attention(queries, entries, weights).reshape(x.shape)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class MemoryBankViT(nn.Module):
    """Blocks within each time step; then blocks that read past and present slots, where alone time is crossed.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: MemoryBankConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.slot_tokens = pooled_grid(grid, config.pool_stride).tokens // grid.t
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.positions = learned(1, 1, grid.h, grid.w, config.embed_dim)
        self.blocks = nn.Sequential(
            *(
                Block(config.embed_dim, AxisAttention(config.attention, "h w"), MLP(config.embed_dim, config.mlp_ratio))
                for _ in range(config.depth)
            )
        )
        self.pool = TokenPooling(config.embed_dim, config.pool_kernel, config.pool_stride)
        self.times = learned(1, grid.t, 1, 1, config.embed_dim)
        self.recency = learned(config.capacity + grid.t, 1, config.embed_dim)  # the last row is the newest slot's
        self.readers = nn.ModuleList(Reader(config) for _ in range(config.reader_depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"], memory: Bank) -> Output:
        """Logits, read off the mean of all tokens, and the bank with this clip in it."""
        x = self.blocks(self.embedding(video) + self.positions)
        present = slots_of(self.pool(x))
        entries, weights = self.read((*memory, *present))
        x = x + self.times
        for reader in self.readers:
            x = reader(x, entries, weights)
        logits = self.head(reduce(self.norm(x), "b t h w c -> b c", "mean"))
        return Output(logits, self.remember(memory, present))

    def read(self, slots: Bank) -> tuple[Float[Tensor, "b m c"], Float[Tensor, "b 1 1 m"]]:
        """The tokens of all slots, marked with their slots' places in time, and what is added to their scores.

        A slot that stands for s steps has log s, and so the weight of s slots like it.
        """
        features, steps = stacked(slots)
        marked = features + self.recency[-len(slots) :]
        weights = repeat(steps.to(features.dtype).log(), "b s -> b 1 1 (s n)", n=self.slot_tokens)
        return rearrange(marked, "b s n c -> b (s n) c"), weights

    def remember(self, memory: Bank, present: Bank) -> Bank:
        """Evict from a full bank, write the present, compress what is too much."""
        kept = memory[self.config.evicted :] if len(memory) == self.config.capacity else memory
        written = (Slot(slot.features.detach(), slot.steps) for slot in present)
        return compressed((*kept, *written), self.config.capacity)

    def empty_memory(self) -> Bank:
        """The bank before the first clip of a stream."""
        return ()

    def full_memory(self, video: Float[Tensor, "b channels frames height width"]) -> Bank:
        """A bank of noise, as large as after many clips like `video`."""
        shape = (self.config.capacity, len(video), self.slot_tokens, self.config.embed_dim)
        features = torch.randn(shape, device=video.device).to(video.dtype)
        steps = torch.full((self.config.capacity, len(video)), 2, device=video.device)
        return tuple(map(Slot, features.unbind(), steps.unbind()))

    def further_inputs(self, video: Float[Tensor, "b channels frames height width"]) -> tuple[Bank]:
        """The steady state of a stream: the bank is full."""
        return (self.full_memory(video),)

    def state_bytes(self, memory: Bank) -> int:
        """What the stream holds between two clips."""
        return state_bytes(memory)


def slots_of(pooled: Float[Tensor, "b t h w c"]) -> Bank:
    """A slot for each time step."""
    steps = torch.ones(len(pooled), dtype=torch.long, device=pooled.device)
    return tuple(Slot(rearrange(step, "b h w c -> b (h w) c"), steps) for step in pooled.unbind(1))


def stacked(slots: Bank) -> tuple[Float[Tensor, "b s n c"], Int[Tensor, "b s"]]:
    """The features and step counts of all slots, each in one tensor."""
    return torch.stack([slot.features for slot in slots], 1), torch.stack([slot.steps for slot in slots], 1)


def compressed(slots: Bank, capacity: int) -> Bank:
    """At most `capacity` slots: the two neighbours that are most alike become one, over and over.

    Each stream of the batch merges where its own data say. Sums are merged, and become means at the end.
    """
    if len(slots) <= capacity:
        return slots
    features, steps = stacked(slots)
    sums = features * steps[..., None, None]
    for _ in range(len(slots) - capacity):
        first = likeness(sums).argmax(1, keepdim=True)
        sums, steps = merged(sums, first), merged(steps, first)
    features = sums / steps[..., None, None]
    return tuple(map(Slot, features.unbind(1), steps.unbind(1)))


def likeness(features: Float[Tensor, "b s n c"]) -> Float[Tensor, "b s-1"]:
    """The cosine between each slot and the next, the mean over positions; of sums as of means."""
    unit = F.normalize(features, dim=-1)
    return einsum(unit[:, :-1], unit[:, 1:], "b s n c, b s n c -> b s") / features.shape[2]


def merged(x: Shaped[Tensor, "b s *each"], first: Int[Tensor, "b 1"]) -> Shaped[Tensor, "b s-1 *each"]:
    """The slots' numbers, where those of slot `first` and of the one after it have become their sum."""
    places = torch.arange(x.shape[1] - 1, device=x.device)
    stream = torch.arange(len(x), device=x.device)[:, None]
    is_second = places > first
    out = x[stream, places + is_second]
    return out.index_put((stream, first), x[stream, first + 1], accumulate=True)


def memory_bank(clip: Clip) -> MemoryBankViT:
    """The memory-bank ViT for clips of this size.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """
    return MemoryBankViT(MEMORY_BANK, clip)
