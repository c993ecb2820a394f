"""Dynamic token selection: a learned scorer keeps the most informative tokens, and only they attend.

Wang et al., "Efficient Video Transformers with Spatial-Temporal Token Selection", ECCV 2022, sec. 3,
https://arxiv.org/abs/2111.11591; Rao et al., "DynamicViT", NeurIPS 2021, https://arxiv.org/abs/2106.02034. The other
tokens pass through unchanged (an update of zero): they are neither projected nor attended to. Differs from the papers:
one selection over time and space at once; a hard choice in training too, where the update of a kept token is multiplied
by the sigmoid of its score, and that is the scorer's gradient; each module selects anew from the whole grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class TokenSelectionConfig(AttentionConfig):
    """Widths, the kept fraction of the tokens (at least one is kept) and the scorer's hidden channels.

    Raises:
        ModelError: `keep` is not in (0, 1], or `num_heads` does not divide `embed_dim`.
    """

    keep: float = 0.5
    score_dim: int = 64

    def __post_init__(self) -> None:
        AttentionConfig.__post_init__(self)
        if not 0 < self.keep <= 1:
            raise ModelError(f"keep must be a fraction above 0 and at most 1; got keep={self.keep}")


class TokenScore(nn.Module):
    """How informative each token is: two layers, from its own channels alone."""

    is_mixing_extra = True

    def __init__(self, channels: int, score_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.randn(channels, score_dim) * channels**-0.5)
        self.out = nn.Parameter(torch.randn(score_dim, 1) * score_dim**-0.5)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n"]:
        """The higher, the sooner kept."""
        return (F.gelu(x @ self.hidden) @ self.out).squeeze(-1)


class TokenSelectionAttention(nn.Module):
    """Joint attention among the kept tokens."""

    def __init__(self, config: TokenSelectionConfig) -> None:
        super().__init__()
        self.config = config
        self.score = TokenScore(config.embed_dim, config.score_dim)
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def select(self, tokens: Float[Tensor, "b n c"]) -> tuple[Float[Tensor, "b kept"], Int[Tensor, "b kept"]]:
        """The highest scores and whose they are; as many as the configuration says, whatever the data."""
        scores: Tensor = self.score(tokens)
        values, index = scores.topk(kept_tokens(tokens.shape[1], self.config), sorted=False)
        return values, index

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Selection, scored on the keys for want of the tokens, and attention among the kept; zero for the others."""
        heads, shape = q.shape[1], q.shape
        _, index = self.select(rearrange(k, "b heads t h w d -> b (t h w) (heads d)"))
        place = repeat(index, "b kept -> b heads kept d", heads=heads, d=shape[-1])
        q, k, v = (x.flatten(2, 4).gather(2, place) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v)
        return out.new_zeros(*shape[:2], shape[2:5].numel(), shape[-1]).scatter(2, place, out).reshape(shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of the kept tokens, zero for the others; the residual is the caller's."""
        tokens = x.flatten(1, 3)
        scores, index = self.select(tokens)
        place = repeat(index, "b kept -> b kept c", c=x.shape[-1])
        qkv = rearrange(
            self.qkv(tokens.gather(1, place)),
            "b n (three heads d) -> three b heads n d",
            three=3,
            heads=self.config.num_heads,
        )
        out = F.scaled_dot_product_attention(*qkv)
        update = self.proj(rearrange(out, "b heads n d -> b n (heads d)")) * scores.sigmoid().unsqueeze(-1)
        return torch.zeros_like(tokens, dtype=update.dtype).scatter(1, place, update).reshape(x.shape)


def build(grid: TokenGrid, dim: int, num_heads: int) -> TokenSelectionAttention:  # noqa: ARG001 - every grid will do
    """Attention among half of the tokens, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return TokenSelectionAttention(TokenSelectionConfig(embed_dim=dim, num_heads=num_heads))


def kept_tokens(tokens: int, config: TokenSelectionConfig) -> int:
    """The nearest number to the kept fraction, and at least one."""
    return max(1, round(config.keep * tokens))


def core_macs(grid: TokenGrid, config: TokenSelectionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded.

    The kept tokens against one another: the square of the kept fraction.
    """
    return 2 * kept_tokens(grid.tokens, config) ** 2 * config.embed_dim


def mixing_extra_macs(grid: TokenGrid, config: TokenSelectionConfig) -> int:
    """MACs of scoring all tokens of one clip."""
    return grid.tokens * config.score_dim * (config.embed_dim + 1)


def macs(grid: TokenGrid, config: TokenSelectionConfig) -> int:
    """MACs of the whole module on one clip: core, scoring and 4 c^2 for each kept token."""
    projections = 4 * kept_tokens(grid.tokens, config) * config.embed_dim**2
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projections
