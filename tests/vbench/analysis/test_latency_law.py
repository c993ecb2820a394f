"""Laws of time with planted coefficients, and noise of the test's own."""

from dataclasses import replace

import numpy as np
import pytest
import sympy

from vbench.analysis.latency_law import LatencyLaw, Point, latency_law
from vbench.analysis.polynomial import H, T, W

Grid = tuple[int, int, int]
GRIDS: list[Grid] = [(t, 2, 2) for t in (256, 512, 1024, 2048, 4096)] + [(4, s, s) for s in (8, 16, 24, 32, 64)]
GRIDS += [(8, 14, 14), (16, 14, 14), (32, 14, 14)]
DIVIDED = T * (H * W) ** 2 + H * W * T**2
LINEAR = T * H * W


def measured(
    law: sympy.Expr, byte_s: float = 0.0, noise: float = 0.005, processes: int = 5, grids: list[Grid] = GRIDS
) -> list[Point]:
    chance = np.random.default_rng(0)
    points = []
    for t, h, w in grids:
        moved = 4 * 768 * t * h * w
        time_s = float(law.subs({T: t, H: h, W: w})) + byte_s * moved
        samples = time_s * np.exp(noise * chance.standard_normal(processes))
        points.append(Point(grid=(t, h, w), latency_s=tuple(samples), moved_bytes=moved))
    return points


def judged(law: sympy.Expr, formula: sympy.Expr, **options: float) -> LatencyLaw:
    return latency_law(measured(law, **options), formula)


def test_time_that_follows_the_formula_is_consistent_and_its_rate_is_found() -> None:
    law = judged(1e-9 * DIVIDED, DIVIDED)
    assert law.verdict == "consistent"
    assert law.coefficients_s["H**2*T*W**2"] == pytest.approx(1e-9, rel=0.05)
    assert law.largest_error < 0.05


def test_time_that_grows_faster_than_the_formula_is_inconsistent() -> None:
    law = judged(1e-9 * DIVIDED, LINEAR)
    assert law.verdict == "inconsistent"
    assert "exponent 2.0" in law.reason


def test_time_that_is_all_bandwidth_leaves_the_formula_undecided() -> None:
    law = judged(1e-14 * DIVIDED, DIVIDED, byte_s=1e-9)
    assert law.verdict == "undecided"
    assert "of the fitted time" in law.reason


def test_noise_leaves_it_undecided() -> None:
    assert judged(1e-9 * DIVIDED, DIVIDED, noise=1.0).verdict == "undecided"


def test_terms_that_square_grids_cannot_tell_apart_are_one() -> None:
    axial = 3 * T**2 * H * W + T * H**2 * W + T * H * W**2
    law = judged(1e-8 * axial, axial)
    assert law.verdict == "consistent"
    assert set(law.coefficients_s) == {"H*T**2*W", "H**2*T*W + H*T*W**2", "moved bytes", "call"}
    assert law.coefficients_s["H**2*T*W + H*T*W**2"] == pytest.approx(1e-8, rel=0.1)  # the noise's share


def test_bytes_that_grow_with_a_linear_formula_leave_it_decided() -> None:
    points = [replace(point, moved_bytes=point.moved_bytes + 10_000_000) for point in measured(1e-6 * LINEAR)]
    law = latency_law(points, LINEAR)
    assert law.verdict == "consistent"
    assert "moved bytes" not in law.coefficients_s


def test_powers_on_a_short_line_leave_it_undecided() -> None:
    """Between 10 and 14 frames each power of T is nearly a sum of its neighbours."""
    law = sum(H * W * T**power for power in (1, 2, 3, 4))
    short: list[Grid] = [(t, side, side) for side in (8, 12, 16) for t in (10, 12, 14)]
    found = latency_law(measured(1e-9 * law, grids=short), law)
    assert found.verdict == "undecided"
    assert "cannot tell" in found.reason


def test_one_process_has_no_interval() -> None:
    law = judged(1e-9 * DIVIDED, DIVIDED, processes=1)
    assert (law.verdict, law.reason) == ("undecided", "one process has no interval")


def test_no_coefficient_is_negative() -> None:
    law = judged(1e-9 * DIVIDED, DIVIDED + T * H * W + T)
    assert min(law.coefficients_s.values()) >= 0


def test_the_line_that_reaches_furthest_decides_and_shorter_ones_are_shown() -> None:
    points = measured(1e-9 * DIVIDED, grids=[*GRIDS, (8, 7, 7), (8, 21, 21)])
    slow = points[-1]
    points[-1] = replace(slow, latency_s=tuple(2 * sample for sample in slow.latency_s))
    law = latency_law(points, DIVIDED)
    assert law.verdict == "consistent"
    assert [part.verdict for part in law.exponents if part.larger == (8, 21, 21)] == ["inconsistent"]


def test_too_few_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="columns need as many grids; got 2"):
        latency_law(measured(DIVIDED)[:2], DIVIDED)


def test_a_machine_that_is_slow_in_some_rounds_does_not_bend_the_exponents() -> None:
    """Every other round takes 1.3 times as long: each point's own spread is wide, the ratios within rounds are not."""
    steady = measured(1e-9 * DIVIDED)
    moody = [
        replace(point, latency_s=tuple(time_s * (1.3 if i % 2 else 1.0) for i, time_s in enumerate(point.latency_s)))
        for point in steady
    ]
    for calm, rough in zip(*(latency_law(points, DIVIDED).exponents for points in (steady, moody)), strict=True):
        assert (rough.measured, rough.low, rough.high) == pytest.approx((calm.measured, calm.low, calm.high))


def test_a_round_that_lacks_one_of_the_two_grids_says_nothing_of_their_ratio() -> None:
    points = measured(1e-9 * DIVIDED)
    fewer = [*points[:4], replace(points[4], latency_s=points[4].latency_s[:3]), *points[5:]]
    by_round = latency_law([replace(point, latency_s=point.latency_s[:3]) for point in points], DIVIDED)
    (one,) = (part for part in latency_law(fewer, DIVIDED).exponents if part.larger == (4096, 2, 2))
    (other,) = (part for part in by_round.exponents if part.larger == (4096, 2, 2))
    assert (one.measured, one.low) == pytest.approx((other.measured, other.low))


def test_a_growth_that_bytes_explain_is_undecided_and_one_that_nothing_explains_is_inconsistent() -> None:
    """Time is half bytes at the longest line: the slope lies between theirs and the formula's."""
    squared: sympy.Expr = T**2 * H * W
    grids: list[Grid] = [(t, s, s) for s in (8, 16) for t in (64, 128, 256, 512)]
    bytes_too = latency_law(measured(1e-9 * squared, byte_s=1.7e-10, grids=grids), squared)
    assert bytes_too.verdict == "undecided"
    assert "too small" in bytes_too.reason
    neither = latency_law(measured(1e-9 * squared * T, grids=grids), squared)
    assert neither.verdict == "inconsistent"
