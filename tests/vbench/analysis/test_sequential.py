"""The plan of looks on simulated pairs: what it promises is counted over many seeded comparisons."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from vbench.analysis.sequential import (
    ALPHA,
    LOOKS,
    Bounds,
    Look,
    bounds,
    level_of_last,
    minimum_detectable_effect,
    planned_looks,
    ratio_of,
    replayed_error_rate,
    spent,
    undisturbed,
    verdict,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

# of the log ratio of one pair; the first two have standard deviation 1 %
NORMAL: Draw = lambda rng, size: rng.normal(0, 0.01, size)  # noqa: E731
HEAVY: Draw = lambda rng, size: rng.standard_t(4, size) * 0.01 / math.sqrt(2)  # noqa: E731
OUTLIERS: Draw = lambda rng, size: rng.normal(0, 0.006, size) * np.where(rng.random(size) < 0.05, 8, 1)  # noqa: E731
NOISES = {"normal": NORMAL, "heavy tails": HEAVY, "one pair in twenty disturbed": OUTLIERS}


def course(values: NDArray[np.float64], margin: float, alpha: float = ALPHA, resamples: int = 600) -> tuple[str, int]:
    """The verdict of a whole comparison, and the pairs that it took."""
    due, said = planned_looks(len(values)), "inconclusive"
    for index, pairs in enumerate(due, start=1):
        level = level_of_last(due[:index], due[-1], alpha, is_final=pairs == due[-1])
        said = verdict(bounds(values[:pairs], level, resamples), margin)
        if said != "inconclusive":
            return said, pairs
    return said, due[-1]


def shares(
    noise: Draw, effect: float, pairs: int, margin: float, trials: int, alpha: float = ALPHA
) -> dict[str, float]:
    rng = np.random.default_rng(7)
    said = [course(math.log1p(effect) + noise(rng, pairs), margin, alpha)[0] for _ in range(trials)]
    return {one: said.count(one) / trials for one in ("slower", "same", "faster", "inconclusive")}


@pytest.mark.parametrize("noise", NOISES)
def test_equal_sides_are_called_different_no_more_often_than_the_plan_allows(noise: str) -> None:
    """At an alpha that 200 comparisons can see: a binomial variable of the plan's rate exceeds this in 1 of 10,000."""
    alpha, trials = 0.05, 200
    found = shares(NOISES[noise], 0.0, 40, 1e-6, trials, alpha)
    allowed = stats.binom.ppf(1 - 1e-4, trials, alpha) / trials
    assert found["slower"] + found["faster"] <= allowed


def test_looks_without_a_plan_are_wrong_more_often() -> None:
    """What the plan is for: the same looks, each at the full level."""
    rng, alpha, wrong = np.random.default_rng(7), 0.05, 0
    for _ in range(200):
        values = NORMAL(rng, 40)
        wrong += any(verdict(bounds(values[:n], alpha, 600), 1e-6) != "inconclusive" for n in planned_looks(40))
    assert wrong / 200 > stats.binom.ppf(1 - 1e-4, 200, alpha) / 200


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("effect", "pairs"), [(0.02, 28), (0.01, 80)])
def test_a_slow_down_of_the_margin_s_size_is_found(noise: str, effect: float, pairs: int) -> None:
    assert shares(NOISES[noise], effect, pairs, margin=effect, trials=60)["slower"] >= 0.95


def test_equal_sides_are_called_the_same_and_a_speed_up_faster() -> None:
    assert shares(NORMAL, 0.0, 40, margin=0.02, trials=40)["same"] >= 0.95
    assert shares(NORMAL, -0.02, 40, margin=0.02, trials=40)["faster"] >= 0.95


@pytest.mark.parametrize("pairs", [4, 8, 20, 80])
@pytest.mark.parametrize("noise", NOISES)
def test_intervals_cover_at_4_to_80_pairs(noise: str, pairs: int) -> None:
    """Of nominal 95 %, 91 % at least: the noises are symmetrical, so that the trimmed mean of them all is 0."""
    rng = np.random.default_rng(pairs)
    seen = [bounds(NOISES[noise](rng, pairs), 0.05, 600) for _ in range(400)]
    assert sum(one.low <= 0 <= one.high for one in seen) / len(seen) >= 0.91


def test_a_percentile_bootstrap_would_not_cover_at_4_pairs() -> None:
    """Why the bootstrap is studentised."""
    rng, covered = np.random.default_rng(4), 0
    for _ in range(400):
        values = NORMAL(rng, 4)
        means = values[rng.integers(0, 4, (1_000, 4))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        covered += low <= 0 <= high
    assert covered / 400 < 0.88


def test_the_first_level_is_what_the_first_look_may_spend() -> None:
    assert level_of_last((8,), 32) == pytest.approx(spent(8 / 32), rel=0.02)


def test_a_single_look_at_the_end_spends_everything() -> None:
    assert level_of_last((32,), 32) == pytest.approx(ALPHA, rel=0.02)
    assert level_of_last((12,), 32, is_final=True) == pytest.approx(ALPHA, rel=0.02)


def test_levels_let_a_random_walk_out_with_the_chance_that_is_spent() -> None:
    """The recursion against a simulation of the walk itself."""
    due, alpha, walks = (8, 16, 32), 0.1, 100_000
    z = [stats.norm.isf(level_of_last(due[: k + 1], 32, alpha) / 2) for k in range(3)]
    steps = np.random.default_rng(3).standard_normal((walks, 32)).cumsum(axis=1)
    out = np.zeros(walks, dtype=bool)
    for pairs, boundary in zip(due, z, strict=True):
        out |= np.abs(steps[:, pairs - 1]) > boundary * math.sqrt(pairs)
        assert out.mean() == pytest.approx(spent(pairs / 32, alpha), abs=0.004)


def test_looks_end_where_the_budget_ends() -> None:
    for pairs in (0, 6, 9, 30, 41, 10_000):
        due = planned_looks(pairs)
        assert list(due) == sorted(set(due))
        assert due[-1] <= max(pairs, 6)
        assert due[-1] <= LOOKS[-1]


def around(low: float, high: float) -> Bounds:
    return Bounds((low + high) / 2, low, high, 0.001, -4.0, 4.0)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.005, 0.03, "slower"), (-0.03, -0.005, "faster"), (-0.03, 0.01, "inconclusive"), (-0.019, 0.019, "same"),
        (0.005, 0.015, "same"), (-math.inf, math.inf, "inconclusive"),
    ],
)  # fmt: skip
def test_a_verdict_is_the_place_of_the_interval(low: float, high: float, said: str) -> None:
    assert verdict(around(low, high), margin=0.02) == said


def test_swapping_the_sides_swaps_the_verdict() -> None:
    values = math.log1p(0.05) + NORMAL(np.random.default_rng(1), 40)
    assert (course(values, 0.02)[0], course(-values, 0.02)[0]) == ("slower", "faster")


def test_outliers_on_one_pair_in_ten_do_not_move_the_estimate() -> None:
    values = np.linspace(-0.01, 0.01, 20)
    disturbed = values.copy()
    disturbed[[0, 1]] = (-5.0, -3.0)
    assert bounds(disturbed, 0.05).estimate == bounds(values, 0.05).estimate


def test_the_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    """Of comparisons with so many pairs and this noise, at one look."""
    rng = np.random.default_rng(5)
    effects = [minimum_detectable_effect(bounds(NORMAL(rng, 24), 0.002, 1_000)) for _ in range(100)]
    effect = math.log1p(float(np.median(effects)))
    found = [verdict(bounds(effect + NORMAL(rng, 24), 0.002, 1_000), 1e-6) == "slower" for _ in range(300)]
    assert 0.7 < np.mean(found) < 0.9


def test_replays_of_quiet_pairs_keep_to_the_plan_and_too_narrow_bounds_show() -> None:
    values = NORMAL(np.random.default_rng(2), 24) + 0.05
    look = Look(pairs=24, kept=tuple(range(24)), level=ALPHA, bounds=bounds(values, ALPHA))
    assert replayed_error_rate(values, [look]) <= 5 * ALPHA
    narrow = replace(look, bounds=look.bounds._replace(t_low=-1.0, t_high=1.0))
    assert replayed_error_rate(values, [narrow]) == pytest.approx(2 * stats.t.sf(1.0, 23), abs=0.08)
    assert math.isnan(replayed_error_rate(values, []))


def disturbed(rng: np.random.Generator, pairs: int, shares: tuple[float, float]) -> NDArray[np.float64]:
    """Logarithms of the times of two equal sides, each slowed down by a quarter in its share of the pairs."""
    slow = np.array([rng.random(pairs) < share for share in shares])
    return rng.normal(0, 0.005, (2, pairs)) + 0.25 * slow


def test_pairs_that_a_neighbour_disturbed_are_left_out_and_intervals_hold() -> None:
    """Half of the pairs are quiet on both sides: they tell more than all do, and cover 0 as they should."""
    rng = np.random.default_rng(4)
    covered, all_widths, kept_widths = 0, [], []
    for _ in range(200):
        a, b = disturbed(rng, 40, (0.3, 0.3))
        kept = list(undisturbed(np.exp(a), np.exp(b)))
        seen, every = bounds((b - a)[kept], 0.05, 600), bounds(b - a, 0.05, 600)
        covered += seen.low <= 0 <= seen.high
        kept_widths.append(seen.high - seen.low)
        all_widths.append(every.high - every.low)
    assert covered / 200 >= 0.91
    assert np.median(kept_widths) < 0.5 * np.median(all_widths)


def test_a_side_that_is_slow_in_half_of_its_processes_is_not_taken_for_disturbed() -> None:
    a, b = disturbed(np.random.default_rng(4), 40, (0.0, 0.5))
    assert undisturbed(np.exp(a), np.exp(b)) == tuple(range(40))


def test_of_quiet_pairs_all_are_kept_and_of_drifting_ones_the_quickest_third() -> None:
    rng = np.random.default_rng(4)
    quiet = np.exp(rng.normal(-4, 0.004, (2, 40)))
    assert undisturbed(*quiet) == tuple(range(40))
    drifting = np.exp(np.linspace(0, 1, 40))
    assert undisturbed(drifting * quiet[0], drifting * quiet[1]) == tuple(range(14))
    assert undisturbed([1, 1, 9, 1, 1, 7], [1, 1, 1, 8, 1, 1]) == (0, 1, 3, 4, 5)


def test_a_ratio_beyond_all_bounds_is_infinite() -> None:
    assert ratio_of(1e6) == math.inf
    assert ratio_of(math.log(2)) == pytest.approx(2)
