"""What a network keeps of a stream between two clips: nested tuples of tensors, passed in and returned."""

from __future__ import annotations

from torch import Tensor


def state_bytes(memory: object) -> int:
    """Bytes of every tensor in nested tuples.

    Raises:
        TypeError: something in it is neither a tensor nor a tuple, so that its size is not known.
    """
    if isinstance(memory, Tensor):
        return memory.numel() * memory.element_size()
    if isinstance(memory, tuple):
        return sum(map(state_bytes, memory))
    raise TypeError(f"a stream's memory is made of tuples and tensors; got {type(memory).__name__}")
