"""How far one output is from another, and how many bytes a network takes when it is saved."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vbench.errors import BackendError

if TYPE_CHECKING:
    from typing_extensions import Buffer


def distance(output: object, reference: object) -> float:
    """||y - r|| / ||r|| over all numbers that both hold, in double precision.

    `output` and `reference` are trees of tensors, or of arrays, of the same shapes.

    Raises:
        BackendError: they do not hold the same tensors.
    """
    ours, theirs = list(_values(output)), list(_values(reference))
    if [x.shape for x in ours] != [x.shape for x in theirs]:
        shapes = [", ".join(str(tuple(x.shape)) for x in values) for values in (ours, theirs)]
        raise BackendError(f"it returns tensors of shapes {shapes[0]}; eager returns {shapes[1]}")
    apart = math.sqrt(sum(float((y - r).square().sum()) for y, r in zip(ours, theirs, strict=True)))
    return apart / (math.sqrt(sum(float(r.square().sum()) for r in theirs)) or 1.0)


def serialized_bytes(network: nn.Module) -> int:
    """Bytes of the state dict in the file that `torch.save` would write; nothing is written."""
    scale = _Scale()
    torch.save(network.state_dict(), scale)
    return scale.weight


class _Scale(io.BytesIO):
    """A file that keeps nothing of what is written to it but the number of bytes."""

    weight = 0

    def write(self, content: Buffer, /) -> int:
        size = memoryview(content).nbytes
        self.weight += size
        return size


def _values(output: object) -> Iterator[Tensor]:
    """The floating-point tensors of a tree, in order, in double precision and on the CPU."""
    for leaf in tree_leaves(output):
        tensor = torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            yield tensor.detach().cpu().double()
