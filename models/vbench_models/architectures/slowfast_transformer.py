"""SlowFast transformer: a wide transformer on few frames, which at times takes in what a narrow one on many has seen.

A design of ours; there is no canonical paper. The two rates and the lateral connections are those of Feichtenhofer et
al., "SlowFast Networks for Video Recognition", ICCV 2019, sec. 3, https://arxiv.org/abs/1812.03982: alpha = 8 times the
frames in beta = 1/8 of the channels, and connections from fast to slow alone, before each quarter of the blocks; of the
paper's three kinds the first, time to channel, summed: alpha fast tokens of one place side by side are as wide as one
slow token. Their norm and the linear layer behind them are ours. Instead of convolutions, each pathway has the divided
attention of Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095, and a class token, which no connection joins; the head takes both. The slow pathway
sees frames 0, 8, 16 and so on, the first of those whose fast tokens it is given.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.mlp import MLP
from vbench_models.layers.steps import FRAMES, FrameStep, SteppedBlock, TimeStep
from vbench_models.layers.tokens import SpaceTimeTokens
from vbench_models.video import Clip, TokenGrid, token_grid


@dataclass(frozen=True, kw_only=True)
class SlowFastTransformerConfig:
    """Widths of the two pathways; the clip's frames are those of the fast one."""

    slow: AttentionConfig
    fast: AttentionConfig
    alpha: int = 8  # fast frames for each slow one
    depth: int = 12
    lateral_layers: tuple[int, ...] = (0, 3, 6, 9)  # before these blocks, counted from 0, the slow pathway takes in
    patch_size: int = 16
    mlp_ratio: float = 4.0
    num_classes: int = 400


SLOWFAST_TRANSFORMER = SlowFastTransformerConfig(
    slow=AttentionConfig(embed_dim=768, num_heads=12),
    fast=AttentionConfig(embed_dim=96, num_heads=3),
)


class Pathway(nn.Module):
    """The parts of one pathway: tokens, blocks, norm. The network runs them, since the pathways meet in between."""

    def __init__(self, config: SlowFastTransformerConfig, attention: AttentionConfig, grid: TokenGrid) -> None:
        super().__init__()
        self.tokens = SpaceTimeTokens((1, config.patch_size, config.patch_size), attention.embed_dim, grid)
        self.blocks = nn.ModuleList(divided_block(config, attention, grid) for _ in range(config.depth))
        self.norm = nn.LayerNorm(attention.embed_dim, eps=1e-6)


class Lateral(nn.Module):
    """From fast to slow: the alpha fast tokens of one place, side by side, normalised and projected to one update."""

    def __init__(self, config: SlowFastTransformerConfig, num_slow_frames: int) -> None:
        super().__init__()
        self.grid = {"t": num_slow_frames, "alpha": config.alpha}
        self.norm = nn.LayerNorm(config.alpha * config.fast.embed_dim, eps=1e-6)
        self.fc = nn.Linear(config.alpha * config.fast.embed_dim, config.slow.embed_dim)

    def forward(
        self, slow: Float[Tensor, "b n_slow c_slow"], fast: Float[Tensor, "b n_fast c_fast"]
    ) -> Float[Tensor, "b n_slow c_slow"]:
        """The slow tokens with the fast ones taken in; the class token, in front, stays as it is."""
        cls, patches = slow[:, :1], slow[:, 1:]
        seen = rearrange(fast[:, 1:], "b (t alpha hw) c -> b (t hw) (alpha c)", **self.grid)
        return torch.cat((cls, patches + self.fc(self.norm(seen))), dim=1)


class SlowFastTransformer(nn.Module):
    """Two pathways side by side, connected from fast to slow, and a linear head on both class tokens.

    Raises:
        UnsupportedClipError: the frames are no multiple of alpha, or the patches do not tile them.
    """

    def __init__(self, config: SlowFastTransformerConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        slow_grid = token_grid(clip, (config.alpha, config.patch_size, config.patch_size))
        fast_grid = token_grid(clip, (1, config.patch_size, config.patch_size))
        self.slow = Pathway(config, config.slow, slow_grid)
        self.fast = Pathway(config, config.fast, fast_grid)
        self.laterals = nn.ModuleDict({str(layer): Lateral(config, slow_grid.t) for layer in config.lateral_layers})
        self.head = nn.Linear(config.slow.embed_dim + config.fast.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class tokens of both pathways."""
        slow = self.slow.tokens(video[:, :, :: self.config.alpha])
        fast = self.fast.tokens(video)
        for layer, (slow_block, fast_block) in enumerate(zip(self.slow.blocks, self.fast.blocks, strict=True)):
            if str(layer) in self.laterals:
                slow = self.laterals[str(layer)](slow, fast)
            slow, fast = slow_block(slow), fast_block(fast)
        features = torch.cat((self.slow.norm(slow[:, 0]), self.fast.norm(fast[:, 0])), dim=-1)
        logits: Tensor = self.head(features)
        return logits


def divided_block(config: SlowFastTransformerConfig, attention: AttentionConfig, grid: TokenGrid) -> SteppedBlock:
    """Attention over time, attention within each frame, MLP."""
    space = FrameStep(attention, grid, FRAMES, nn.Identity())
    steps = {"time": TimeStep(attention, grid), "space": space}
    return SteppedBlock(attention.embed_dim, steps, MLP(attention.embed_dim, config.mlp_ratio))


def slowfast_transformer(clip: Clip) -> SlowFastTransformer:
    """ViT-B's widths on every eighth frame, an eighth of them on every frame, for clips of this size."""
    return SlowFastTransformer(SLOWFAST_TRANSFORMER, clip)
