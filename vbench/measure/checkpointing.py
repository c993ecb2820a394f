"""Activation checkpointing, block by block: the backward computes a block's activations again instead of keeping them.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174, as
`torch.utils.checkpoint` does it without re-entering autograd. It wraps the blocks that a network repeats
(`repeated_blocks`), so that it works on networks that know nothing of it; names of parameters stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from vbench.errors import AxisError
from vbench.measure.repeated_blocks import repeated_blocks


def checkpoint_blocks(network: nn.Module) -> None:
    """Let every repeated block of the network forget its activations.

    Raises:
        AxisError: the network repeats no block.
    """
    blocks = repeated_blocks(network)
    if not blocks:
        raise AxisError("checkpointing needs repeated blocks, and this network has no list of them; it takes off")
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)


def _recomputed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    return checkpoint(forward, *inputs, use_reentrant=False, **options)
