"""A diagonal linear state space along the tokens, fixed once trained, and therefore one long convolution.

Gu, Goel & Re, "Efficiently Modeling Long Sequences with Structured State Spaces", ICLR 2022,
https://arxiv.org/abs/2111.00396, with the diagonal state matrix of Gu et al., "On the Parameterization and
Initialization of Diagonal State Space Models", NeurIPS 2022 (S4D-Lin, sec. 3 and 4), https://arxiv.org/abs/2206.11893:

    kernel[c, i] = 2 Re sum over s of C'[c, s] exp(dt[c] A[c, s])^i        C' = C (exp(dt A) - 1) / A

The convolution stands in for attention and is counted as such; making the kernel, which holds no data, is extra.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, log, pi

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor, nn

from vbench_models.layers.cache import rows_at_once
from vbench_models.layers.fft_convolution import fft_convolution


@dataclass(frozen=True, kw_only=True)
class StateSpaceConfig:
    """Channels, the state's size N (N / 2 complex pairs), the range of steps."""

    embed_dim: int = 768
    state_dim: int = 64
    dt_min: float = 0.001
    dt_max: float = 0.1


class ImpulseResponses(nn.Module):
    """The state space of every channel, read out in `readouts` ways."""

    def __init__(self, config: StateSpaceConfig, readouts: int) -> None:
        super().__init__()
        channels, pairs = config.embed_dim, config.state_dim // 2
        low, high = log(config.dt_min), log(config.dt_max)
        self.log_dt = nn.Parameter(torch.rand(channels) * (high - low) + low)
        self.log_decay = nn.Parameter(torch.full((channels, pairs), log(0.5)))
        self.frequency = nn.Parameter(pi * torch.arange(pairs, dtype=torch.get_default_dtype()).repeat(channels, 1))
        self.read = nn.Parameter(torch.randn(readouts, channels, pairs, 2) * 0.5**0.5)  # real, imaginary

    def forward(self, length: int, channels: slice) -> Float[Tensor, "readouts c n"]:
        """What each of the `channels` answers to a single one, at the lags 0 .. length - 1.

        The powers 0 .. length - 1 are products of powers 0 .. sqrt(length) - 1 with multiples of sqrt(length), so that
        the sum over states is one matrix product per channel and no state is kept at every token. All in real numbers:
        on a CPU the exponential of a complex one takes far longer than one exponential, a cosine and a sine.
        """
        step, read = self._discretised(channels)
        size = isqrt(length - 1) + 1
        fine = powers(step.unsqueeze(-1), torch.arange(size, device=step.device))
        real, imag = powers(step.unsqueeze(-2), torch.arange(0, length, size, device=step.device).unsqueeze(-1))
        read = 2 * read.unsqueeze(-2)
        rows = torch.cat((real * read.real - imag * read.imag, -(real * read.imag + imag * read.real)), dim=-1)
        responses = rearrange(rows, "readouts c i s -> c (readouts i) s") @ torch.cat(fine, dim=-2)
        return rearrange(responses, "c (readouts i) j -> readouts c (i j)", readouts=len(self.read))[..., :length]

    def _discretised(self, channels: slice) -> tuple[Complex[Tensor, "c s"], Complex[Tensor, "readouts c s"]]:
        """The exponents dt A and the read-outs C'."""
        dtype = torch.float64 if self.read.dtype == torch.float64 else torch.float32
        log_decay, frequency, log_dt = (x[channels].to(dtype) for x in (self.log_decay, self.frequency, self.log_dt))
        rate = torch.view_as_complex(torch.stack((-log_decay.exp(), frequency), -1))
        step = log_dt.exp().unsqueeze(-1) * rate
        return step, torch.view_as_complex(self.read[:, channels].to(dtype)) * (step.exp() - 1) / rate


class TwoWayConvolution(nn.Module):
    """Every token hears all others, through the states between them.

    Both directions share A and dt and have their own C; a token's own weight is the forward one's.
    """

    is_mixing_extra = True

    def __init__(self, config: StateSpaceConfig) -> None:
        super().__init__()
        self.responses = ImpulseResponses(config, readouts=2)
        self.skip = nn.Parameter(torch.randn(config.embed_dim))

    def forward(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        """The convolution with both directions' kernel, and what passes by it; on a CPU some channels at a time."""
        return by_channels(self._convolve, x)

    def _convolve(self, x: Float[Tensor, "b some n"], channels: slice) -> Float[Tensor, "b some n"]:
        forwards, backwards = self.responses(x.shape[-1], channels)
        kernel = torch.cat((backwards[:, :-1].flip(-1), forwards), dim=-1)
        return convolve(x, kernel, self.skip[channels])


class CausalConvolution(nn.Module):
    """Every token hears itself and those before it, through the states between them."""

    is_mixing_extra = True

    def __init__(self, config: StateSpaceConfig) -> None:
        super().__init__()
        self.responses = ImpulseResponses(config, readouts=1)
        self.skip = nn.Parameter(torch.randn(config.embed_dim))

    def forward(self, x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        """The convolution with the kernel, zero for the tokens that follow, and what passes by it."""
        return by_channels(self._convolve, x)

    def _convolve(self, x: Float[Tensor, "b some n"], channels: slice) -> Float[Tensor, "b some n"]:
        length = x.shape[-1]
        (forwards,) = self.responses(length, channels)
        return convolve(x, F.pad(forwards, (length - 1, 0)), self.skip[channels])


def by_channels(convolve: Callable[[Tensor, slice], Tensor], x: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
    """What `convolve` makes of `x` and all channels; kernel, spectra and sums of as many at a time as stay cached."""
    size = rows_at_once(x.device, x.shape[1], 4 * x.shape[2] * len(x))
    parts = [convolve(part, slice(i * size, (i + 1) * size)) for i, part in enumerate(torch.split(x, size, dim=1))]
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def convolve(
    x: Float[Tensor, "b c n"], kernel: Float[Tensor, "c lags"], skip: Float[Tensor, " c"]
) -> Float[Tensor, "b c n"]:
    """Each channel convolved with its kernel, and itself times `skip`."""
    mixed: Tensor = fft_convolution(x, kernel.to(x.dtype))
    return torch.addcmul(mixed, skip.unsqueeze(-1), x)


def powers(
    step: Complex[Tensor, "c *pairs"], exponents: Tensor
) -> tuple[Float[Tensor, "c *all"], Float[Tensor, "c *all"]]:
    """Each exp(step) to each of the `exponents`, real and imaginary part."""
    size, angle = (step.real * exponents).exp(), step.imag * exponents
    return size * angle.cos(), size * angle.sin()
