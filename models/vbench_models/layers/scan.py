"""The selective scan as one operator, `vbench::selective_scan`: a linear recurrence whose steps depend on the data.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, sec. 3.2 and algorithm 2,
https://arxiv.org/abs/2312.00752. For every channel e and state s, along the tokens n:

    h[e, s, n] = exp(delta[e, n] rates[e, s]) h[e, s, n - 1] + delta[e, n] u[e, n] write[s, n]
    y[e, n]    = sum over s of read[s, n] h[e, s, n]

(the paper's A is `rates`, B `write`, C `read`). The implementation is plain torch for any device. Blocks of tokens
follow one another: on a CPU as many tokens as keep their states in its cache, in memory that all blocks share, because
fresh memory costs more than the arithmetic. Within a block there is one vector step a token, over all channels and
states; where those are too few to fill a step, lanes of tokens run side by side and are then joined. It is what can be
run without Mamba's CUDA kernel, not that kernel's equal.
"""

from collections.abc import Iterator
from math import ceil, isqrt, log
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import flop_registry, register_flop_formula

BLOCK_STATES = {"cpu": 2**19, "other": 2**26}  # in one block: 2 MiB in single precision on a CPU, else 256 MiB
STEP_STATES = {"cpu": 2**13, "other": 2**22}  # that a vector step should have to be worth its call
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
    y = torch.empty_like(u)  # laid out as `u` is, be it tokens or channels first
    for tokens, _, h in walk(u, delta, rates, write):
        y[..., tokens] = rearrange(tokens_first(read, tokens, h.dtype) @ h, "n b 1 e -> b e n")
    return y


@torch.library.custom_op("vbench::selective_scan_backward", mutates_args=(), schema=BACKWARD_SCHEMA)
def selective_scan_backward(  # noqa: PLR0917 - the operator's schema
    grad: Float[Tensor, "b e n"],
    u: Float[Tensor, "b e n"],
    delta: Float[Tensor, "b e n"],
    rates: Float[Tensor, "e s"],
    write: Float[Tensor, "b s n"],
    read: Float[Tensor, "b s n"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of all five inputs, block by block from the last to the first.

    On the way there only the states between blocks are kept; a block's own are computed again.
    """
    starts = [(tokens, start) for tokens, start, _ in walk(u, delta, rates, write)]
    buffers = memory(4, u, rates)
    later, rates_ = torch.zeros_like(buffers[0][0]), states_first(rates, buffers.dtype)
    of_u, of_delta, of_write, of_read = (x.new_empty(x.shape) for x in (u, delta, write, read))
    of_rates = torch.zeros_like(rates_)
    for tokens, start in reversed(starts):
        given = (tokens_first(x, tokens, later.dtype) for x in (grad, u, delta, write, read))
        *of_tokens, of_block, later = differentiate_(buffers, rates_, start, later, *given)
        of_rates += of_block
        for whole, part in zip((of_u, of_delta, of_write, of_read), of_tokens, strict=True):
            whole[..., tokens] = rearrange(part, "n b 1 c -> b c n")
    return of_u, of_delta, of_rates.mT.to(rates.dtype).contiguous(), of_write, of_read


def memory(count: int, u: Float[Tensor, "b e n"], rates: Float[Tensor, "e s"]) -> Float[Tensor, "count m b s e"]:
    """Room for the states of a block, `count` times, in single precision at least."""
    (batch, channels, n), states = u.shape, rates.shape[1]
    most = BLOCK_STATES["cpu" if u.device.type == "cpu" else "other"] // (batch * states * channels)
    dtype = torch.promote_types(u.dtype, torch.float32)
    return u.new_empty(count, max(1, min(n, most)), batch, states, channels, dtype=dtype)


def tokens_first(x: Float[Tensor, "b c n"], tokens: slice, dtype: torch.dtype) -> Float[Tensor, "m b 1 c"]:
    """Some tokens, laid out so that they meet states as `m b s e`."""
    return rearrange(x[..., tokens], "b c n -> n b 1 c").to(dtype).contiguous()


def states_first(rates: Float[Tensor, "e s"], dtype: torch.dtype) -> Float[Tensor, "s e"]:
    """The rates, laid out likewise."""
    return rates.mT.to(dtype).contiguous()


def walk(
    u: Float[Tensor, "b e n"], delta: Float[Tensor, "b e n"], rates: Float[Tensor, "e s"], write: Float[Tensor, "b s n"]
) -> Iterator[tuple[slice, Float[Tensor, "b s e"], Float[Tensor, "m b s e"]]]:
    """Block after block: which tokens, the state before them, and the states after each, to be read before the next."""
    decay, h = memory(2, u, rates)
    start, size, rates_ = torch.zeros_like(h[0]), len(h), states_first(rates, h.dtype)
    for tokens in (slice(first, first + size) for first in range(0, u.shape[-1], size)):
        x, step, write_ = (tokens_first(x, tokens, h.dtype) for x in (u, delta, write))
        decay, h = decay[: len(x)], h[: len(x)]
        advance_(decay, h, rates_, start, x, step, write_)
        yield tokens, start, h
        start = h[-1].clone()


def advance_(  # noqa: PLR0917 - what a block needs
    decay: Float[Tensor, "m b s e"],
    h: Float[Tensor, "m b s e"],
    rates: Float[Tensor, "s e"],
    start: Float[Tensor, "b s e"],
    u: Float[Tensor, "m b 1 e"],
    delta: Float[Tensor, "m b 1 e"],
    write: Float[Tensor, "m b 1 s"],
) -> None:
    """Fill `decay` with every step's and `h` with the states after it."""
    torch.mul(delta, rates / log(2), out=decay).exp2_()  # on a CPU, torch's exp takes three times as long
    torch.mul(delta * u, write.mT, out=h)
    recur_(decay, h, start)


def differentiate_(  # noqa: PLR0917 - what a block needs
    buffers: Float[Tensor, "4 size b s e"],
    rates: Float[Tensor, "s e"],
    start: Float[Tensor, "b s e"],
    later: Float[Tensor, "b s e"],
    grad: Float[Tensor, "m b 1 e"],
    u: Float[Tensor, "m b 1 e"],
    delta: Float[Tensor, "m b 1 e"],
    write: Float[Tensor, "m b 1 s"],
    read: Float[Tensor, "m b 1 s"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of u, delta, write and read in one block, what it adds to that of rates, and its own `later`.

    `later` is what the loss gains by the block's last state through the tokens after it. An adjoint, what it gains by a
    state in all, follows the recurrence of the states from the last token to the first.
    """
    decay, h, adjoint, spare = buffers[:, : len(u)]
    advance_(decay, h, rates, start, u, delta, write)
    backwards = torch.arange(len(u) - 1, -1, -1, device=u.device)
    following = torch.index_select(decay, 0, (backwards + 1) % len(u), out=spare)  # an adjoint fades by the next step
    following[0] = 1  # that step is in `later` already
    torch.mul(read.mT.flip(0), grad.flip(0), out=adjoint)
    recur_(following, adjoint, later)
    adjoint = torch.index_select(adjoint, 0, backwards, out=spare)
    of_read, of_write, written = grad @ h.mT, (delta * u) @ adjoint.mT, write @ adjoint
    of_log = decay.mul_(adjoint)  # times the state before the step: the gradient of delta rates, the decay's logarithm
    later = of_log[0].clone()
    of_log[1:].mul_(h[:-1])
    of_log[0].mul_(start)
    of_delta = u * written + reduce(torch.mul(of_log, rates, out=h), "m b s e -> m b 1 e", "sum")
    of_rates = reduce(of_log.mul_(delta), "m b s e -> s e", "sum")
    return delta * written, of_delta, of_write, of_read, of_rates, later


def recur_(decay: Float[Tensor, "n *rest"], h: Float[Tensor, "n *rest"], start: Float[Tensor, "*rest"]) -> None:
    """Add decay[i] h[i - 1] to each h[i] in turn, where h[-1] is `start`."""
    wanted = STEP_STATES["cpu" if h.device.type == "cpu" else "other"]
    lanes = min(isqrt(len(h)), wanted // start.numel())
    if lanes > 1:
        recur_in_lanes_(decay, h, start, lanes)
        return
    for fading, here in zip(decay.unbind(), h.unbind(), strict=True):
        start = here.addcmul_(fading, start)


def recur_in_lanes_(
    decay: Float[Tensor, "n *rest"], h: Float[Tensor, "n *rest"], start: Float[Tensor, "*rest"], lanes: int
) -> None:
    """The same with `lanes` stretches of tokens at once, each from zero, to which the state before it is added then."""
    n, size = len(h), ceil(len(h) / lanes)
    h[0].addcmul_(decay[0], start)
    filled = (F.pad(x, (0, 0) * (x.ndim - 1) + (0, lanes * size - n)) for x in (decay, h))  # a copy in any case
    since, states = (rearrange(x, "(lane i) ... -> i lane ...", lane=lanes) for x in filled)
    for i in range(1, size):
        states[i].addcmul_(since[i], states[i - 1])
        since[i].mul_(since[i - 1])  # from here on: the decay since the lane's start
    for lane in range(1, lanes):
        states[:, lane].addcmul_(since[:, lane], states[-1, lane - 1])
    h.copy_(rearrange(states, "i lane ... -> (lane i) ...")[:n])


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


selective_scan.register_fake(lambda u, *_: torch.empty_like(u))
selective_scan_backward.register_fake(lambda _, *inputs: tuple(x.new_empty(x.shape) for x in inputs))
selective_scan.register_autograd(_differentiate, setup_context=_save)
if torch.ops.vbench.selective_scan not in flop_registry:
    register_flop_formula(torch.ops.vbench.selective_scan)(_flops)
if torch.ops.vbench.selective_scan_backward not in flop_registry:
    register_flop_formula(torch.ops.vbench.selective_scan_backward)(_backward_flops)
