"""Stochastic depth in training: a block's residual is left out for some clips of the batch, and scaled up for the rest.

Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, https://arxiv.org/abs/1603.09382, eq. 2 and 5:
x + b / (1 - p) (block(x) - x), where b is 0 with probability p and p rises linearly with depth. The catalog's networks
leave it out, since it acts in training only; here it is put around the blocks that a network repeats, whole. The
published recipes drop the two halves of a transformer block apart, which costs one element-wise pass more.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from vbench.measure.repeated_blocks import repeated_blocks

LARGEST_RATE = 0.1  # of the last block: that of TimeSformer's and Video Swin-T's recipes


def drop_paths(network: nn.Module, largest_rate: float = LARGEST_RATE) -> None:
    """Leave out residuals of the network's repeated blocks while it is in training mode; without such, do nothing."""
    blocks = repeated_blocks(network)
    for index, block in enumerate(blocks):
        rate = largest_rate * index / (len(blocks) - 1)
        if rate:
            block.register_forward_hook(partial(_drop, rate))


def _drop(rate: float, block: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
    """The block's output with its residual dropped or scaled, clip by clip; None, as it is, where shapes differ."""
    x = inputs[0] if inputs else None
    if not (block.training and isinstance(x, Tensor) and isinstance(output, Tensor) and x.shape == output.shape):
        return None
    kept = x.new_empty((len(x), *(1 for _ in x.shape[1:]))).bernoulli_(1 - rate).div_(1 - rate)
    return x + kept * (output - x)
