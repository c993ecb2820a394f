"""S4: a linear state space along the tokens, fixed once trained, and therefore one long convolution.

Gu, Goel & Re, "Efficiently Modeling Long Sequences with Structured State Spaces", ICLR 2022,
https://arxiv.org/abs/2111.00396, with the diagonal state matrix of S4D, https://arxiv.org/abs/2206.11893: see
`layers/state_space.py`. Tokens are read in t, h, w order, forwards and backwards. The layer is S4's: no projection in,
GELU and a gated linear unit out, 2 c^2 a token.

The convolution stands in for attention and is counted as the core; making the kernel, which holds no data, is extra.
"""

from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.cache import rows_at_once
from vbench_models.layers.fft_convolution import convolution_macs
from vbench_models.layers.state_space import StateSpaceConfig, TwoWayConvolution
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class S4Config(StateSpaceConfig, AttentionConfig):
    """Widths of the state space; `num_heads` only shapes `core`'s input."""


class S4(nn.Module):
    """The layer: convolution, GELU, and out through a gated linear unit."""

    def __init__(self, config: S4Config) -> None:
        super().__init__()
        self.config = config
        self.convolution = TwoWayConvolution(config)
        self.proj = nn.Linear(config.embed_dim, 2 * config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],  # noqa: ARG002 - a state space has no queries
        k: Float[Tensor, "b heads t h w d"],  # noqa: ARG002 - and no keys
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The convolution of `v` alone, kernel included; q and k are not read."""
        mixed: Tensor = self.convolution(channels_first(rearrange(v, "b heads t h w d -> b (t h w) (heads d)")))
        return rearrange(mixed, "b (heads d) n -> b heads n d", heads=v.shape[1]).reshape(v.shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        mixed = self.convolution(channels_first(rearrange(x, "b t h w c -> b (t h w) c")))
        value, gate = self.proj(F.gelu(rearrange(mixed, "b c n -> b n c"))).chunk(2, dim=-1)
        update: Tensor = value * gate.sigmoid()
        return update.reshape(x.shape)


def channels_first(x: Float[Tensor, "b n c"]) -> Float[Tensor, "b c n"]:
    """Every channel end to end in memory; some tokens at a time, as a column of all of them lies on too many pages."""
    parts = torch.split(x, rows_at_once(x.device, x.shape[1], x[:, 0].numel()), dim=1)
    return torch.cat([part.mT for part in parts], dim=-1)


def build(grid: TokenGrid, dim: int, num_heads: int) -> S4:  # noqa: ARG001 - every grid will do
    """A bidirectional S4D layer with 64 states a channel, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return S4(S4Config(embed_dim=dim, num_heads=num_heads))


def kernel_macs(grid: TokenGrid, config: S4Config) -> int:
    """MACs of the kernel, once a batch: N for each channel, direction and lag, the lags filled up to a rectangle."""
    size = isqrt(grid.tokens - 1) + 1
    return 2 * config.embed_dim * 2 * (config.state_dim // 2) * -(-grid.tokens // size) * size


def core_macs(grid: TokenGrid, config: S4Config) -> int:
    """MACs of the convolution by FFT on one clip: c (3.75 * 2 n log2(2 n) + 3 n), no polynomial.

    By the convention of `layers/fft_convolution.py`; it stands in for attention.
    """
    return convolution_macs(grid.tokens, config.embed_dim)


def mixing_extra_macs(grid: TokenGrid, config: S4Config) -> int:
    """MACs of making the kernel, once a batch: a product of parameters alone, linear in n."""
    return kernel_macs(grid, config)


def macs(grid: TokenGrid, config: S4Config) -> int:
    """MACs of the whole layer on one clip: convolution, kernel and 2 c^2 a token."""
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + 2 * grid.tokens * config.embed_dim**2
