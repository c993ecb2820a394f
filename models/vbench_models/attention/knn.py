"""k-NN attention: every query scores all keys, keeps the k with the highest scores, and attends to those alone.

Wang et al., "KVT: k-NN Attention for Boosting Vision Transformers", ECCV 2022, sec. 3.2,
https://arxiv.org/abs/2106.00515 (k = 100 there); on video: Sun et al., "k-NN attention-based video vision transformer
for action recognition", Neurocomputing 574, 2024, of which no code is known. Differs from the official code of KVT,
which masks the scores that are dropped and then multiplies by all values: here the k kept values are gathered.

All n^2 scores are still computed, so that n^2 + n k products are left of joint attention's 2 n^2: at best half. Which
values are gathered depends on the data, and gathering them moves n k d numbers.
"""

from dataclasses import dataclass
from math import isqrt

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.neighborhoods import ProjectedAttention, at_least
from vbench_models.video import TokenGrid

QUERIES_AT_ONCE = 256  # bounds the memory of the scores and of the gathered values; changes no result


@dataclass(frozen=True, kw_only=True)
class KnnConfig(AttentionConfig):
    """Widths and the number of keys kept for each query; a clip with fewer tokens keeps them all.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or no key is kept.
    """

    neighbors: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, neighbors=self.neighbors)


class KnnAttention(ProjectedAttention):
    """Attention of each token over its k nearest keys in the whole clip, by score."""

    config: KnnConfig

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, some queries at a time."""
        b, _, t, h, w, d = q.shape
        q, k, v = (rearrange(x, "b heads t h w d -> (b heads) (t h w) d") for x in (q * d**-0.5, k, v))
        sequences = rows_at_once(q.device, len(q), min(QUERIES_AT_ONCE, t * h * w) * t * h * w)
        out = in_parts(self._attend, sequences, q, k, v, dim=0)
        return rearrange(out, "(b heads) (t h w) d -> b heads t h w d", b=b, t=t, h=h, w=w)

    def _attend(
        self, q: Float[Tensor, "s n d"], k: Float[Tensor, "s n d"], v: Float[Tensor, "s n d"]
    ) -> Float[Tensor, "s n d"]:
        """The attention of some sequences, some queries at a time."""
        kept = min(self.config.neighbors, k.shape[1])
        k, v = k.contiguous(), v.contiguous()  # once, as every part of the queries goes through all of them
        return in_parts(lambda some: attend_nearest(some, k, v, kept), QUERIES_AT_ONCE, q, dim=1)


def attend_nearest(
    q: Float[Tensor, "s m d"], k: Float[Tensor, "s n d"], v: Float[Tensor, "s n d"], kept: int
) -> Float[Tensor, "s m d"]:
    """Each query's softmax over its `kept` highest scores; q is scaled already."""
    scores, nearest = highest(q @ k.mT, kept)
    first_row = torch.arange(0, v.shape[0] * v.shape[1], v.shape[1], device=v.device)
    rows = (nearest + first_row[:, None, None]).flatten()
    values = v.flatten(0, 1).index_select(0, rows).reshape(*nearest.shape, -1)
    weights = rearrange(scores.softmax(-1), "s m kept -> s m 1 kept")
    out: Tensor = rearrange(weights @ values, "s m 1 d -> s m d")
    return out


def highest(scores: Float[Tensor, "s m n"], kept: int) -> tuple[Float[Tensor, "s m kept"], Int[Tensor, "s m kept"]]:
    """The `kept` highest of each row's scores, and their places, as `topk` gives them; of equal ones any.

    All of them lie in the `kept` groups with the highest maxima: whatever lies in another group has `kept` maxima above
    it. So one pass over the scores finds the maxima, and `topk`, which is slow, is left with few of them, and with the
    scores of those groups. A group is a column of the row laid out in `size` rows; what is left over is looked at, too.
    """
    size = isqrt(scores.shape[-1] // kept)
    if size < 2:
        return scores.topk(kept, dim=-1, sorted=False)
    groups = scores.shape[-1] // size
    grouped, rest = scores.tensor_split((size * groups,), dim=-1)
    grouped = rearrange(grouped, "s m (size groups) -> s m size groups", size=size)
    columns = grouped.detach().amax(-2).topk(kept, dim=-1, sorted=False).indices
    candidates = grouped.gather(-1, repeat(columns, "s m kept -> s m size kept", size=size))
    best, places = torch.cat((candidates.flatten(-2), rest), dim=-1).topk(kept, dim=-1, sorted=False)
    in_columns = places // kept * groups + columns.gather(-1, places % kept)
    return best, torch.where(places < size * kept, in_columns, places + size * (groups - kept))


def build(grid: TokenGrid, dim: int, num_heads: int) -> KnnAttention:  # noqa: ARG001 - every grid will do
    """k-NN attention, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return KnnAttention(KnnConfig(embed_dim=dim, num_heads=num_heads))


def computed_pairs(grid: TokenGrid, config: KnnConfig) -> int:  # noqa: ARG001 - every pattern's signature
    """Pairs of a query and a key of which one head computes a score: all n^2."""
    return grid.tokens**2


def useful_pairs(grid: TokenGrid, config: KnnConfig) -> int:
    """Pairs that take part in one head's output: n * k."""
    return grid.tokens * min(config.neighbors, grid.tokens)


def core_macs(grid: TokenGrid, config: KnnConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax and the choice of keys excluded.

    d a head for each computed score and d for each useful one.
    """
    return (computed_pairs(grid, config) + useful_pairs(grid, config)) * config.embed_dim


def macs(grid: TokenGrid, config: KnnConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
