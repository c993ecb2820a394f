"""S4: a linear state space along the tokens, fixed once trained, and therefore one long convolution.

Gu, Goel & Re, "Efficiently Modeling Long Sequences with Structured State Spaces", ICLR 2022,
https://arxiv.org/abs/2111.00396, with the diagonal state matrix of Gu et al., "On the Parameterization and
Initialization of Diagonal State Space Models", NeurIPS 2022 (S4D-Lin, sec. 3 and 4), https://arxiv.org/abs/2206.11893:

    kernel[c, i] = 2 Re sum over s of C'[c, s] exp(dt[c] A[c, s])^i        C' = C (exp(dt A) - 1) / A

Tokens are read in t, h, w order, forwards and backwards: both directions share A and dt and have their own C, and their
kernels make one convolution (a token's own weight is the forward one's). The layer is S4's: no projection in, GELU and
a gated linear unit out, 2 c^2 a token.

The convolution stands in for attention and is counted as the core; making the kernel, which holds no data, is extra.
"""

from dataclasses import dataclass
from math import isqrt, log, pi

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.fft_convolution import convolution_macs, fft_convolution
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class S4Config(AttentionConfig):
    """Widths, the state's size N (N / 2 complex pairs), the range of steps; `num_heads` only shapes `core`'s input."""

    state_dim: int = 64
    dt_min: float = 0.001
    dt_max: float = 0.1


class StateSpaceConvolution(nn.Module):
    """The state space of every channel, as the kernel of its impulse responses and the convolution with it."""

    is_mixing_extra = True

    def __init__(self, config: S4Config) -> None:
        super().__init__()
        channels, pairs = config.embed_dim, config.state_dim // 2
        low, high = log(config.dt_min), log(config.dt_max)
        self.log_dt = nn.Parameter(torch.rand(channels) * (high - low) + low)
        self.log_decay = nn.Parameter(torch.full((channels, pairs), log(0.5)))
        self.frequency = nn.Parameter(pi * torch.arange(pairs, dtype=torch.get_default_dtype()).repeat(channels, 1))
        self.read = nn.Parameter(torch.randn(2, channels, pairs, 2) * 0.5**0.5)  # both directions; real, imaginary
        self.skip = nn.Parameter(torch.randn(channels))

    def kernel(self, length: int) -> Float[Tensor, "c lags"]:
        """The weights of the lags from -(length - 1) to length - 1.

        The powers 0 .. length - 1 are products of powers 0 .. sqrt(length) - 1 with multiples of sqrt(length), so that
        the sum over states is one matrix product per channel and no state is kept at every token.
        """
        step, read = self._discretised()
        size = isqrt(length - 1) + 1
        fine = powers(step, torch.arange(size, device=step.device))
        coarse = powers(step, torch.arange(0, length, size, device=step.device)) * 2 * read.unsqueeze(-1)
        rows = rearrange([coarse.real, -coarse.imag], "two dirs c s i -> c (dirs i) (two s)")
        responses = rows @ rearrange([fine.real, fine.imag], "two c s j -> c (two s) j")
        forwards, backwards = rearrange(responses, "c (dirs i) j -> dirs c (i j)", dirs=2)[..., :length]
        return torch.cat((backwards[:, : length - 1].flip(-1), forwards), dim=-1)

    def _discretised(self) -> tuple[Complex[Tensor, "c s"], Complex[Tensor, "dirs c s"]]:
        """The exponents dt A and the read-outs C'."""
        dtype = torch.float64 if self.read.dtype == torch.float64 else torch.float32
        rate = torch.view_as_complex(torch.stack((-self.log_decay.to(dtype).exp(), self.frequency.to(dtype)), -1))
        step = self.log_dt.to(dtype).exp().unsqueeze(-1) * rate
        return step, torch.view_as_complex(self.read.to(dtype)) * (step.exp() - 1) / rate

    def forward(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        """Every token hears all others, through the states between them."""
        mixed: Tensor = fft_convolution(x, self.kernel(x.shape[-1]).to(x.dtype))
        return torch.addcmul(mixed, self.skip.unsqueeze(-1), x)


class S4(nn.Module):
    """The layer: convolution, GELU, and out through a gated linear unit."""

    def __init__(self, config: S4Config) -> None:
        super().__init__()
        self.config = config
        self.convolution = StateSpaceConvolution(config)
        self.proj = nn.Linear(config.embed_dim, 2 * config.embed_dim)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],  # noqa: ARG002 - a state space has no queries
        k: Float[Tensor, "b heads t h w d"],  # noqa: ARG002 - and no keys
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The convolution of `v` alone, kernel included; q and k are not read."""
        mixed: Tensor = self.convolution(rearrange(v, "b heads t h w d -> b (heads d) (t h w)"))
        return rearrange(mixed, "b (heads d) n -> b heads n d", heads=v.shape[1]).reshape(v.shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        mixed = self.convolution(rearrange(x, "b t h w c -> b c (t h w)"))
        value, gate = self.proj(F.gelu(rearrange(mixed, "b c n -> b n c"))).chunk(2, dim=-1)
        update: Tensor = value * gate.sigmoid()
        return update.reshape(x.shape)


def powers(step: Complex[Tensor, "c s"], exponents: Tensor) -> Complex[Tensor, "c s i"]:
    """Each exp(step) to each of the `exponents`."""
    result: Tensor = (step.unsqueeze(-1) * exponents).exp()
    return result


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
