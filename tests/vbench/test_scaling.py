"""Exponents: planted ones are found again, and what cannot carry one has no row."""

from __future__ import annotations

import numpy as np
import pytest

from vbench.analysis.scaling import COLUMNS, all_series, scaling_frame

FRAMES = [(t, 224) for t in (4, 8, 16, 32, 64)]
SIZES = [(8, s) for s in (64, 112, 160, 224, 320)]


def fitted(table, metric, axis="frames"):
    rows = table[(table["metric"] == metric) & (table["axis"] == axis)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_planted_exponent_of_2_in_frames_is_recovered_for_macs_and_latency(make):
    table = scaling_frame(make.frame(make.sweep("m", FRAMES, lambda t, _: 1e-3 * t**2)))
    assert list(table.columns) == list(COLUMNS)
    for metric in ("macs", "latency_median_s"):
        row = fitted(table, metric)
        assert row["exponent"] == pytest.approx(2, abs=1e-6)
        assert row["low"] - 1e-9 <= row["exponent"] <= row["high"] + 1e-9
        assert (row["points"], row["smallest"], row["largest"], row["held"]) == (5, 4, 64, "224x224")
        assert row["variable"] == "T (frames)"


def test_an_exponent_of_1_in_resolution_is_linear_in_pixels(make):
    row = fitted(scaling_frame(make.frame(make.sweep("m", SIZES, lambda _, s: 1e-6 * s**2))), "macs", "resolution")
    assert row["exponent"] == pytest.approx(1, abs=1e-6)
    assert (row["smallest"], row["largest"], row["held"]) == (64 * 64, 320 * 320, "8 frames")
    assert row["variable"] == "H*W (pixels)"


def test_the_interval_agrees_with_least_squares_done_by_hand(make):
    noise = {4: 1.1, 8: 0.9, 16: 1.05, 32: 0.97, 64: 1.02}
    frame = make.frame(make.sweep("m", FRAMES, lambda t, _: noise[t] * t))
    row = fitted(scaling_frame(frame), "latency_median_s")
    x, y = np.log([t for t, _ in FRAMES]), np.log(frame["latency_median_s"].to_numpy())
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    assert row["exponent"] == pytest.approx(slope)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(3.182446305 * np.sqrt(covariance[0, 0]))


def test_4_sizes_give_no_row_and_5_do(make):
    four, five = (make.frame(make.sweep("m", FRAMES[:n], lambda t, _: t / 100)) for n in (4, 5))
    assert scaling_frame(four).empty
    assert set(scaling_frame(five)["metric"]) == {
        "macs", "attention_macs", "predicted_peak_bytes", "peak_memory_bytes", "latency_median_s",
    }  # fmt: skip


def test_cells_that_differ_in_another_axis_are_not_joined(make):
    records = make.sweep("m", FRAMES, lambda t, _: t / 100)
    mixed = [*records[:3], *(make.measured(make.cell("m", t, threads=1)) for t, _ in FRAMES[3:])]
    assert scaling_frame(make.frame(mixed)).empty


def test_measured_metrics_are_fitted_within_one_environment_and_counts_across(make):
    records = [make.measured(make.cell("m", t), t / 10, environment="e1" if t < 16 else "e2") for t, _ in FRAMES]
    table = scaling_frame(make.frame(records))
    assert set(table["metric"]) == {"macs", "attention_macs", "predicted_peak_bytes"}
    assert set(table["hardware"]) == {""}


def test_zeros_and_unknown_values_are_left_out(make):
    records = [make.counted(make.cell("m", t), counts=make.counts(macs=t, attention_macs=0)) for t, _ in FRAMES]
    table = scaling_frame(make.frame(records))
    assert set(table["metric"]) == {"macs", "predicted_peak_bytes"}
    assert scaling_frame(make.frame([*records[:4], make.skipped(make.cell("m", 64))])).empty


def test_patterns_scale_in_tokens_of_time_and_of_space(make):
    grids = [(t, 14) for t in (2, 4, 8, 16, 32)] + [(8, s) for s in (7, 21, 28, 35)]
    subject = make.subject(kind="pattern")
    records = [
        make.counted(
            make.cell("joint", t, s, unit="tokens"),
            subject=subject,
            counts=make.counts(attention_macs=(t * s * s) ** 2),
        )
        for t, s in grids
    ]
    table = scaling_frame(make.frame(records))
    time, space = (fitted(table, "attention_macs", axis) for axis in ("time", "space"))
    assert time["exponent"] == pytest.approx(2)
    assert space["exponent"] == pytest.approx(2)
    assert (time["held"], time["variable"]) == ("14x14 tokens", "T (tokens)")
    assert (space["held"], space["variable"]) == ("8 tokens in time", "H*W (tokens)")


def test_sizes_of_one_shape_make_a_series_and_other_shapes_do_not_join_it(make):
    def counted(height, width):
        return make.counted(make.cell("m", 8, 1, height=height, width=width))

    wide = [counted(k * 32, k * 64) for k in range(1, 6)]
    series = [s for s in all_series(make.frame([*wide, counted(64, 64)])) if s.axis == "resolution"]
    assert [s.x for s in series] == [[k * k * 32 * 64 for k in range(1, 6)]]
    assert series[0].held == "8 frames, height:width 1:2"


def test_an_empty_frame_gives_an_empty_table(make):
    assert list(scaling_frame(make.frame([])).columns) == list(COLUMNS)
