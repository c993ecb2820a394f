"""A convolution as long as its sequence, by the fast Fourier transform, as one operator: `vbench::fft_convolution`.

Cooley & Tukey, "An Algorithm for the Machine Calculation of Complex Fourier Series", Math. Comp. 19, 1965. Every
channel has its own kernel, with a weight for each lag from -(n - 1) to n - 1, so that a token hears all others:

    y[i] = sum over j of kernel[n - 1 + i - j] x[j]

A transform has no multiply-adds to point at, so its cost is a convention: 5 N log2 N FLOPs for a complex transform of
length N and half of that for a real one, as FFTW reports speeds (http://www.fftw.org/speed/method.html); N = 2 n, no
padding to a power of two. A product of two complex numbers is 6 FLOPs. 2 FLOPs are 1 MAC here as everywhere.
"""

from math import ceil, log2
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula

from vbench_models.layers.cache import in_parts, rows_at_once


@torch.library.custom_op("vbench::fft_convolution", mutates_args=(), schema="(Tensor x, Tensor kernel) -> Tensor")
def fft_convolution(x: Float[Tensor, "b c n"], kernel: Float[Tensor, "c lags"]) -> Float[Tensor, "b c n"]:
    """Each channel of `x` convolved with its own kernel of 2 n - 1 lags; in single precision at least."""
    channels = rows_at_once(x.device, x.shape[1], 2 * x.shape[2] * len(x))
    return in_parts(_convolve, channels, x, kernel.unsqueeze(0), dim=1).contiguous()


def _convolve(x: Float[Tensor, "b c n"], kernel: Float[Tensor, "1 c lags"]) -> Float[Tensor, "b c n"]:
    """Some of the channels: transforms of twice their length, and the middle of what comes back."""
    n = x.shape[-1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    spectrum = torch.fft.rfft(x.to(dtype), 2 * n) * torch.fft.rfft(kernel.to(dtype), 2 * n)
    y: Tensor = torch.fft.irfft(spectrum, 2 * n)[..., n - 1 : 2 * n - 1]
    return y.to(x.dtype)


@torch.library.custom_op("vbench::fft_correlation", mutates_args=(), schema="(Tensor y, Tensor x) -> Tensor")
def fft_correlation(y: Float[Tensor, "b c n"], x: Float[Tensor, "b c n"]) -> Float[Tensor, "c lags"]:
    """For each lag the sum over clips and tokens of y[i] x[i - lag]: the gradient of `fft_convolution`'s kernel."""
    n = x.shape[-1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    mirrored = torch.fft.rfft(x.to(dtype), 2 * n).conj_physical()  # a lazy conj() is lost in compiled graphs
    spectrum = torch.fft.rfft(y.to(dtype), 2 * n) * mirrored
    lags: Tensor = torch.fft.irfft(spectrum.sum(0), 2 * n).roll(n - 1, dims=-1)[..., : 2 * n - 1]
    return lags.to(x.dtype).contiguous()


def transform_macs(length: int) -> int:
    """MACs of one real transform, 1.25 N log2 N by FFTW's convention, rounded up."""
    return ceil(1.25 * length * log2(length))


def convolution_macs(tokens: int, channels: int, *, batch: int = 1) -> int:
    """MACs of `fft_convolution`: there and back for every clip, the kernel once, and n + 1 complex products."""
    transforms = (2 * batch + 1) * channels * transform_macs(2 * tokens)
    return transforms + 3 * batch * channels * (tokens + 1)


def _flops(x_shape: Any, _kernel: Any, *, out_shape: Any = None) -> int:  # noqa: ARG001 - the protocol names it
    """Also of `fft_correlation`: two transforms there for every clip, one back, and as many complex products."""
    batch, channels, tokens = x_shape
    return 2 * convolution_macs(tokens, channels, batch=batch)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001 - the protocol names it
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    x, kernel = ctx.saved_tensors
    return fft_convolution(grad, kernel.flip(-1)), fft_correlation(grad, x)


fft_convolution.register_fake(lambda x, _: x.new_empty(x.shape))
fft_correlation.register_fake(lambda _, x: x.new_empty(x.shape[1], 2 * x.shape[2] - 1))
fft_convolution.register_autograd(_differentiate, setup_context=_save)
if torch.ops.vbench.fft_convolution not in flop_registry:
    register_flop_formula(torch.ops.vbench.fft_convolution)(_flops)
if torch.ops.vbench.fft_correlation not in flop_registry:
    register_flop_formula(torch.ops.vbench.fft_correlation)(_flops)
