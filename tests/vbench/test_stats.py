import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from vbench import stats

latencies = st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=30)


@given(latencies)
def test_the_interval_of_the_median_reaches_as_far_as_student_s_and_the_ranks(values: Sequence[float]) -> None:
    interval = stats.median_interval(values)
    logs = np.log(values)
    low, high = reference.t.interval(0.95, len(values) - 1, loc=0, scale=max(logs.std(ddof=1), 1e-300))
    ranked = reference.quantile_test(logs, p=0.5).confidence_interval(0.95)
    half, centre = (high - low) / 2 / math.sqrt(len(values)), np.log(np.median(values))
    extremes = (logs.min(), logs.max())  # where so few values have no interval of 95 %
    least, largest = (extreme if math.isnan(rank) else rank for rank, extreme in zip(ranked, extremes, strict=True))
    assert math.log(interval.low) == pytest.approx(min(centre - half, least), abs=1e-6)
    assert math.log(interval.high) == pytest.approx(max(centre + half, largest), abs=1e-6)
    assert interval.low <= interval.estimate <= interval.high


def test_a_single_process_has_no_interval() -> None:
    interval = stats.median_interval([0.5])
    assert interval.estimate == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def normal(rng: np.random.Generator) -> np.ndarray:
    return rng.lognormal(0, 0.3, size=(2000, 5))


def skewed(rng: np.random.Generator) -> np.ndarray:
    return 1 + 0.2 * rng.exponential(size=(2000, 5))


def two_modes(rng: np.random.Generator) -> np.ndarray:
    """A third of the processes is a fifth slower."""
    return (1 + 0.2 * (rng.random((2000, 5)) < 0.33)) * rng.lognormal(0, 0.01, size=(2000, 5))


@pytest.mark.parametrize("processes", [normal, skewed, two_modes])
def test_the_interval_of_five_processes_covers_the_true_median_about_as_often_as_it_says(processes) -> None:
    draws = processes(np.random.default_rng(0))
    truth = np.median(processes(np.random.default_rng(1)))
    intervals = [stats.median_interval(row) for row in draws]
    share = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.92 < share < 0.99


def test_what_the_values_share_widens_the_interval_as_an_independent_error_does() -> None:
    """Against chance itself: five values that share one draw, many times over."""
    rng = np.random.default_rng(2)
    draws = np.exp(0.01 * rng.normal(size=(4000, 5)) + 0.02 * rng.normal(size=(4000, 1)))
    for drift, low, high in ((0.0, 0.3, 0.7), (0.02, 0.93, 0.99)):
        intervals = [stats.median_interval(row, drift=drift) for row in draws]
        assert low < np.mean([interval.low <= 1 <= interval.high for interval in intervals]) < high


@given(st.floats(0.2, 3), st.floats(1e-9, 1e9))
def test_a_planted_exponent_is_found(exponent: float, factor: float) -> None:
    x = [1, 2, 3, 5, 8, 13]
    found = stats.log_log_slope(x, [factor * size**exponent for size in x])
    assert found.estimate == pytest.approx(exponent, abs=1e-6)
    assert found.high - found.low == pytest.approx(0, abs=1e-5)


def test_two_points_leave_no_interval() -> None:
    with pytest.raises(ValueError, match="3 points"):
        stats.log_log_slope([1, 2], [1, 2])


@given(st.floats(1e-6, 10), st.integers(5, 50))
def test_equal_samples_are_precise(value: float, number: int) -> None:
    assert stats.relative_median_error([value] * number) == 0


def test_the_median_s_error_shrinks_with_the_root_of_the_samples() -> None:
    draws = np.random.default_rng(1).normal(1, 0.05, size=1600)
    few, many = stats.relative_median_error(draws[:100]), stats.relative_median_error(draws)
    assert 2 < few / many < 8
