"""MTV: several ViTs on tubelets of several lengths, the views, which read from one another, and a ViT over all of them.

Yan et al., "Multiview Transformers for Video Recognition", CVPR 2022, sec. 3, https://arxiv.org/abs/2201.04288; details
from the official code in Scenic. There the class token and time are these: every time step of every view has a class
token of its own; the time steps of a view are gathered into as many groups as the slowest view has steps, and attention
stays within a group; positions are those within a frame, the same for every time step. The global encoder repeats the
slower views' time steps as a whole, 0 1 2 3 0 1 2 3, so that a step of the fastest view stands beside steps of the
others from elsewhere in the clip. GELU by its tanh approximation. Differs from it: no dropout, no stochastic depth;
weights start as torch starts them, but for the cross-view attention, whose output starts at zero as theirs does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import lcm

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.cross_attention import CrossAttention
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.encoder import Encoder
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Widths of one view: a ViT, and the tubelets on which it works."""

    tubelet_size: tuple[int, int, int]
    embed_dim: int
    depth: int = 12
    num_heads: int

    @property
    def attention(self) -> AttentionConfig:
        """The view's own attention, and the one by which it reads from another view."""
        return AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)


@dataclass(frozen=True, kw_only=True)
class MTVConfig:
    """Widths of an MTV. The views stand in the order of their tubelets, the longest first; each reads from the next."""

    views: tuple[ViewConfig, ...]
    fusion_layers: tuple[int, ...]  # before these blocks, counted from 0, the views read from one another
    global_depth: int = 12
    global_heads: int = 8
    global_mlp_dim: int = 3072
    num_classes: int = 400

    @property
    def tubelet_size(self) -> tuple[int, int, int]:
        """The smallest piece of video that the tubelets of every view tile."""
        t, h, w = (lcm(*sizes) for sizes in zip(*(view.tubelet_size for view in self.views), strict=True))
        return t, h, w

    @property
    def global_dim(self) -> int:
        """Channels of the global encoder: those of all views, side by side."""
        return sum(view.embed_dim for view in self.views)


TINY = ViewConfig(tubelet_size=(8, 16, 16), embed_dim=192, num_heads=3)
SMALL = ViewConfig(tubelet_size=(4, 16, 16), embed_dim=384, num_heads=6)
BASE = ViewConfig(tubelet_size=(2, 16, 16), embed_dim=768, num_heads=12)
LARGE = ViewConfig(tubelet_size=(2, 16, 16), embed_dim=1024, depth=24, num_heads=16)
HUGE = ViewConfig(tubelet_size=(2, 14, 14), embed_dim=1280, depth=32, num_heads=16)

MTV_B = MTVConfig(views=(TINY, SMALL, BASE), fusion_layers=(5, 11))
MTV_L = MTVConfig(
    views=(
        replace(TINY, tubelet_size=(16, 16, 16)),
        replace(SMALL, tubelet_size=(8, 16, 16)),
        replace(BASE, tubelet_size=(4, 16, 16)),
        LARGE,
    ),
    fusion_layers=(11, 23),
)
MTV_H = replace(MTV_L, views=(*MTV_L.views[:-1], HUGE))


class ViewTokens(nn.Module):
    """The tubelets of one view behind a class token for each time step, in `groups` runs of time steps."""

    def __init__(self, config: ViewConfig, grid: TokenGrid, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.cls_tokens = learned(1, grid.t, 1, config.embed_dim)
        self.positions = learned(1, 1, 1 + grid.h * grid.w, config.embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "bg n c"]:
        """The tokens of every group, n = t/groups * (1 + h*w)."""
        patches = rearrange(self.embedding(video), "b t h w c -> b t (h w) c")
        cls_tokens = self.cls_tokens.expand(len(video), -1, -1, -1)
        x = torch.cat((cls_tokens, patches), dim=2) + self.positions
        return rearrange(x, "b (groups t) n c -> (b groups) (t n) c", groups=self.groups)


class Fusion(nn.Module):
    """Every view but the last reads from the next, all at once, which starts as no update.

    What a view learns here, its reader sees next time.
    """

    def __init__(self, views: Sequence[ViewConfig]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(view.embed_dim, eps=1e-6) for view in views)
        reads = [CrossAttention(view.attention, following.embed_dim) for view, following in pairwise(views)]
        for read in reads:
            nn.init.zeros_(read.proj.weight)
            nn.init.zeros_(read.proj.bias)
        self.attentions = nn.ModuleList(reads)

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """The residual streams of all views, each `b n c`, after the reading."""
        normed = [norm(x) for norm, x in zip(self.norms, tokens, strict=True)]
        updates = [read(own, other) for read, (own, other) in zip(self.attentions, pairwise(normed), strict=True)]
        return [x + update for x, update in zip(tokens[:-1], updates, strict=True)] + tokens[-1:]


class MultiviewLayer(nn.Module):
    """A fusion, or an identity; then a block for each view, or an identity where the view is not so deep."""

    def __init__(self, fusion: nn.Module, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.fusion = fusion
        self.blocks = blocks

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """The residual streams of all views, each `b n c`, after the layer."""
        return [block(x) for block, x in zip(self.blocks, self.fusion(tokens), strict=True)]


class MTV(nn.Module):
    """Views that read from one another, and a global encoder over their class tokens.

    Raises:
        UnsupportedClipError: the tubelets of some view do not tile the clip.
    """

    def __init__(self, config: MTVConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.groups = token_grid(clip, config.tubelet_size).t
        grids = [token_grid(clip, view.tubelet_size) for view in config.views]
        self.steps = [grid.t for grid in grids]
        self.views = nn.ModuleList(
            ViewTokens(view, grid, self.groups) for view, grid in zip(config.views, grids, strict=True)
        )
        depth = max(view.depth for view in config.views)
        self.encoder = nn.Sequential(*(multiview_layer(config, index) for index in range(depth)))
        self.global_encoder = Encoder(config.global_dim, max(self.steps), global_blocks(config))
        self.head = nn.Linear(config.global_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token of the global encoder."""
        tokens = self.encoder([view(video) for view in self.views])
        logits: Tensor = self.head(self.global_encoder(self.gather(tokens, len(video))))
        return logits

    def gather(self, tokens: list[Tensor], batch: int) -> Float[Tensor, "b t c"]:
        """The class tokens of all views side by side, at each time step of the fastest view."""
        views = []
        for x, steps in zip(tokens, self.steps, strict=True):
            by_step = rearrange(x, "(b groups) (t n) c -> b (groups t) n c", b=batch, t=steps // self.groups)
            views.append(repeat(by_step[:, :, 0], "b t c -> b (copies t) c", copies=max(self.steps) // steps))
        return torch.cat(views, dim=-1)


def block(attention: AttentionConfig, mlp: MLP) -> Block:
    """One block of a ViT, on `b n c`."""
    return Block(attention.embed_dim, MultiHeadAttention(attention), mlp)


def multiview_layer(config: MTVConfig, index: int) -> MultiviewLayer:
    """Layer number `index`, from 0; a view whose blocks are spent goes on reading."""
    fusion = Fusion(config.views) if index in config.fusion_layers else nn.Identity()
    blocks = nn.ModuleList(
        block(view.attention, MLP(view.embed_dim, approximate="tanh")) if index < view.depth else nn.Identity()
        for view in config.views
    )
    return MultiviewLayer(fusion, blocks)


def global_blocks(config: MTVConfig) -> nn.Sequential:
    """The blocks of the global encoder, as wide as all views together, on `b t c`."""
    attention = AttentionConfig(embed_dim=config.global_dim, num_heads=config.global_heads)
    mlp_ratio = config.global_mlp_dim / config.global_dim
    return nn.Sequential(
        *(block(attention, MLP(config.global_dim, mlp_ratio, approximate="tanh")) for _ in range(config.global_depth))
    )


def mtv_b(clip: Clip) -> MTV:
    """MTV-B, B/2+S/4+Ti/8, for clips of this size."""
    return MTV(MTV_B, clip)


def mtv_l(clip: Clip) -> MTV:
    """MTV-L, L/2+B/4+S/8+Ti/16, for clips of this size."""
    return MTV(MTV_L, clip)


def mtv_h(clip: Clip) -> MTV:
    """MTV-H, H/2+B/4+S/8+Ti/16, for clips of this size."""
    return MTV(MTV_H, clip)
