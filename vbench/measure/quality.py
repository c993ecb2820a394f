"""How quiet the machine was while a process took its samples: a flag with its reason, never a silent guess.

Two snapshots make figures, which the record keeps; figures over their limits make the flag. A process with more
busy threads than cores makes its own threads wait: what it cannot tell from a neighbour is then not judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vbench.measure.snapshot import TICK_S, Snapshot

BUSY = 0.05  # a thread that ran this fraction of the time counts as busy

LIMITS = {
    "others_cores": (0.15, "other processes used {:.2f} cores"),
    "steal_fraction": (0.02, "the hypervisor took {:.0%} of the processor"),
    "waited_fraction": (0.03, "its threads waited for a processor {:.1%} of the time"),
    "cpu_pressure": (0.10, "tasks waited for a processor {:.0%} of the time"),
    "memory_pressure": (0.01, "tasks waited for memory {:.1%} of the time"),
    "involuntary_switches_per_s": (100.0, "each thread was put aside {:.0f} times a second"),
    "major_faults": (0, "{:.0f} pages were read from disk"),
    "swapped_pages": (0, "{:.0f} pages were swapped"),
    "clock_change": (0.10, "the processor's clock changed by {:.0%}"),
    "heat_events": (0, "a hot core was slowed down {:.0f} times"),
    "accelerator_slowed_fraction": (0.01, "the accelerator was slowed down {:.0%} of the time"),
}  # the most that a clean measurement may have, and the words for more

_OWN_MAKING = ("waited_fraction", "cpu_pressure", "involuntary_switches_per_s")


def quality(before: Snapshot, after: Snapshot) -> str:
    """`clean`, or `noisy: ` and what disturbed the measurement between the two snapshots."""
    return judged(disturbance(before, after))


def judged(figures: Mapping[str, float]) -> str:
    """`clean`, or `noisy: ` and which figures are over their limits; a figure that is not there is not judged."""
    reasons = [words.format(figures[name]) for name, (limit, words) in LIMITS.items() if figures.get(name, 0) > limit]
    return f"noisy: {'; '.join(reasons)}" if reasons else "clean"


def disturbance(before: Snapshot, after: Snapshot) -> dict[str, float]:
    """What happened beside the measurement; a figure that this system does not tell is left out.

    `others_cores` and `busy_threads` are counts, `..._fraction` and the pressures shares of the time, `clock_hz` is
    the fastest core's after the samples.
    """
    wall_s = max(after.wall_s - before.wall_s, TICK_S)
    busy = busy_threads(before, after)
    switches = (after.involuntary_switches - before.involuntary_switches) / wall_s
    figures = {
        "others_cores": _others_s(before, after) / wall_s,
        "steal_fraction": max(0.0, after.steal_s - before.steal_s - 2 * TICK_S) / wall_s / after.cores,
        "busy_threads": busy,
        "waited_fraction": _waited_s(before, after) / wall_s / max(1, busy),
        "cpu_pressure": (after.cpu_pressure_s - before.cpu_pressure_s) / wall_s,
        "memory_pressure": (after.memory_pressure_s - before.memory_pressure_s) / wall_s,
        "involuntary_switches_per_s": switches / max(1, busy),
        "major_faults": after.major_faults - before.major_faults,
        "swapped_pages": after.swapped_pages - before.swapped_pages,
        "clock_hz": after.clock_hz,
        "clock_change": abs(after.clock_hz / before.clock_hz - 1) if before.clock_hz else math.nan,
        "heat_events": after.heat_events - before.heat_events,
        "accelerator_slowed_fraction": (after.accelerator_slowed_s - before.accelerator_slowed_s) / wall_s,
    }
    of_own_making = _OWN_MAKING if busy > after.cores else ()
    return {
        name: round(value, 6) for name, value in figures.items() if not math.isnan(value) and name not in of_own_making
    }


def busy_threads(before: Snapshot, after: Snapshot) -> int:
    """Threads of this process that ran for more than a moment."""
    least_s = BUSY * (after.wall_s - before.wall_s)
    return sum(clock.ran_s - _earlier_s(before, thread, "ran_s") > least_s for thread, clock in after.threads.items())


def _waited_s(before: Snapshot, after: Snapshot) -> float:
    if not after.threads:
        return math.nan
    return sum(clock.waited_s - _earlier_s(before, thread, "waited_s") for thread, clock in after.threads.items())


def _earlier_s(before: Snapshot, thread: int, clock: str) -> float:
    return getattr(before.threads[thread], clock) if thread in before.threads else 0.0


def _others_s(before: Snapshot, after: Snapshot) -> float:
    """Processor time that was neither idle, stolen nor ours; the kernel's counters are cut to ticks.

    Idle time is counted exactly by the kernel, busy time by what a tick happens to hit: so others are what is left.
    """
    wall_s, idle_s = after.wall_s - before.wall_s, after.idle_s - before.idle_s
    left_s = after.cores * wall_s - idle_s - (after.steal_s - before.steal_s) - (after.own_s - before.own_s)
    return max(0.0, left_s - 2 * TICK_S)
