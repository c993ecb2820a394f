"""The smallest factorised video transformer: a ViT in every frame, then one over the frames. To be read second.

A teaching model, no published network; the idea is model 2 of Arnab et al., "ViViT: A Video Vision Transformer", ICCV
2021, sec. 3.3, https://arxiv.org/abs/2103.15691: space first, time last, so that time costs next to nothing. A class
token sums up each frame; the mean of the frames sums up the clip, where ViViT has a second class token.
"""

from dataclasses import dataclass

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.layers.tokens import FrameTokens
from vbench_models.video import Clip, token_grid


@dataclass(frozen=True, kw_only=True)
class PlainFactorizedConfig:
    """ViT-B's widths; `depth` counts the blocks within frames, `temporal_depth` those between them."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    temporal_depth: int = 4
    num_heads: int = 12
    num_classes: int = 400

    def blocks(self, depth: int) -> nn.Sequential:
        """New blocks of a ViT, on `b n c`."""
        attention = AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)
        return nn.Sequential(
            *(Block(self.embed_dim, MultiHeadAttention(attention), MLP(self.embed_dim)) for _ in range(depth))
        )


PLAIN_FACTORIZED = PlainFactorizedConfig()


class PlainFactorized(nn.Module):
    """Every frame's patches and class token, blocks within frames, a position for the frame, blocks over frames, head.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: PlainFactorizedConfig, clip: Clip) -> None:
        super().__init__()
        grid = token_grid(clip, config.tubelet_size)
        self.tokens = FrameTokens(config.tubelet_size, config.embed_dim, grid)
        self.space_blocks = config.blocks(config.depth)
        self.space_norm = nn.LayerNorm(config.embed_dim)
        self.times = learned(grid.t, config.embed_dim)
        self.time_blocks = config.blocks(config.temporal_depth)
        self.time_norm = nn.LayerNorm(config.embed_dim)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of all frames."""
        frames = self.space_norm(self.space_blocks(self.tokens(video))[:, 0])
        x = rearrange(frames, "(b t) c -> b t c", b=len(video)) + self.times
        x = reduce(self.time_norm(self.time_blocks(x)), "b t c -> b c", "mean")
        logits: Tensor = self.head(x)
        return logits


def plain_factorized(clip: Clip) -> PlainFactorized:
    """The teaching model of the factorised encoder for clips of this size."""
    return PlainFactorized(PLAIN_FACTORIZED, clip)
