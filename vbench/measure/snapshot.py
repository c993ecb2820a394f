"""The system's own clocks and counters at one moment: what a measurement is judged by.

The tick counters of /proc/stat move in steps of 10 ms and miss short disturbances. Beside them stand counters in
nanoseconds or microseconds: how long each thread of this process waited on a run queue (/proc/self/task/*/schedstat,
Documentation/scheduler/sched-stats.rst), and how long tasks anywhere waited for a processor or for memory
(/proc/pressure, Documentation/accounting/psi.rst). What a system does not tell is NaN, never 0.
"""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vbench.stats import UNKNOWN

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadClock:
    """How long one thread ran, and how long it stood on a run queue, ready and waiting."""

    ran_s: float
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Clocks in seconds and counters since some fixed time; only differences of two snapshots mean anything."""

    wall_s: float
    cores: int
    idle_s: float  # of all cores together, input and output waits included
    steal_s: float  # taken by the hypervisor, of all cores together
    own_s: float  # this process, all its threads, and those of other ranks
    involuntary_switches: int
    major_faults: int
    threads: Mapping[int, ThreadClock] = field(default_factory=dict)
    cpu_pressure_s: float = UNKNOWN  # some task, anywhere, waited for a processor
    memory_pressure_s: float = UNKNOWN
    swapped_pages: float = UNKNOWN
    clock_hz: float = UNKNOWN  # of the fastest core now
    heat_events: float = UNKNOWN  # times that a core was slowed down because it was hot
    accelerator_slowed_s: float = UNKNOWN  # by heat or by the limits of its board


def snapshot(device: str = "cpu", other_ranks: Iterable[int] = ()) -> Snapshot:
    """Read the clocks now; the processes `other_ranks` are no neighbours, but at the same work."""
    ticks = Path("/proc/stat").read_text()
    _user, _nice, _system, idle, iowait, _irq, _softirq, steal = ticks.split("\n", 1)[0].split()[1:9]
    own = resource.getrusage(resource.RUSAGE_SELF)
    return Snapshot(
        wall_s=time.monotonic(),
        cores=len(re.findall(r"^cpu\d+ ", ticks, re.MULTILINE)),
        idle_s=(int(idle) + int(iowait)) * TICK_S,
        steal_s=int(steal) * TICK_S,
        own_s=own.ru_utime + own.ru_stime + sum(map(_used_s, other_ranks)),
        involuntary_switches=own.ru_nivcsw,
        major_faults=own.ru_majflt,
        threads=_threads(),
        cpu_pressure_s=_pressure_s("cpu"),
        memory_pressure_s=_pressure_s("memory"),
        swapped_pages=_swapped_pages(),
        clock_hz=_clock_hz(),
        heat_events=_heat_events(),
        accelerator_slowed_s=_accelerator_slowed_s() if device == "cuda" else UNKNOWN,
    )


def _used_s(process: int) -> float:
    with suppress(psutil.NoSuchProcess):
        used = psutil.Process(process).cpu_times()
        return float(used.user + used.system)
    return 0.0


def _threads() -> dict[int, ThreadClock]:
    found = {}
    for task in Path("/proc/self/task").iterdir():
        words = _text(task / "schedstat").split()
        if len(words) == 3:
            found[int(task.name)] = ThreadClock(ran_s=int(words[0]) * 1e-9, waited_s=int(words[1]) * 1e-9)
    return found


def _pressure_s(what: str) -> float:
    """Seconds during which some task waited for `what`; /proc/pressure counts them in microseconds."""
    found = re.search(r"^some .*total=(\d+)", _text(Path("/proc/pressure") / what), re.MULTILINE)
    return int(found[1]) * 1e-6 if found else UNKNOWN


def _swapped_pages() -> float:
    found = re.findall(r"^pswp(?:in|out) (\d+)$", _text(Path("/proc/vmstat")), re.MULTILINE)
    return float(sum(map(int, found))) if found else UNKNOWN


def _clock_hz() -> float:
    frequencies = psutil.cpu_freq(percpu=True) or []
    return max((frequency.current * 1e6 for frequency in frequencies), default=UNKNOWN)


def _heat_events() -> float:
    counters = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    return float(sum(counts)) if (counts := [int(_text(counter) or 0) for counter in counters]) else UNKNOWN


def _accelerator_slowed_s() -> float:
    """NVML's violation times (nanoseconds) of heat and of the board's limits; NaN without nvidia-ml-py or a card.

    Running at the power cap is no disturbance: it is the state that the load itself keeps the card in.
    """
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
        policies = (pynvml.NVML_PERF_POLICY_THERMAL, pynvml.NVML_PERF_POLICY_BOARD_LIMIT)
        return sum(float(pynvml.nvmlDeviceGetViolationStatus(card, policy).violationTime) * 1e-9 for policy in policies)
    except Exception:  # no library, no driver, or a card that does not tell: not observed, and said so by NaN
        return UNKNOWN


def _text(path: Path) -> str:
    """The file's text; empty where there is none, or its thread has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
