"""Crossovers: found where two cost laws meet, with an interval only where the intervals tell two models apart."""

from __future__ import annotations

import math

import pytest

from vbench.analysis.crossover import crossovers, crossovers_frame
from vbench.analysis.scaling import comparable

FRAMES = (4, 8, 16, 32, 64)


def counted(make, name, law, frames=FRAMES):
    return [make.counted(make.cell(name, t), counts=make.counts(macs=round(law(t)))) for t in frames]


def measured(make, name, law, spread, frames=FRAMES):
    """Three processes a cell, `spread` apart on either side of the law."""
    return [
        make.measured(
            make.cell(name, t), processes=[make.process((law(t) * side,)) for side in (1 - spread, 1, 1 + spread)]
        )
        for t in frames
    ]


def found(make, records, metric):
    return crossovers(comparable(make.frame(records), metric, "frames"), metric)


def linear(t):
    return 1e9 * t


def quadratic(t):
    return 1e9 * t**2 / 20


def test_a_crossover_of_two_power_laws_is_where_they_are_equal(make):
    (crossing,) = found(make, [*counted(make, "flat", linear), *counted(make, "steep", quadratic)], "macs")
    assert (crossing.short, crossing.long) == ("steep", "flat")
    assert crossing.frames == pytest.approx(20.0, rel=1e-6)  # t = t**2 / 20
    assert crossing.cost == pytest.approx(2e10, rel=1e-6)
    assert (crossing.after, crossing.before, crossing.low, crossing.high) == (16, 32, 16, 32)
    assert crossing.is_decided


def test_laws_that_do_not_meet_within_the_lengths_have_no_crossover(make):
    records = [*counted(make, "flat", linear, (4, 8, 16)), *counted(make, "steep", quadratic, (4, 8, 16))]
    assert found(make, records, "macs") == []


def test_only_the_crossover_with_no_third_model_below_it_is_that_of_the_cheapest(make):
    records = [*counted(make, "flat", linear), *counted(make, "steep", quadratic)]
    (alone,) = found(make, records, "macs")
    below = found(make, [*records, *counted(make, "least", lambda t: 1e8 * t)], "macs")
    assert alone.cheapest
    assert {(each.short, each.long): each.cheapest for each in below}["steep", "flat"] is False


def test_the_interval_of_a_latency_crossover_holds_it_and_widens_with_the_spread(make):
    widths = []
    for spread in (0.001, 0.01, 0.05):
        records = [
            *measured(make, "flat", lambda t: 0.01 * t, spread),
            *measured(make, "steep", lambda t: 0.01 * t**2 / 20, spread),
        ]
        (crossing,) = found(make, records, "latency_median_s")
        assert crossing.low <= crossing.frames <= crossing.high
        assert crossing.frames == pytest.approx(20.0, rel=1e-6)
        widths.append(crossing.high - crossing.low)
    assert widths == sorted(widths)
    assert widths[0] > 0


def test_a_crossover_that_noise_alone_could_make_is_not_decided(make):
    def wobble(t):
        return 0.01 * t * (1.02 if t in (8, 32) else 0.98)

    records = [*measured(make, "a", lambda t: 0.01 * t, 0.1), *measured(make, "b", wobble, 0.1)]
    crossings = found(make, records, "latency_median_s")
    assert crossings
    assert not any(each.is_decided for each in crossings)
    assert all(math.isnan(each.low) and math.isnan(each.high) for each in crossings)


def test_a_single_process_decides_no_crossover(make):
    laws = {"flat": lambda t: 0.01 * t, "steep": lambda t: 0.01 * t**2 / 20}
    records = [
        make.measured(make.cell(name, t), processes=[make.process((law(t),))])
        for name, law in laws.items()
        for t in FRAMES
    ]
    (crossing,) = found(make, records, "latency_median_s")
    assert not crossing.is_decided


def test_the_table_holds_every_metric_that_crosses_and_names_what_was_held(make):
    frame = make.frame([*counted(make, "flat", linear), *counted(make, "steep", quadratic)])
    table = crossovers_frame(frame)
    assert table["metric"].tolist() == ["macs"]  # all predict one peak: they are equal everywhere
    assert table.iloc[0]["held"] == "224x224"
    assert crossovers_frame(make.frame([])).empty
