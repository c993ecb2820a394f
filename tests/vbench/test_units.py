import math

import pytest

from vbench import units
from vbench.errors import AxisError


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("0.5s", 0.5), ("1m1s", 61)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: float) -> None:
    assert units.parse_duration_s(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "ten minutes", "-5s", "0s", "5 parsecs", "1m banana", "nan s"])
def test_a_malformed_duration_is_refused_with_what_it_was(text: str) -> None:
    with pytest.raises(AxisError, match=r"duration"):
        units.parse_duration_s(text)


@pytest.mark.parametrize(("text", "expected"), [("24GiB", 24 * 2**30), ("16GB", 16 * 10**9), ("800 MB", 8 * 10**8)])
def test_binary_and_decimal_sizes_differ(text: str, expected: int) -> None:
    assert units.parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "24", "GiB", "24 gigs", "0GiB", "-1GB"])
def test_a_malformed_size_is_refused(text: str) -> None:
    with pytest.raises(AxisError, match=r"size"):
        units.parse_bytes(text)


@pytest.mark.parametrize("value", [3.21e-7, 4.56e-4, 0.0789, 1.23, 45.6])
def test_seconds_keep_three_significant_digits(value: float) -> None:
    number, unit = units.seconds(value).split()
    factor = {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert float(number) * factor == pytest.approx(value, rel=5e-3)


def test_what_is_not_a_number_is_a_dash() -> None:
    assert {units.seconds(math.nan), units.macs(math.nan), units.percent(math.nan)} == {"-"}


def test_time_left_is_told_in_minutes_and_seconds() -> None:
    assert units.duration(245.2) == "4 min 05 s"
    assert units.duration(59.4) == "59 s"
