"""What a clock can tell: its resolution and its cost, seen in the process that times; and the block that follows.

A sample must be long enough that neither matters: both together stay under 0.1 % of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from vbench.measure.protocol import StopRule
from vbench.stats import median

Clock = Callable[[Callable[[], object], int], float]  # seconds of one call, the mean over a block of calls

READINGS, WAKING, MOST_READINGS = 220, 20, 20_000
LARGEST_ERROR = 1e-3  # of a sample: resolution and cost together
PROMISED_S = {
    "cpu": time.get_clock_info("perf_counter").resolution,
    "cuda": 5e-7,  # "resolution of around 0.5 microseconds": CUDA runtime API, cudaEventElapsedTime
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """The smallest step that a clock makes, and what timing nothing takes, in seconds."""

    resolution_s: float
    cost_s: float


def observed_timer(clock: Clock, device: str) -> Timer:
    """Time nothing many times over.

    The smallest difference between two such samples is the clock's step, where it shows one larger than its system
    promises; their median is the cost.
    """
    empty_s = sorted(_empty_samples_s(clock))
    steps_s = [later - earlier for earlier, later in pairwise(empty_s) if later > earlier]
    return Timer(resolution_s=max(PROMISED_S[device], min(steps_s, default=0.0)), cost_s=median(empty_s))


def _empty_samples_s(clock: Clock) -> list[float]:
    """Samples that hold nothing: without the first ones, which wake code and stream; more where the clock stands."""
    samples_s: list[float] = []
    while len(samples_s) < READINGS or (len(samples_s) < MOST_READINGS and samples_s[-1] == 0):
        samples_s.append(round(clock(_nothing, 1), 12))
    return samples_s[WAKING:]


def block_for(forward_s: float, timer: Timer, rule: StopRule) -> int:
    """Forwards in a sample: so many that the clock's error stays under 0.1 % of it.

    And so many that the least time of a process holds no more samples than a process may keep. `forward_s` is one
    forward as this clock shows it.
    """
    wanted_s = max((timer.resolution_s + timer.cost_s) / LARGEST_ERROR, rule.min_time_s / rule.max_samples)
    return max(1, math.ceil(wanted_s / max(forward_s - timer.cost_s, timer.resolution_s) - 1e-6))


def _nothing() -> None:
    """What an empty sample holds."""
