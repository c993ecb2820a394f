"""The selective scan as one operator, `vbench::selective_scan`: a linear recurrence whose steps depend on the data.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, sec. 3.2 and algorithm 2,
https://arxiv.org/abs/2312.00752. For every channel e and state s, along the tokens n:

    h[e, s, n] = exp(delta[e, n] rates[e, s]) h[e, s, n - 1] + delta[e, n] u[e, n] write[s, n]
    y[e, n]    = sum over s of read[s, n] h[e, s, n]

(the paper's A is `rates`, B `write`, C `read`). The implementation is plain torch for any device: chunks of sqrt(n)
tokens run side by side and are then joined, 2 sqrt(n) vector steps instead of n; on a CPU a few channels at a time, so
that their states stay in the cache. It is what can be run without Mamba's CUDA kernel, not that kernel's equal.
"""

from math import ceil, isqrt
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula

CACHED_STATES = 2**22  # 16 MiB in single precision
SCHEMA = "(Tensor u, Tensor delta, Tensor rates, Tensor write, Tensor read) -> Tensor"
BACKWARD_SCHEMA = (
    "(Tensor grad, Tensor u, Tensor delta, Tensor rates, Tensor write, Tensor read)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("vbench::selective_scan", mutates_args=(), schema=SCHEMA)
def selective_scan(
    u: Float[Tensor, "b e n"],
    delta: Float[Tensor, "b e n"],
    rates: Float[Tensor, "e s"],
    write: Float[Tensor, "b s n"],
    read: Float[Tensor, "b s n"],
) -> Float[Tensor, "b e n"]:
    """The outputs y; `delta` is positive and `rates` negative, computed in single precision at least."""
    u_, delta_, rates_, write_, read_ = tokens_first(u, delta, rates, write, read)
    block_size = channels_at_a_time(u, rates)
    blocks = zip(*(torch.split(x, block_size, dim=-1) for x in (u_, delta_, rates_)), strict=True)
    y = [read_ @ states(u, delta, rates, write_) for u, delta, rates in blocks]
    return rearrange(torch.cat(y, dim=-1), "n b 1 e -> b e n").to(u.dtype).contiguous()


@torch.library.custom_op("vbench::selective_scan_backward", mutates_args=(), schema=BACKWARD_SCHEMA)
def selective_scan_backward(  # noqa: PLR0917 - the operator's schema
    grad: Float[Tensor, "b e n"],
    u: Float[Tensor, "b e n"],
    delta: Float[Tensor, "b e n"],
    rates: Float[Tensor, "e s"],
    write: Float[Tensor, "b s n"],
    read: Float[Tensor, "b s n"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of all five inputs: the states are computed again, then their adjoints by a scan back in time."""
    u_, delta_, rates_, write_, read_ = tokens_first(u, delta, rates, write, read)
    grad_ = rearrange(grad, "b e n -> n b 1 e").to(u_.dtype)
    of_u, of_delta, of_rates = (torch.empty_like(x) for x in (u_, delta_, rates_))
    of_write, of_read = torch.zeros_like(write_), torch.zeros_like(read_)
    for block in torch.split(torch.arange(u.shape[1], device=u.device), channels_at_a_time(u, rates)):
        g, x, step, rate = (y[..., block] for y in (grad_, u_, delta_, rates_))
        h = states(x, step, rate, write_)
        adjoint = adjoints(g, step, rate, read_)
        log_decay = adjoint * (step * rate).exp()
        log_decay[0] = 0
        log_decay[1:].mul_(h[:-1])
        written = write_.mT @ adjoint
        of_u[..., block] = step * written
        of_delta[..., block] = x * written + (log_decay * rate).sum(-2, keepdim=True)
        of_rates[..., block] = einsum(log_decay, step.squeeze(-2), "n b s e, n b e -> s e")
        of_write += adjoint @ (step * x).mT
        of_read += g @ h.mT
    gradients = (
        rearrange(of_u, "n b 1 e -> b e n"),
        rearrange(of_delta, "n b 1 e -> b e n"),
        of_rates.mT,
        rearrange(of_write, "n b s 1 -> b s n"),
        rearrange(of_read, "n b 1 s -> b s n"),
    )
    u_, delta_, rates_, write_, read_ = (
        x.to(like.dtype).contiguous() for x, like in zip(gradients, (u, delta, rates, write, read), strict=True)
    )
    return u_, delta_, rates_, write_, read_


def tokens_first(
    u: Float[Tensor, "b e n"],
    delta: Float[Tensor, "b e n"],
    rates: Float[Tensor, "e s"],
    write: Float[Tensor, "b s n"],
    read: Float[Tensor, "b s n"],
) -> tuple[
    Float[Tensor, "n b 1 e"],
    Float[Tensor, "n b 1 e"],
    Float[Tensor, "s e"],
    Float[Tensor, "n b s 1"],
    Float[Tensor, "n b 1 s"],
]:
    """The inputs laid out so that they meet as `n b s e`, in single precision at least."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    return (
        rearrange(u, "b e n -> n b 1 e").to(dtype),
        rearrange(delta, "b e n -> n b 1 e").to(dtype),
        rates.mT.to(dtype),
        rearrange(write, "b s n -> n b s 1").to(dtype),
        rearrange(read, "b s n -> n b 1 s").to(dtype),
    )


def channels_at_a_time(u: Float[Tensor, "b e n"], rates: Float[Tensor, "e s"]) -> int:
    """As many channels as keep their states in a CPU's cache; on other devices all of them."""
    batch, channels, tokens = u.shape
    return max(8, CACHED_STATES // (batch * tokens * rates.shape[1])) if u.device.type == "cpu" else channels


def states(
    u: Float[Tensor, "n b 1 e"],
    delta: Float[Tensor, "n b 1 e"],
    rates: Float[Tensor, "s e"],
    write: Float[Tensor, "n b s 1"],
) -> Float[Tensor, "n b s e"]:
    """The states h after every token."""
    return recur_((delta * rates).exp_(), delta * u * write)


def adjoints(
    grad: Float[Tensor, "n b 1 e"],
    delta: Float[Tensor, "n b 1 e"],
    rates: Float[Tensor, "s e"],
    read: Float[Tensor, "n b 1 s"],
) -> Float[Tensor, "n b s e"]:
    """What the loss gains by each state: the same recurrence from the last token to the first."""
    later = torch.cat((delta[1:], delta[:1])).flip(0)  # the first step of a recurrence decays nothing
    return recur_((later * rates).exp_(), (read.mT * grad).flip(0)).flip(0)


def recur_(decay: Float[Tensor, "n *rest"], inputs: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
    """The sequence h[i] = decay[i] h[i - 1] + inputs[i] from h[-1] = 0; overwrites both arguments."""
    n = len(inputs)
    size = isqrt(n - 1) + 1
    if missing := -n % size:
        decay, inputs = (F.pad(x, (0, 0) * (x.ndim - 1) + (0, missing)) for x in (decay, inputs))
    decay, h = (rearrange(x, "(chunk i) ... -> chunk i ...", i=size) for x in (decay, inputs))
    for i in range(1, size):  # all chunks at once, each from zero
        h[:, i].addcmul_(decay[:, i], h[:, i - 1])
        decay[:, i].mul_(decay[:, i - 1])  # from here on: the decay since the chunk's start
    for chunk in range(1, ceil(n / size)):
        h[chunk].addcmul_(decay[chunk], h[chunk - 1, -1])
    return rearrange(h, "chunk i ... -> (chunk i) ...")[:n]


def scan_macs(tokens: int, channels: int, state_dim: int) -> int:
    """Strict multiply-adds of one scan of one clip: 2 n E S.

    One for the step of each state and one for reading it out. The exponential and the two element-wise products that
    prepare a step, delta times rates and delta u times write, are left out like a softmax.
    """
    return 2 * tokens * channels * state_dim


def scan_flops_public(tokens: int, channels: int, state_dim: int) -> int:
    """FLOPs of one scan in the convention in public use, 9 n E S: four and a half MACs where `scan_macs` has two.

    https://github.com/state-spaces/mamba/issues/110; the preparation of the steps is in it.
    """
    return 9 * tokens * channels * state_dim


def _flops(u_shape: Any, _delta: Any, rates_shape: Any, *_: Any, out_shape: Any = None) -> int:  # noqa: ARG001
    batch, channels, tokens = u_shape
    return 2 * int(batch) * scan_macs(tokens, channels, rates_shape[1])


def _backward_flops(_grad: Any, u_shape: Any, _delta: Any, rates_shape: Any, *_: Any, out_shape: Any = None) -> int:  # noqa: ARG001
    """Seven multiply-adds a state: it and its adjoint, and one for each of rates, write, read, u and delta."""
    batch, channels, tokens = u_shape
    return 2 * int(7 * batch * tokens * channels * rates_shape[1])


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001 - the protocol names it
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = selective_scan_backward(grad, *ctx.saved_tensors)
    return gradients


selective_scan.register_fake(lambda u, *_: u.new_empty(u.shape))
selective_scan_backward.register_fake(lambda _, *inputs: tuple(x.new_empty(x.shape) for x in inputs))
selective_scan.register_autograd(_differentiate, setup_context=_save)
if torch.ops.vbench.selective_scan not in flop_registry:
    register_flop_formula(torch.ops.vbench.selective_scan)(_flops)
if torch.ops.vbench.selective_scan_backward not in flop_registry:
    register_flop_formula(torch.ops.vbench.selective_scan_backward)(_backward_flops)
