"""The stop rules, on a clock of the test's own: nothing here waits or asserts a time."""

import itertools
from collections.abc import Iterator

import pytest

from vbench.measure import latency
from vbench.measure.latency import Samples, take_samples, warm_up
from vbench.measure.protocol import StopRule
from vbench.measure.timer import Timer, block_for, observed_timer


class FakeTime:
    """A clock that a forward moves on by what the test says, and a reading by its own cost; it shows whole steps."""

    def __init__(self, forwards_s: Iterator[float], step_s: float = 1e-9, cost_s: float = 0.0) -> None:
        self.now_s = 0.0
        self._forwards_s, self._step_s, self._cost_s = forwards_s, step_s, cost_s

    def run(self) -> None:
        self.now_s += next(self._forwards_s)

    def perf_counter_ns(self) -> int:
        self.now_s += self._cost_s
        return round(round(self.now_s / self._step_s) * self._step_s * 1e9)

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch):
    def start(forwards_s: Iterator[float], deadline_s: float = 1e9, **clock_s: float) -> tuple[Samples, list[float]]:
        clock, samples, told = FakeTime(forwards_s, **clock_s), Samples(), []
        monkeypatch.setattr(latency, "time", clock)
        warm_up(clock.run, "cpu", StopRule(), samples)
        take_samples(clock.run, "cpu", StopRule(), samples, deadline_s=deadline_s, tell=told.append)
        return samples, told

    return start


def repeat(value: float) -> Iterator[float]:
    while True:
        yield value


def settling() -> Iterator[float]:
    yield from (0.2, 0.15, 0.1, 0.05)
    yield from repeat(0.02)


def alternating() -> Iterator[float]:
    while True:
        yield from (0.01, 0.02)


def test_warm_up_goes_on_while_each_forward_is_faster_than_all_before(timed) -> None:
    samples, _ = timed(settling())
    assert samples.warmup_s == pytest.approx([0.2, 0.15, 0.1, 0.05, 0.02, 0.02, 0.02])
    assert samples.warmup_stop == "flat"


def test_one_slow_call_does_not_end_the_warm_up() -> None:
    calls_s = iter([0.1, 0.08, 0.12, 0.06, 0.05, 0.05, 0.05])
    clock, samples = FakeTime(calls_s), Samples()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "time", clock)
        warm_up(clock.run, "cpu", StopRule(), samples)
    assert samples.warmup_s == pytest.approx([0.1, 0.08, 0.12, 0.06, 0.05, 0.05, 0.05])


def test_short_forwards_warm_up_for_a_least_time(timed) -> None:
    samples, _ = timed(repeat(1e-4))
    assert sum(samples.warmup_s) == pytest.approx(StopRule().min_warmup_s, abs=2e-4)


def test_warm_up_takes_about_a_second_at_most(timed) -> None:
    samples, _ = timed(0.4 * 0.9**call for call in itertools.count())
    assert sum(samples.warmup_s[:-1]) <= StopRule().max_warmup_s < sum(samples.warmup_s)
    assert samples.warmup_stop == "warm-up time used"


def test_equal_forwards_stop_as_precise_after_the_least_time(timed) -> None:
    samples, _ = timed(repeat(0.01))
    assert samples.stop_reason == "precise"
    assert sum(samples.latency_s) >= StopRule().min_time_s
    assert samples.latency_s == pytest.approx([0.01] * len(samples.latency_s))


def test_noise_goes_on_until_the_time_is_used(timed) -> None:
    samples, _ = timed(alternating())
    assert samples.stop_reason == "time per process used"
    assert sum(samples.latency_s) >= StopRule().max_time_s


def test_short_forwards_are_timed_in_blocks_so_that_their_samples_can_be_kept(timed) -> None:
    samples, _ = timed(repeat(1e-5))
    assert samples.block == round(StopRule().min_time_s / StopRule().max_samples / 1e-5)
    assert len(samples.latency_s) <= StopRule().max_samples + 5
    assert samples.latency_s == pytest.approx([1e-5] * len(samples.latency_s))


STRANGE_CLOCKS = [
    {"step_s": 1e-6, "cost_s": 5.3e-8},
    {"step_s": 1e-5, "cost_s": 1.03e-7},
    {"cost_s": 2e-6},
    {"cost_s": 5e-5},
]


@pytest.mark.parametrize("clock_s", STRANGE_CLOCKS)
@pytest.mark.parametrize("forward_s", [3e-5, 7e-4, 2e-2])
def test_whatever_the_clock_it_stays_under_a_thousandth_of_a_sample(timed, forward_s: float, clock_s) -> None:
    samples, _ = timed(repeat(forward_s), **clock_s)
    assert samples.timer is not None
    error_s = max(clock_s.get("step_s", 0), clock_s["cost_s"])
    assert samples.block * forward_s >= 1000 * error_s
    assert samples.latency_s == pytest.approx([forward_s] * len(samples.latency_s), rel=1.1e-3)


def test_a_sample_is_no_longer_than_the_clock_asks_for() -> None:
    coarse = Timer(resolution_s=1e-5, cost_s=0.0)
    assert block_for(0.011, coarse, StopRule()) == 1
    assert block_for(0.005, coarse, StopRule()) == 2


def test_the_timer_of_a_made_up_clock_is_the_one_that_was_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "time", FakeTime(repeat(0.0), step_s=1e-6, cost_s=2.5e-6))
    timer = observed_timer(latency.clock_cpu, "cpu")
    assert timer.resolution_s == pytest.approx(1e-6)
    assert timer.cost_s == pytest.approx(2.5e-6, abs=0.6e-6)


def test_this_machine_s_clock_tells_steps_and_costs_under_a_tenth_of_a_millisecond() -> None:
    timer = observed_timer(latency.clock_cpu, "cpu")
    assert 0 < timer.resolution_s <= timer.cost_s < 1e-4


def test_a_forward_over_ten_seconds_is_warmed_once_and_sampled_three_times(timed) -> None:
    samples, told = timed(repeat(12.0))
    assert len(samples.warmup_s) == 1
    assert samples.latency_s == pytest.approx([12.0] * 3)
    assert samples.stop_reason == "three samples of a slow forward"
    assert told == samples.latency_s


def test_a_time_out_with_three_samples_is_a_measurement(timed) -> None:
    samples, _ = timed(repeat(2.0), deadline_s=11.0)
    assert samples.stop_reason == "time-out"
    assert 3 <= len(samples.latency_s) < StopRule().min_samples


def test_only_slow_samples_are_told_as_they_come(timed) -> None:
    assert timed(repeat(0.01))[1] == []
    samples, told = timed(repeat(0.2))
    assert told == samples.latency_s
