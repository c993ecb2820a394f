"""Sparse local-global attention: first within a quadrant of the frames, then over a coarse grid of the whole clip.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3, "sparse
local-global attention" (L+G), https://arxiv.org/abs/2102.05095. There is no official code; the reading here:

- local: a token attends to the quadrant of height and width that it lies in, of ceil(h / 2) or floor(h / 2) rows and
  ceil(w / 2) or floor(w / 2) columns, in all t frames;
- global: every token attends to the same keys, the tokens whose t, h and w are all even: a stride of 2 along each axis;
  no other token is projected to a key or a value;
- between them one fully connected layer, which makes the parameters those of the published 121.4 M.

On even grids the pairs are 1/4 + 1/8 = 3/8 of joint attention's: a constant factor, still quadratic in t, h and w.
Differs from the paper: no class token, and the second step sees the normalised stream plus the first step's update.
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend
from vbench_models.layers.neighborhoods import ProjectedAttention, Thw, block_pairs, by_blocks
from vbench_models.video import TokenGrid


class QuadrantAttention(ProjectedAttention):
    """Attention within each quadrant of the frames, over all frames."""

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone; quadrants of unequal size are attended apart, without padding."""
        quadrant = quadrant_size(TokenGrid(q.shape[2], q.shape[3], q.shape[4]))
        return by_blocks(lambda q, k, v, _: attend(q, k, v), quadrant, q, k, v)


class CoarseGridAttention(nn.Module):
    """Attention of every token over the tokens at even t, h and w; no other is projected to a key or a value."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.query = nn.Linear(config.embed_dim, config.embed_dim, bias=config.qkv_bias)
        self.key_value = nn.Linear(config.embed_dim, 2 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, on keys and values of all tokens; those left out are sliced away."""
        out = attend(*(rearrange(x, "b heads t h w d -> b heads (t h w) d") for x in (q, coarse(k), coarse(v))))
        return rearrange(out, "b heads (t h w) d -> b heads t h w d", t=q.shape[2], h=q.shape[3])

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        _, t, h, _, _ = x.shape
        heads, key_value = self.config.num_heads, self.key_value(coarse(x))
        q = rearrange(self.query(x), "b t h w (heads d) -> b heads (t h w) d", heads=heads)
        k, v = rearrange(key_value, "b t h w (two heads d) -> two b heads (t h w) d", two=2, heads=heads)
        update: Tensor = self.proj(rearrange(attend(q, k, v), "b heads (t h w) d -> b t h w (heads d)", t=t, h=h))
        return update


def coarse(x: Float[Tensor, "*lead t h w c"]) -> Float[Tensor, "*lead tc hc wc c"]:
    """The tokens at even t, h and w."""
    return x[..., ::2, ::2, ::2, :]


class SparseLocalGlobalAttention(nn.Module):
    """Two attentions with projections of their own, a fully connected layer and a norm between them."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.local_step = QuadrantAttention(config)
        self.fc = nn.Linear(config.embed_dim, config.embed_dim)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.global_step = CoarseGridAttention(config)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Both steps' attention alone: what the first returns is the second's query."""
        return self.global_step.core(self.local_step.core(q, k, v), k, v)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The sum of both steps' updates; the residual is the caller's."""
        near: Tensor = self.fc(self.local_step(x))
        far: Tensor = self.global_step(self.norm(x + near))
        return near + far


def build(grid: TokenGrid, dim: int, num_heads: int) -> SparseLocalGlobalAttention:  # noqa: ARG001 - every grid will do
    """Sparse local-global attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SparseLocalGlobalAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads))


def quadrant_size(grid: TokenGrid) -> Thw:
    """The first quadrant's extent; the others hold what is left of height and width."""
    return grid.t, -(-grid.h // 2), -(-grid.w // 2)


def coarse_tokens(grid: TokenGrid) -> int:
    """Keys of the second step: ceil(t/2) * ceil(h/2) * ceil(w/2)."""
    return -(-grid.t // 2) * -(-grid.h // 2) * -(-grid.w // 2)


def computed_pairs(grid: TokenGrid, config: AttentionConfig) -> int:  # noqa: ARG001 - every pattern's signature
    """Pairs of a query and a key of which one head computes a score, in both steps.

    t^2 * (ceil(h/2)^2 + floor(h/2)^2) * (ceil(w/2)^2 + floor(w/2)^2), and t*h*w * ceil(t/2) * ceil(h/2) * ceil(w/2).
    """
    return block_pairs(grid, quadrant_size(grid)) + grid.tokens * coarse_tokens(grid)


def useful_pairs(grid: TokenGrid, config: AttentionConfig) -> int:
    """Pairs that take part in one head's output: all that are computed."""
    return computed_pairs(grid, config)


def core_macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded: 2 d a pair and head."""
    return 2 * computed_pairs(grid, config) * config.embed_dim


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs of the whole module on one clip, norms excluded: the core, 4 + 1 + 2 = 7 c^2 a token and 2 c^2 a coarse one.

    The first step projects each token to q, k, v and out, the second to q and out alone; one layer stands between.
    """
    return core_macs(grid, config) + (7 * grid.tokens + 2 * coarse_tokens(grid)) * config.embed_dim**2
