"""Performer: softmax attention in linear time, by random features of queries and keys.

Choromanski et al., "Rethinking Attention with Performers", ICLR 2021, sec. 2.3 and 2.4 (FAVOR+: positive, orthogonal
random features), https://arxiv.org/abs/2009.14794. With feature vectors w of norm chi(d), and x' = x / d^(1/4),

    phi(x) = exp(W x' - |x'|^2 / 2) / sqrt(m)        out = phi(q) (phi(k)^T v) / (phi(q) phi(k)^T 1)

so that phi(q) . phi(k) is exp(q . k / sqrt(d)) on average. As in the official code the exponents are lowered by their
maximum (of each query's features; of all features of all keys), which cancels in the quotient, and `epsilon` is added.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log, sqrt

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, projection_macs, split_heads
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class PerformerConfig(AttentionConfig):
    """Widths and random features; `nb_features` 0 stands for the paper's choice, d ln d."""

    nb_features: int = 0
    epsilon: float = 1e-4
    seed: int = 0

    @property
    def features(self) -> int:
        """Random features of one head, m: 266 for d = 64."""
        return self.nb_features or max(1, int(self.head_dim * log(self.head_dim)))


class RandomFeatures(nn.Module):
    """Products with orthogonal Gaussian vectors: a buffer shared by all heads, seeded, never trained."""

    is_mixing_extra = True
    directions: Float[Tensor, "m d"]

    def __init__(self, features: int, head_dim: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.empty(features, head_dim))
        self.redraw(seed)

    def redraw(self, seed: int) -> None:
        """New features, as the paper draws them anew from time to time in training."""
        features, head_dim = self.directions.shape
        self.directions.copy_(orthogonal_gaussian(features, head_dim, seed))

    def forward(self, x: Float[Tensor, "s n d"]) -> Float[Tensor, "s n m"]:
        """The exponents W x' - |x'|^2 / 2."""
        scale = x.shape[-1] ** -0.25
        exponents: Tensor = x @ (self.directions * scale).mT - x.square().sum(-1, keepdim=True) * (scale**2 / 2)
        return exponents


class PerformerAttention(nn.Module):
    """Attention through m features of every query and key, never through their pairs."""

    def __init__(self, config: PerformerConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.exponents = RandomFeatures(config.features, config.head_dim, config.seed)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention with its random features, which are counted as mixing extra."""
        b, _, t, h, w, _ = q.shape
        q, k, v = (rearrange(x, "b heads t h w d -> (b heads) (t h w) d") for x in (q, k, v))
        sequences = rows_at_once(q.device, len(q), t * h * w * self.config.features)
        out = in_parts(self._attend, sequences, q, k, v, dim=0)
        return rearrange(out, "(b heads) (t h w) d -> b heads t h w d", b=b, t=t, h=h, w=w)

    def _attend(
        self, q: Float[Tensor, "s n d"], k: Float[Tensor, "s n d"], v: Float[Tensor, "s n d"]
    ) -> Float[Tensor, "s n d"]:
        """The attention of some sequences: on a CPU the features of some tokens at a time, never of all."""
        tokens = rows_at_once(q.device, q.shape[1], len(q) * self.config.features)
        weighted, total = self._sums(torch.split(k, tokens, dim=1), torch.split(v, tokens, dim=1))
        weighted = weighted + v.sum(-2, keepdim=True) * self._floor
        total = total + k.shape[-2] * self._floor
        return in_parts(lambda some: self._read(some, weighted, total), tokens, q, dim=1)

    def _sums(
        self, keys: Iterable[Tensor], values: Iterable[Tensor]
    ) -> tuple[Float[Tensor, "s m d"], Float[Tensor, "s m 1"]]:
        """The sums phi(k)^T v and phi(k)^T 1, but for epsilon: those of each part, brought to the maximum of all."""
        parts = (self._sums_of(k, v) for k, v in zip(keys, values, strict=True))
        weighted, total, largest = (torch.stack(of_parts) for of_parts in zip(*parts, strict=True))
        scale = (largest - largest.amax(0)).exp()
        return (weighted * scale).sum(0), (total * scale).sum(0)

    def _sums_of(self, k: Float[Tensor, "s n d"], v: Float[Tensor, "s n d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Both sums of some keys, and the maximum by which their exponents were lowered."""
        exponents = self.exponents(k)
        largest = exponents.detach().amax((-2, -1), keepdim=True)
        features = (exponents - (largest + self._log_root)).exp()
        return features.mT @ v, features.sum(-2).unsqueeze(-1), largest

    def _read(
        self, q: Float[Tensor, "s n d"], weighted: Float[Tensor, "s m d"], total: Float[Tensor, "s m 1"]
    ) -> Float[Tensor, "s n d"]:
        """The quotient, for some queries."""
        exponents = self.exponents(q)
        largest = exponents.detach().amax(-1, keepdim=True)
        features = (exponents - (largest + self._log_root)).exp()
        weighted, total = (features @ sums + sums.sum(-2, keepdim=True) * self._floor for sums in (weighted, total))
        return weighted / total

    @property
    def _log_root(self) -> float:
        """What lowers an exponent as a division by sqrt(m) does."""
        return log(self.config.features) / 2

    @property
    def _floor(self) -> float:
        """What epsilon adds to every feature: so to a product it adds a sum, and no feature is touched once more."""
        return self.config.epsilon / sqrt(self.config.features)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        out = self.core(*split_heads(self.qkv(x), self.config.num_heads))
        update: Tensor = self.proj(rearrange(out, "b heads t h w d -> b t h w (heads d)"))
        return update


def orthogonal_gaussian(features: int, head_dim: int, seed: int) -> Float[Tensor, "m d"]:
    """Rows as long as Gaussian vectors and, in each block of d of them, orthogonal; on the CPU, from `seed`."""
    generator = torch.Generator("cpu").manual_seed(seed)
    blocks = -(-features // head_dim)
    gaussian = torch.randn(2, blocks, head_dim, head_dim, generator=generator, device="cpu")
    q, r = torch.linalg.qr(gaussian[0])
    rotations = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # no direction is favoured
    lengths = gaussian[1].norm(dim=-1, keepdim=True)
    directions: Tensor = (rotations.mT * lengths).flatten(0, 1)[:features]
    return directions


def build(grid: TokenGrid, dim: int, num_heads: int) -> PerformerAttention:  # noqa: ARG001 - every grid will do
    """Performer with d ln d features, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return PerformerAttention(PerformerConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: PerformerConfig) -> int:
    """MACs of phi(k)^T v, phi(q) (phi(k)^T v) and the normaliser on one clip; 1 multiply-add = 1 MAC.

    m d for each token and head, twice, and m for the normaliser's product with the sum of phi(k); the sum is free.
    """
    return grid.tokens * config.features * (2 * config.embed_dim + config.num_heads)


def mixing_extra_macs(grid: TokenGrid, config: PerformerConfig) -> int:
    """MACs of the random features of queries and keys on one clip: m d for each token and head, twice."""
    return 2 * grid.tokens * config.features * config.embed_dim


def macs(grid: TokenGrid, config: PerformerConfig) -> int:
    """MACs of the whole module on one clip: core, features and 4 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projection_macs(grid, config)
