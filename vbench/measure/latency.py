"""Timing one callable in this process: warm-up until flat, samples until precise, every sample kept.

CPU and CUDA stand side by side: the clock is the only difference. The figure of one process says little about the
next, so the stop rule is modest and the interval is taken over processes (`vbench.stats.median_interval`).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from vbench.measure.protocol import StopRule
from vbench.measure.timer import Clock, Timer, block_for, observed_timer
from vbench.stats import relative_median_error

Run = Callable[[], object]

SLOW_S = 10.0  # forwards over this get one warm-up and three samples


@dataclass(slots=True)
class Samples:
    """What timing gave, as it grows."""

    warmup_s: list[float] = field(default_factory=list)
    warmup_stop: str = ""
    latency_s: list[float] = field(default_factory=list)
    block: int = 1
    timer: Timer | None = None
    stop_reason: str = ""


def clock_cpu(run: Run, block: int) -> float:
    """Seconds of one call, the mean over `block` calls."""
    start = time.perf_counter_ns()
    for _ in range(block):
        run()
    return (time.perf_counter_ns() - start) * 1e-9 / block


def clock_cuda(run: Run, block: int) -> float:
    """Seconds of one call between two events of the stream, the mean over `block` calls."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(block):
        run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) * 1e-3 / block


CLOCKS = {"cpu": clock_cpu, "cuda": clock_cuda}


def warm_up(run: Run, device: str, rule: StopRule, samples: Samples, clock: Clock | None = None) -> None:
    """Call `run` until its time is flat, by the device's clock if none is given; a forward over 10 s is called once."""
    clock = clock or CLOCKS[device]
    while not (stop := _why_warm(samples.warmup_s, rule)):
        samples.warmup_s.append(clock(run, 1))
    samples.warmup_stop = stop


def _why_warm(warmup_s: list[float], rule: StopRule) -> str:
    """Why the warm-up is over; empty to go on.

    Flat is where the best of the last two is no faster than the best before them: one slow call ends nothing.
    """
    if warmup_s and warmup_s[-1] > SLOW_S:
        return "a slow forward"
    if len(warmup_s) < max(3, rule.min_warmups):
        return ""
    if sum(warmup_s) > rule.max_warmup_s:
        return "warm-up time used"
    is_flat = min(warmup_s[-2:]) >= (1 - rule.flat) * min(warmup_s[:-2])
    return "flat" if is_flat and sum(warmup_s) >= rule.min_warmup_s else ""


def take_samples(
    run: Run, device: str, rule: StopRule, samples: Samples, clock: Clock | None = None, *, deadline_s: float,
    tell: Callable[[float], None],
) -> None:  # fmt: skip
    """Time `run` until the median is precise, or time is up; `deadline_s` is on time.monotonic's clock.

    `tell` is given each sample of slow forwards, so that a time-out in a later one loses nothing.
    """
    clock = clock or CLOCKS[device]
    samples.timer = observed_timer(clock, device)
    samples.block = block_for(min(samples.warmup_s), samples.timer, rule)
    started = time.monotonic()
    with _no_garbage_collection():
        while not samples.stop_reason:
            samples.latency_s.append(clock(run, samples.block))
            if samples.latency_s[-1] > 0.1:
                tell(samples.latency_s[-1])
            now = time.monotonic()
            samples.stop_reason = _stop_reason(samples.latency_s, rule, now - started, now > deadline_s)


def _stop_reason(latency_s: list[float], rule: StopRule, elapsed_s: float, out_of_time: bool) -> str:
    """Why to stop now; empty to go on."""
    slow = latency_s[-1] > SLOW_S
    if len(latency_s) >= rule.slow_samples and (slow or out_of_time):
        return "time-out" if out_of_time else "three samples of a slow forward"
    if len(latency_s) < rule.min_samples or elapsed_s < rule.min_time_s:
        return ""
    if len(latency_s) % 5 == 0 and relative_median_error(latency_s) <= rule.precision:
        return "precise"
    if elapsed_s > rule.max_time_s:
        return "time per process used"
    return "samples per process used" if len(latency_s) >= rule.max_samples else ""


def few_samples(run: Run, device: str, rule: StopRule, clock: Clock | None = None) -> tuple[float, ...]:
    """Seconds of what is seen beside the cell's own latency: three samples at least, after one that does not count."""
    clock, taken = clock or CLOCKS[device], list[float]()
    clock(run, 1)
    with _no_garbage_collection():
        while len(taken) < rule.slow_samples or (len(taken) < rule.max_samples and sum(taken) < rule.max_time_s):
            taken.append(clock(run, 1))
    return tuple(taken)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector out of the samples; a collection beforehand would cost 0.2 s over torch's own objects."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
