"""Memory observed around one call, in passes of their own: of the process, and of its tensors.

CPU: the kernel's high-water mark of resident memory (VmHWM), which writing 5 to /proc/self/clear_refs sets back to
what is resident now; and, in a run after that one, every block that torch's CPU allocator hands out and takes back,
those inside operators and oneDNN's scratch included, from the memory events of torch.profiler. CUDA: what the allocator
reserved, and what it handed out to tensors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._pytree import tree_leaves

MEMORY_EVENT = "[memory]"
Held = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the highest point of one call."""

    process_bytes: int
    tensor_bytes: int | None  # what was held before the call included; None: not watched


def peak_on_cpu(run: Callable[[], object], held: Held | None) -> Peak:
    """The resident peak of the process while `run` runs, and that of its tensors while it runs again.

    `held` gives the tensors that are alive before and after a run: parameters, buffers, inputs, optimiser state; with
    None there is no second run.
    """
    process_bytes = resident_peak(run)
    return Peak(process_bytes, None if held is None else bytes_of(held()) + allocated_peak(run))


def resident_peak(run: Callable[[], object]) -> int:
    """Bytes of the process that are resident at most while `run` runs."""
    Path("/proc/self/clear_refs").write_text("5")
    run()
    return status_bytes("VmHWM")


def reserved_peak(run: Callable[[], object]) -> int:
    """Bytes that the CUDA allocator has reserved at most while `run` runs."""
    return peak_on_cuda(run, None).process_bytes


PROCESS_PEAKS = {"cpu": resident_peak, "cuda": reserved_peak}


def peak_on_cuda(run: Callable[[], object], held: Held | None) -> Peak:  # noqa: ARG001 - the allocator knows
    """What the allocator reserved and what tensors occupied at most while `run` runs."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return Peak(torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated())


PEAKS = {"cpu": peak_on_cpu, "cuda": peak_on_cuda}


def allocated_peak(run: Callable[[], object]) -> int:
    """Bytes that torch's CPU allocator had handed out during `run` at most, beyond those before it.

    A block that was there before and is given back during the run does not count: the allocator has no record of it.
    """
    live = peak = 0
    for size in allocated_in_order(run):
        live += size
        peak = max(peak, live)
    return peak


def allocated_in_order(run: Callable[[], object]) -> list[int]:
    """Bytes of every block that torch's CPU allocator hands out during `run`, less than 0 where it takes one back."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler would say on stderr that it starts and ends
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        run()
    assert profiled.profiler is not None
    recorded = profiled.profiler.kineto_results
    assert recorded is not None
    events = [(event.start_ns(), event.nbytes()) for event in recorded.events() if event.name() == MEMORY_EVENT]
    return [size for _, size in sorted(events, key=lambda event: event[0])]


def bytes_of(tensors: object) -> int:
    """Bytes of all tensors in a tree, each storage once."""
    leaves: Iterable[Tensor] = (leaf for leaf in tree_leaves(tensors) if isinstance(leaf, Tensor))
    storages = (leaf.untyped_storage() for leaf in leaves)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def status_bytes(field: str) -> int:
    """A memory field of /proc/self/status, such as VmRSS or VmHWM."""
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, f"the kernel reports no {field}"
    return int(match[1]) * 1024
