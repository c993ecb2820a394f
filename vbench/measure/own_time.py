"""A thread's own time: the wall clock less the time in which it was ready to run and another process had the core.

Linux tells that time, to the nanosecond, in the second field of /proc/thread-self/schedstat. Beside a neighbour the
wall time of a forward can double; its own time moves by what the caches are disturbed. Sleeping and waiting for a disk
or a lock stay in it: they are the forward's. What other threads of a forward wait does not come out, so that the clock
is at its best with one thread; where the kernel keeps no such record it is the wall clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from vbench.measure.latency import Run, clock_cuda
from vbench.measure.turns import Timed

SCHEDSTAT = "/proc/thread-self/schedstat"


class OwnTime:
    """The clock of the thread that makes it."""

    def __init__(self) -> None:
        try:
            self._record = os.open(SCHEDSTAT, os.O_RDONLY)
        except OSError:
            self._record = -1

    def __call__(self, run: Run, block: int) -> Timed:
        """Seconds of one call, the mean over `block` calls."""
        start_ns, queued_before_ns = self._now()
        for _ in range(block):
            run()
        end_ns, queued_after_ns = self._now()
        wall_ns = end_ns - start_ns
        own_ns = wall_ns - (queued_after_ns - queued_before_ns)
        return Timed(own_s=own_ns * 1e-9 / block, wall_s=wall_ns * 1e-9 / block)

    def _now(self) -> tuple[int, int]:
        """The wall clock and the record at one moment: the core was not lost between two equal readings."""
        while True:
            queued_ns, now_ns = self._queued_ns(), time.perf_counter_ns()
            if self._queued_ns() == queued_ns:
                return now_ns, queued_ns

    def _queued_ns(self) -> int:
        return int(os.pread(self._record, 64, 0).split()[1]) if self._record >= 0 else 0


def own_clock(device: str) -> Callable[[Run, int], Timed]:
    """The clock for forwards on `device`, made in the thread that runs them; CUDA's is its own stream's."""
    return OwnTime() if device == "cpu" else _stream_time


def _stream_time(run: Run, block: int) -> Timed:
    elapsed_s = clock_cuda(run, block)
    return Timed(own_s=elapsed_s, wall_s=elapsed_s)
