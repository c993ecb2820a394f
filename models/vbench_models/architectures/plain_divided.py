"""The smallest divided space-time transformer: patches, time, space, MLP, mean, head. To be read first.

A teaching model, no published network; the block is that of Bertasius et al., "Is Space-Time Attention All You Need for
Video Understanding?", ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095, without TimeSformer's class token and
without the linear layer after its attention over time.
"""

from dataclasses import dataclass

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.video import Clip, token_grid


@dataclass(frozen=True, kw_only=True)
class PlainDividedConfig:
    """ViT-B's widths."""

    tubelet_size: tuple[int, int, int] = (1, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    num_classes: int = 400


PLAIN_DIVIDED = PlainDividedConfig()


class DividedBlock(nn.Module):
    """Each patch looks along time, then around its frame, then thinks for itself."""

    def __init__(self, config: PlainDividedConfig) -> None:
        super().__init__()
        attention = AttentionConfig(embed_dim=config.embed_dim, num_heads=config.num_heads)
        self.time_norm = nn.LayerNorm(config.embed_dim)
        self.time_attention = AxisAttention(attention, "t")
        self.space_norm = nn.LayerNorm(config.embed_dim)
        self.space_attention = AxisAttention(attention, "h w")
        self.mlp_norm = nn.LayerNorm(config.embed_dim)
        self.mlp = MLP(config.embed_dim)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The residual stream after the block."""
        x = x + self.time_attention(self.time_norm(x))
        x = x + self.space_attention(self.space_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class PlainDivided(nn.Module):
    """Every frame's patches, a position for the patch and one for the frame, blocks, mean, head.

    Raises:
        UnsupportedClipError: the patches do not tile the clip.
    """

    def __init__(self, config: PlainDividedConfig, clip: Clip) -> None:
        super().__init__()
        grid = token_grid(clip, config.tubelet_size)
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.places = learned(grid.h, grid.w, config.embed_dim)
        self.times = learned(grid.t, config.embed_dim)
        self.blocks = nn.Sequential(*(DividedBlock(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the mean of all patches."""
        x = self.norm(self.blocks(self.embed(video)))
        logits: Tensor = self.head(reduce(x, "b t h w c -> b c", "mean"))
        return logits

    def embed(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b t h w c"]:
        """The patches, each of which knows its place and its frame."""
        patches: Tensor = self.embedding(video)
        return patches + self.places + rearrange(self.times, "t c -> t 1 1 c")


def plain_divided(clip: Clip) -> PlainDivided:
    """The teaching model of divided attention for clips of this size."""
    return PlainDivided(PLAIN_DIVIDED, clip)
