"""Memory observed around one call, in a pass of its own: of the process, and of its tensors where torch tells.

CPU: the kernel's high-water mark of resident memory (VmHWM), which writing 5 to /proc/self/clear_refs sets back to
what is resident now. CUDA: what the allocator reserved, and what it handed out to tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes at the highest point of one call."""

    process_bytes: int
    tensor_bytes: int | None  # None: this device does not tell


def peak_on_cpu(run: Callable[[], object]) -> Peak:
    """The process's resident peak while `run` runs."""
    Path("/proc/self/clear_refs").write_text("5")
    run()
    return Peak(status_bytes("VmHWM"), None)


def peak_on_cuda(run: Callable[[], object]) -> Peak:
    """What the allocator reserved and what tensors occupied at most while `run` runs."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return Peak(torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated())


PEAKS = {"cpu": peak_on_cpu, "cuda": peak_on_cuda}


def status_bytes(field: str) -> int:
    """A memory field of /proc/self/status, such as VmRSS or VmHWM."""
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, f"the kernel reports no {field}"
    return int(match[1]) * 1024
