"""TimeSformer: a ViT on the patches of every frame, under six schemes of attention.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095. The high-resolution and the long form are the divided network for other clips.

Space, joint and divided attention are those of the official code (`layers.steps` says where it leaves the paper).
Sparse local-global and axial attention have none: their layers follow from the parameters in the paper's table 1, and
their class token from the divided block. A step across frames leaves it out, but for the last and global one, where it
is one more query and key; each row and column has a copy of it, and what the copies gather is averaged.

Differs from paper and code: no dropout, no stochastic depth, weights start as torch starts them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.sparse_local_global import QuadrantAttention
from vbench_models.layers import inflation
from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention, attend
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.steps import COLUMNS, FRAMES, ROWS, FrameStep, SteppedBlock, TimeStep
from vbench_models.layers.tokens import FrameTokens, SpaceTimeTokens
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class TimeSformerConfig:
    """Widths of a TimeSformer; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
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
        return MLP(self.embed_dim, self.mlp_ratio)


TIMESFORMER_B = TimeSformerConfig()

BlockBuilder: TypeAlias = Callable[[TimeSformerConfig, TokenGrid], nn.Module]


class QuadrantStep(nn.Module):
    """Each patch attends to its quarter of all frames, then a linear layer; the class token takes no part."""

    def __init__(self, config: AttentionConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.sizes = {"t": grid.t, "h": grid.h, "w": grid.w}
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.attention = QuadrantAttention(config)
        self.fc = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the step; n = 1 + t*h*w."""
        cls, patches = x[:, :1], x[:, 1:]
        update = self.attention(rearrange(self.norm(patches), "b (t h w) c -> b t h w c", **self.sizes))
        return torch.cat((cls, patches + self.fc(rearrange(update, "b t h w c -> b (t h w) c"))), dim=1)


class CoarseStep(nn.Module):
    """Every token attends to the class token and the patches at even t, h and w; no other becomes a key or value."""

    def __init__(self, config: AttentionConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.sizes = {"t": grid.t, "h": grid.h, "w": grid.w}
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.query = nn.Linear(config.embed_dim, config.embed_dim)
        self.key_value = nn.Linear(config.embed_dim, 2 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The residual stream after the step; n = 1 + t*h*w."""
        tokens = self.norm(x)
        patches = rearrange(tokens[:, 1:], "b (t h w) c -> b t h w c", **self.sizes)
        coarse = rearrange(patches[:, ::2, ::2, ::2], "b t h w c -> b (t h w) c")
        seen = torch.cat((tokens[:, :1], coarse), dim=1)
        q = rearrange(self.query(tokens), "b n (heads d) -> b heads n d", heads=self.num_heads)
        k, v = rearrange(self.key_value(seen), "b m (two heads d) -> two b heads m d", two=2, heads=self.num_heads)
        update: Tensor = self.proj(rearrange(attend(q, k, v), "b heads n d -> b n (heads d)"))
        return x + update


def divided_block(config: TimeSformerConfig, grid: TokenGrid) -> SteppedBlock:
    """Over time, then within each frame: the paper's choice."""
    space = FrameStep(config.attention, grid, FRAMES, nn.Identity())
    return SteppedBlock(config.embed_dim, {"time": TimeStep(config.attention, grid), "space": space}, config.mlp())


def space_first_block(config: TimeSformerConfig, grid: TokenGrid) -> SteppedBlock:
    """The divided block's two steps in the other order (sec. 4.7), its linear layer still behind time."""
    space = FrameStep(config.attention, grid, FRAMES, nn.Identity())
    return SteppedBlock(config.embed_dim, {"space": space, "time": TimeStep(config.attention, grid)}, config.mlp())


def local_global_block(config: TimeSformerConfig, grid: TokenGrid) -> SteppedBlock:
    """F x H/2 x W/2 neighbours, then every second patch along time, height and width."""
    near, far = QuadrantStep(config.attention, grid), CoarseStep(config.attention, grid)
    return SteppedBlock(config.embed_dim, {"local": near, "global": far}, config.mlp())


def axial_block(config: TimeSformerConfig, grid: TokenGrid) -> SteppedBlock:
    """Over time, then along each row, then along each column."""
    time = TimeStep(config.attention, grid)
    width = FrameStep(config.attention, grid, ROWS, nn.Linear(config.embed_dim, config.embed_dim))
    height = FrameStep(config.attention, grid, COLUMNS, nn.Identity())
    return SteppedBlock(config.embed_dim, {"time": time, "width": width, "height": height}, config.mlp())


def joint_block(config: TimeSformerConfig, _grid: TokenGrid) -> Block:
    """All tokens with one another: a ViT's block."""
    return Block(config.embed_dim, MultiHeadAttention(config.attention), config.mlp())


class TimeSformer(nn.Module):
    """The patches of all frames behind one class token, through blocks of one scheme.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: TimeSformerConfig, clip: Clip, block: BlockBuilder) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.tokens = SpaceTimeTokens(config.tubelet_size, config.embed_dim, grid)
        self.blocks = nn.Sequential(*(block(config, grid) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.blocks(self.tokens(video))
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits


class SpaceOnlyTimeSformer(nn.Module):
    """Space-only attention: a ViT on every frame, averaged over the frames before the last norm.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: TimeSformerConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.tokens = FrameTokens(config.tubelet_size, config.embed_dim, grid)
        self.blocks = nn.Sequential(*(joint_block(config, grid) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of the frames' class tokens."""
        x = self.blocks(self.tokens(video))
        x = reduce(x[:, 0], "(b t) c -> b c", "mean", b=len(video))
        logits: Tensor = self.head(self.norm(x))
        return logits


@torch.no_grad()
def initialise_from_image(model: TimeSformer, image: inflation.ImageWeights) -> None:
    """Divided attention, in either order, out of a ViT: on a static clip the features are then the image's.

    As the official code starts: the places in time are zero, attention over time is a copy of that over space, and
    the linear layer behind it is zero. The head belongs to other classes and stays.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    inflation.copy_tokens(image, model.tokens)
    nn.init.zeros_(model.tokens.times)
    for index, block in enumerate(model.blocks):
        for name in ("time", "space"):
            step = block.get_submodule(f"steps.{name}")
            inflation.copy_attention(image, index, step.get_submodule("norm"), step.get_submodule("attention"))
        inflation.silence(block.get_submodule("steps.time.fc"))
        inflation.copy_mlp(image, index, block)
    inflation.copy_layer(image, "norm", model.norm)


def timesformer_b(clip: Clip) -> TimeSformer:
    """TimeSformer-B, divided attention, time then space, for clips of this size; also -HR and -L."""
    return TimeSformer(TIMESFORMER_B, clip, divided_block)


def timesformer_b_space_first(clip: Clip) -> TimeSformer:
    """TimeSformer-B, divided attention, space then time, for clips of this size."""
    return TimeSformer(TIMESFORMER_B, clip, space_first_block)


def timesformer_b_space(clip: Clip) -> SpaceOnlyTimeSformer:
    """TimeSformer-B, space-only attention, for clips of this size."""
    return SpaceOnlyTimeSformer(TIMESFORMER_B, clip)


def timesformer_b_joint(clip: Clip) -> TimeSformer:
    """TimeSformer-B, joint space-time attention, for clips of this size."""
    return TimeSformer(TIMESFORMER_B, clip, joint_block)


def timesformer_b_local_global(clip: Clip) -> TimeSformer:
    """TimeSformer-B, sparse local-global attention, for clips of this size."""
    return TimeSformer(TIMESFORMER_B, clip, local_global_block)


def timesformer_b_axial(clip: Clip) -> TimeSformer:
    """TimeSformer-B, axial attention, for clips of this size."""
    return TimeSformer(TIMESFORMER_B, clip, axial_block)
