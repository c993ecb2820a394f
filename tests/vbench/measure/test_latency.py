"""The stop rules, on a clock of the test's own: nothing here waits or asserts a time."""

import itertools
from collections.abc import Iterator

import pytest

from vbench.measure import latency
from vbench.measure.latency import Samples, take_samples, warm_up
from vbench.measure.protocol import StopRule


class FakeTime:
    """A clock that a forward moves on by what the test says."""

    def __init__(self, forwards_s: Iterator[float]) -> None:
        self.now_s = 0.0
        self._forwards_s = forwards_s

    def run(self) -> None:
        self.now_s += next(self._forwards_s)

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch):
    def start(forwards_s: Iterator[float], deadline_s: float = 1e9) -> tuple[Samples, list[float]]:
        clock, samples, told = FakeTime(forwards_s), Samples(), []
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
    assert samples.warmup_s == pytest.approx([0.2, 0.15, 0.1, 0.05, 0.02, 0.02])


def test_warm_up_takes_about_a_second_at_most(timed) -> None:
    samples, _ = timed(0.4 * 0.9**call for call in itertools.count())
    assert sum(samples.warmup_s[:-1]) <= StopRule().max_warmup_s < sum(samples.warmup_s)


def test_equal_forwards_stop_as_precise_after_the_least_time(timed) -> None:
    samples, _ = timed(repeat(0.01))
    assert samples.stop_reason == "precise"
    assert sum(samples.latency_s) >= StopRule().min_time_s
    assert samples.latency_s == pytest.approx([0.01] * len(samples.latency_s))


def test_noise_goes_on_until_the_time_is_used(timed) -> None:
    samples, _ = timed(alternating())
    assert samples.stop_reason == "time per process used"
    assert sum(samples.latency_s) >= StopRule().max_time_s


def test_short_forwards_are_timed_in_blocks_of_a_millisecond(timed) -> None:
    samples, _ = timed(repeat(1e-5))
    assert samples.block == 100
    assert samples.latency_s == pytest.approx([1e-5] * len(samples.latency_s))


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
