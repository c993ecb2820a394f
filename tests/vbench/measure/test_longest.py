"""The longest that fits, against trying every member."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.measure.longest import Progression, longest_within

MEMBERS = st.builds(Progression, st.integers(1, 9), st.sampled_from([1, 2, 8]))


def by_trying_all(cost, members, limit):
    """The last member before the first one that does not fit."""
    fitting = itertools.takewhile(lambda n: cost(n) <= limit, map(members.member, range(10**6)))
    return max(fitting, default=None)


@given(MEMBERS, st.integers(0, 1000), st.integers(1, 50), st.sampled_from([0, 0, 1, 3]), st.integers(0, 60_000))
def test_the_answer_is_that_of_trying_all_members(members, constant, slope, bend, limit) -> None:
    def cost(n: int) -> int:
        return constant + slope * n + bend * n * n

    found = longest_within(cost, members, limit)
    assert found.longest == by_trying_all(cost, members, limit)
    assert found.is_monotone
    assert found.is_settled


def test_few_members_are_evaluated_where_the_cost_is_a_line() -> None:
    found = longest_within(lambda n: 500 + 7 * n, Progression(2, 2), 10**6)
    assert len(found.costs) <= 10
    assert found.longest == (10**6 - 500) // 14 * 2
    assert found.next_longer == found.longest + 2


def test_a_cost_that_falls_is_noticed_and_members_beyond_are_tried() -> None:
    def saw(n: int) -> int:  # what the period does not divide is padded, and the padding copied
        return 100 * (-(-n // 8) * 8) + (0 if n % 8 == 0 else 450)

    members = Progression(1, 1, period=8)
    for limit in (2_500, 2_800, 3_300, 4_100):
        found = longest_within(saw, members, limit)
        assert found.longest == max(n for n in range(1, 200) if saw(n) <= limit)
    assert not longest_within(saw, members, 2_500).is_monotone


def test_a_fall_within_what_is_uncertain_is_none() -> None:
    wavering = longest_within(lambda n: 1000 * n + 15 * (n % 2), Progression(1, 1), 60_000, uncertainty=0.03)
    falling = longest_within(lambda n: 1000 * n + 3000 * (n % 2), Progression(1, 1), 60_000, uncertainty=0.03)
    assert (wavering.is_monotone, falling.is_monotone) == (True, False)
    assert len(wavering.costs) < len(falling.costs)


@pytest.mark.parametrize("limit", range(55_000, 65_000, 500))
def test_the_member_after_the_answer_was_evaluated_and_does_not_fit_however_a_cost_wavers(limit: int) -> None:
    def cost(n: int) -> int:
        return 1000 * n + 2500 * (n % 3 == 0)

    found = longest_within(cost, Progression(1, 1), limit, uncertainty=0.1)
    assert cost(found.longest) <= limit < cost(found.next_longer)
    assert found.is_settled


def test_one_member_alone_fits_or_does_not() -> None:
    fits, does_not = (longest_within(lambda n: n, Progression(16, 0), limit) for limit in (16, 15))
    assert (fits.longest, fits.next_longer, fits.is_settled) == (16, None, True)
    assert does_not.longest is None


def test_at_the_end_of_the_patience_what_is_known_so_far_is_said_to_be_so() -> None:
    found = longest_within(lambda n: n, Progression(1, 1), 10**5, patience_s=-1.0)
    assert found.longest == 1
    assert not found.is_settled


@pytest.mark.parametrize("limit", [10, 1000])
def test_a_cost_that_does_not_grow_comes_to_an_end(limit: int) -> None:
    found = longest_within(lambda _: 100, Progression(1, 1), limit)
    assert (found.longest is None) == (limit < 100)
