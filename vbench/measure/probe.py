"""A small fixed task that tells how fast this machine is right now, whatever the cell beside it.

A product of matrices speaks for the arithmetic units and their clock, a copy for caches and memory. The processes of
one cell run within seconds of each other and share the machine's mood of these seconds, which their own spread cannot
show: what the probe does from cell to cell shows it (`vbench.analysis.drift`).
"""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vbench.stats import median

PRODUCT, COPY = 160, 2**20  # rows and columns; numbers (8 MiB, more than a core's own caches hold)
TIMES = 15


class Probe:
    """The fixed task, its operands allocated and touched.

    They lie in mappings of their own: taken from the allocator, they would change where the network's tensors lie.
    """

    def __init__(self) -> None:
        self._a, self._b, self._c = (_mapped((PRODUCT, PRODUCT)) for _ in range(3))
        self._source, self._copy = (_mapped((COPY,)) for _ in range(2))

    def __call__(self) -> tuple[float, float]:
        """Seconds of one product and of one copy: each the median of a few."""
        with torch.inference_mode():
            return _median_s(lambda: torch.mm(self._a, self._b, out=self._c)), _median_s(
                lambda: self._copy.copy_(self._source)
            )


def _mapped(shape: tuple[int, ...]) -> Tensor:
    """Ones in double precision, which no setting for float32 products touches."""
    memory = mmap.mmap(-1, 8 * math.prod(shape))
    return torch.frombuffer(memory, dtype=torch.float64).view(shape).fill_(1.0)


def _median_s(work: Callable[[], object]) -> float:
    samples_s = []
    for _ in range(TIMES + 1):
        start = time.perf_counter_ns()
        work()
        samples_s.append((time.perf_counter_ns() - start) * 1e-9)
    return median(samples_s[1:])
