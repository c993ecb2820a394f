"""How quiet the machine was while a process measured: a flag with its reason, never a silent guess."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

OTHERS_CORES = 0.15  # cores that other processes may use on average
STEAL_FRACTION = 0.02  # of all cores' time, taken by the hypervisor
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The clocks that tell who used the processor, in seconds."""

    wall_s: float
    busy_s: float  # every process together
    steal_s: float
    own_s: float
    involuntary_switches: int


def snapshot() -> Snapshot:
    """Read the clocks now."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(ticks) * TICK_S for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Snapshot(
        wall_s=time.monotonic(),
        busy_s=user + nice + system + irq + softirq,
        steal_s=steal,
        own_s=own.ru_utime + own.ru_stime,
        involuntary_switches=own.ru_nivcsw,
    )


def quality(before: Snapshot, after: Snapshot) -> str:
    """`clean`, or `noisy: ` and what disturbed the measurement."""
    wall_s = max(after.wall_s - before.wall_s, TICK_S)
    slack_s = 2 * TICK_S  # the kernel's counters move in ticks
    others = (after.busy_s - before.busy_s - (after.own_s - before.own_s) - slack_s) / wall_s
    steal = (after.steal_s - before.steal_s - slack_s) / wall_s / (os.cpu_count() or 1)
    reasons = []
    if others > OTHERS_CORES:
        reasons.append(f"other processes used {others:.2f} cores")
    if steal > STEAL_FRACTION:
        reasons.append(f"the hypervisor took {steal:.0%} of the processor")
    return f"noisy: {'; '.join(reasons)}" if reasons else "clean"
