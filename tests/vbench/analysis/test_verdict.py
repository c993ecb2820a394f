"""Verdicts on formulas, checked against ratios at large sizes."""

import pytest
import sympy

from vbench.analysis.polynomial import SYMBOLS, H, T, W
from vbench.analysis.verdict import dominant_terms, judge, parse_claim
from vbench.errors import AxisError

DIVIDED = 1536 * (T * (H * W) ** 2 + H * W * T**2)
AXIAL = 2 * T * H * W * (T + H + W)
LINEAR = 602112 * T * H * W
CASES = [
    (DIVIDED, "T*(H*W)**2 + H*W*T**2", "exact"),
    (DIVIDED, "7*T*H*W*(T + H*W)", "exact"),
    (DIVIDED, "2*T*H*W", "under-states"),
    (DIVIDED, "(T*H*W)**2", "over-states"),
    (DIVIDED, "T**2*H*W + T*H*W**2", "under-states"),
    (DIVIDED, "T*(H*W)**2 + 3*H*W*T**2", "same order"),
    (DIVIDED + 10**9 * T * H * W, "T*(H*W)**2 + H*W*T**2", "same order"),
    (AXIAL, "T*H*W*(T + H + W)", "exact"),
    (AXIAL, "H**2 + W**2 + T**2", "under-states"),
    (AXIAL, "T*(H*W)**2 + H*W*T**2", "over-states"),
    (LINEAR, "T*H*W*log(T*H*W)", "over-states"),
    (DIVIDED, "T*H*W*log(T*H*W)", "under-states"),
    (LINEAR, "T*H*W", "exact"),
    (T**2 * H + T * H**2, "T**2*H**2", "over-states"),
    (T**2 * H**2, "T**4 + H**4", "over-states"),
    (T**2 * H**2, "T**3 + H**3", "under-states"),
]


@pytest.mark.parametrize(("derived", "claim", "word"), CASES, ids=lambda value: str(value)[:40])
def test_the_verdict_is_as_defined(derived: sympy.Expr, claim: str, word: str) -> None:
    assert judge(derived, parse_claim(claim)).word == word


@pytest.mark.parametrize(("derived", "claim", "word"), CASES, ids=lambda value: str(value)[:40])
def test_the_ratio_at_large_sizes_says_the_same(derived: sympy.Expr, claim: str, word: str) -> None:
    """Along the axes and their diagonals, where all these cases decide themselves."""
    ratio = derived / parse_claim(claim)
    growth = []
    for direction in [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 1, 1),
        (1, 1, 1),
        (1, 1, 0),
        (1, 0, 1),
        (2, 1, 0),
        (1, 2, 0),
    ]:
        near, far = (
            float(ratio.subs({s: size**power for s, power in zip(SYMBOLS, direction, strict=True)}))
            for size in (1e60, 1e120)  # far enough to tell a logarithm from a constant
        )
        growth.append(far / near)
    assert (max(growth) > 1.5) == (word == "under-states")
    if word in ("over-states", "exact", "same order"):
        assert (min(growth) < 0.7) == (word == "over-states")


def test_the_counter_example_names_the_axis_and_two_sizes() -> None:
    verdict = judge(DIVIDED, parse_claim("2*T*H*W"))
    assert "along T" in verdict.reason
    ratio = DIVIDED / (2 * T * H * W)
    assert f"{float(ratio.subs({T: 10, H: 1, W: 1})):.3g} at 10" in verdict.reason


def test_no_polynomial_is_its_own_verdict() -> None:
    assert judge(None, parse_claim("T*H*W")).word == "not polynomial"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("T*H*", "cannot parse the claim"),
        ("T*H*W*N", "has symbols N; only T, H and W"),
        ("42", "does not depend on T, H or W"),
        ("T = H", "cannot parse the claim"),
        ("", "cannot parse the claim"),
    ],
)
def test_a_claim_that_is_none_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(AxisError) as error:
        parse_claim(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_caret_is_a_power() -> None:
    assert parse_claim("T^2*H") == T**2 * H


def test_dominant_terms_are_the_corners_of_the_hull() -> None:
    assert set(dominant_terms(DIVIDED + 5 * T * H * W + 9 * T)) == {1536 * T * H**2 * W**2, 1536 * T**2 * H * W}
    assert dominant_terms(T**2 * H**2 + T * H) == [T**2 * H**2]
