from vbench.analysis.regimes import Regime, regimes

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def test_one_polynomial_is_one_regime() -> None:
    (regime,) = regimes("T", SIZES, [5 + 3 * size + 2 * size**2 for size in SIZES])
    assert regime == Regime(1, 32, "2*T**2 + 3*T + 5", 2)


def test_a_maximum_of_two_breaks_where_they_cross() -> None:
    first, second = regimes("T", SIZES, [max(1000 + size, 50 * size**2) for size in SIZES])
    assert (first.largest, first.expression, first.degree) == (4, "T + 1000", 1)
    assert (second.smallest, second.expression, second.degree) == (6, "50*T**2", 2)


def test_a_constant_has_degree_nought() -> None:
    (regime,) = regimes("H", SIZES, [7] * len(SIZES))
    assert (regime.expression, regime.degree) == ("7", 0)


def test_sizes_without_a_law_have_no_expression() -> None:
    found = regimes("W", SIZES, [2**size for size in SIZES])
    assert all(regime.expression == "" for regime in found)
