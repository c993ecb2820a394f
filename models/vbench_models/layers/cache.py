"""Work done in parts, so that what lies between two operators stays in a CPU's cache.

A tensor larger than the cache goes to memory and back with every operator that touches it. One larger than 32 MiB is
also returned to the system when it is freed (glibc maps such blocks by themselves), and the pages of the next one have
to be mapped and cleared again: on a virtual machine that takes six times as long as copying them. Work in parts of a
few MiB pays neither, and gives the same result.

Nothing is cut on a GPU, whose memory is fast, whose allocator keeps what it has, and which small kernels leave idle.
Nor on meta tensors or while a graph is traced: counts are those of whole work. Fake tensors are cut as those of the
device that they stand for, so that predictions of memory are, too.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

CACHED_VALUES = 2**19  # 2 MiB in single precision for each thread: about a core's own cache

_CUTS = ContextVar("cuts", default=True)


@contextmanager
def whole_work() -> Iterator[None]:
    """Cut nothing: for figures of an algorithm, whatever the machine that runs it."""
    token = _CUTS.set(False)
    try:
        yield
    finally:
        _CUTS.reset(token)


def rows_at_once(device: torch.device, rows: int, values: int) -> int:
    """How many of `rows` to treat at once, of which each makes `values` values: all of them, or as many as stay cached.

    At least one, however large it is; more where there are more threads to share them.
    """
    whole = device.type != "cpu" or torch.compiler.is_compiling() or not _CUTS.get()
    return rows if whole else max(1, min(rows, CACHED_VALUES * torch.get_num_threads() // values))


def in_parts(function: Callable[..., Tensor], rows: int, *tensors: Tensor, dim: int) -> Tensor:
    """The value of `function(*tensors)`, which treats each row along `dim` alone, `rows` of them at a time."""
    if tensors[0].shape[dim] <= rows:
        return function(*tensors)
    parts = zip(*(torch.split(x, rows, dim) for x in tensors), strict=True)
    return torch.cat(one_by_one(function, parts), dim)


def one_by_one(function: Callable[..., Tensor], parts: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
    """What `function` makes of each part."""
    return [function(*part) for part in parts]
