"""The flag on made-up snapshots, and the clocks of this machine beside a real neighbour."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from vbench.measure.quality import LIMITS, disturbance, judged, quality
from vbench.measure.snapshot import Snapshot, ThreadClock, snapshot

BEFORE = Snapshot(
    wall_s=100, cores=2, idle_s=50, steal_s=1, own_s=10, involuntary_switches=0, major_faults=7,
    threads={1: ThreadClock(ran_s=5, waited_s=1), 2: ThreadClock(ran_s=5, waited_s=1)},
    cpu_pressure_s=3, memory_pressure_s=0, swapped_pages=0, clock_hz=3e9, heat_events=0, accelerator_slowed_s=0,
)  # fmt: skip


def after(ran_s: float = 2.0, waited_s: float = 0.0, more_threads: int = 0, **elapsed: float) -> Snapshot:
    """Two seconds later, both cores ours, and what else the test says happened."""
    elapsed = {"wall_s": 2.0, "own_s": 4.0} | elapsed
    threads = {tid: ThreadClock(ran_s=5 + ran_s, waited_s=1 + waited_s) for tid in (1, 2)}
    threads |= {3 + tid: ThreadClock(ran_s=ran_s, waited_s=waited_s) for tid in range(more_threads)}
    moved = {name: getattr(BEFORE, name) + value for name, value in elapsed.items()}
    return replace(BEFORE, threads=threads, **moved)


def test_a_process_that_had_the_machine_to_itself_is_clean() -> None:
    assert quality(BEFORE, after()) == "clean"


def test_an_idle_core_beside_a_thread_is_clean() -> None:
    assert quality(BEFORE, after(idle_s=2.0, own_s=2.0)) == "clean"


@pytest.mark.parametrize(
    ("happened", "word"),
    [
        ({"own_s": 2.98}, "other processes used 0.50 cores"),
        ({"steal_s": 0.22, "own_s": 3.78}, "the hypervisor took 5% of the processor"),
        ({"waited_s": 0.2}, "its threads waited for a processor 10.0% of the time"),
        ({"cpu_pressure_s": 0.5}, "tasks waited for a processor 25% of the time"),
        ({"memory_pressure_s": 0.1}, "tasks waited for memory 5.0% of the time"),
        ({"involuntary_switches": 800}, "each thread was put aside 200 times a second"),
        ({"major_faults": 3}, "3 pages were read from disk"),
        ({"swapped_pages": 9}, "9 pages were swapped"),
        ({"clock_hz": -6e8}, "the processor's clock changed by 20%"),
        ({"heat_events": 1}, "a hot core was slowed down 1 times"),
        ({"accelerator_slowed_s": 0.5}, "the accelerator was slowed down 25% of the time"),
    ],
)
def test_each_disturbance_is_named_with_its_size_and_alone(happened: dict[str, float], word: str) -> None:
    assert quality(BEFORE, after(**happened)) == f"noisy: {word}"


def test_every_limit_has_a_figure_and_every_reason_is_told() -> None:
    figures = disturbance(BEFORE, after())
    assert set(LIMITS) <= set(figures)
    assert judged(dict.fromkeys(LIMITS, 1e9)).count(";") == len(LIMITS) - 1


def test_what_a_system_does_not_tell_is_left_out_and_not_judged() -> None:
    unknown = {"cpu_pressure_s": math.nan, "swapped_pages": math.nan, "clock_hz": math.nan, "threads": {}}
    blind = disturbance(replace(BEFORE, **unknown), replace(after(), **unknown))
    assert not {"cpu_pressure", "swapped_pages", "clock_hz", "clock_change", "waited_fraction"} & set(blind)
    assert judged(blind) == "clean"


def test_a_short_disturbance_below_the_ticks_of_the_kernel_is_seen() -> None:
    short = after(wall_s=0.1, own_s=0.19, ran_s=0.095, waited_s=0.005)
    assert disturbance(BEFORE, short)["others_cores"] == 0
    assert "its threads waited" in quality(BEFORE, short)


def test_a_process_with_more_busy_threads_than_cores_is_not_blamed_for_its_own_waits() -> None:
    crowded = after(ran_s=1.0, waited_s=1.0, more_threads=2, cpu_pressure_s=2.0, involuntary_switches=2000)
    assert quality(BEFORE, crowded) == "clean"
    assert "waited" in quality(BEFORE, replace(crowded, cores=4, idle_s=54))


def test_threads_that_only_wait_for_work_are_not_busy() -> None:
    pool = dict(after().threads) | {9: ThreadClock(ran_s=0.001, waited_s=0)}
    assert disturbance(BEFORE, replace(after(), threads=pool))["busy_threads"] == 2


@pytest.mark.parametrize("clock", ["wall_s", "idle_s", "own_s", "steal_s", "involuntary_switches", "major_faults"])
def test_the_clocks_of_this_machine_go_forward(clock: str) -> None:
    first = snapshot()
    sum(range(3_000_000))
    assert getattr(snapshot(), clock) >= getattr(first, clock)


def test_own_work_shows_as_own_and_as_a_busy_thread() -> None:
    first = snapshot()
    _work(0.3)
    second = snapshot()
    assert second.own_s > first.own_s
    assert second.cores == os.cpu_count()


def test_a_machine_without_a_card_tells_nothing_of_its_throttling() -> None:
    seen = snapshot("cuda")
    assert math.isnan(seen.accelerator_slowed_s)
    assert "accelerator_slowed_fraction" not in disturbance(seen, snapshot("cuda"))


def test_a_card_s_violation_times_are_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    nanoseconds = {"heat": 2_000_000_000, "board": 500_000_000}
    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        NVML_PERF_POLICY_THERMAL="heat",
        NVML_PERF_POLICY_BOARD_LIMIT="board",
        nvmlDeviceGetViolationStatus=lambda card, policy: SimpleNamespace(
            violationTime=nanoseconds[policy] * (card == "GPU-7")
        ),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=7))
    assert snapshot("cuda").accelerator_slowed_s == 2.5
    assert math.isnan(snapshot("cpu").accelerator_slowed_s)


@contextmanager
def burners_on_this_core() -> Iterator[None]:
    """Three processes that never rest, pinned with this one to one core: whatever else runs, there is a queue."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
        os.sched_setaffinity(0, allowed)


def test_a_real_neighbour_is_seen_by_the_queue_of_this_thread_and_by_its_load() -> None:
    with burners_on_this_core():
        before = snapshot()
        _work(1.0)
        after_work = snapshot()
    seen = disturbance(before, after_work)
    assert seen["waited_fraction"] > LIMITS["waited_fraction"][0]
    assert seen["others_cores"] > LIMITS["others_cores"][0]
    told = quality(before, after_work)
    assert told.startswith("noisy: other processes used")
    assert "its threads waited for a processor" in told


def _work(least_s: float) -> None:
    end_s = time.monotonic() + least_s
    while time.monotonic() < end_s:
        pass
