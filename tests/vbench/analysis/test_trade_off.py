"""Published accuracy against the cost of its protocol: the views are those of the row, the accuracy top-1 on K400."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.trade_off import on_front, trade_off_frame

PUBLISHED = published_frame()


def test_a_protocol_costs_its_published_views_of_what_one_view_costs(make):
    cell = make.cell("video_swin_t", 32)  # 3 x 4 views
    (row,) = trade_off_frame(make.frame([make.measured(cell, 0.5)]), PUBLISHED).to_dict("records")
    assert row["macs"] == 12 * make.counts().macs
    assert row["latency_s"] == pytest.approx(6.0)
    assert row["latency_low_s"] < 6.0 < row["latency_high_s"]
    assert (row["top1"], row["views"], row["pretrain"]) == (78.8, "3x4", "IN-1K")


def test_a_row_has_no_cost_at_another_clip_than_its_own(make):
    records = [make.measured(make.cell("video_swin_t", 16)), make.measured(make.cell("video_swin_t", 32, 112))]
    assert trade_off_frame(make.frame(records), PUBLISHED).empty


def test_accuracies_of_other_data_sets_and_tasks_have_no_row(make):
    cells = [make.cell("memvit_16", 16), make.cell("c3d", 16, 112), make.cell("stm_r50", 5, 480, width=854)]
    assert trade_off_frame(make.frame([make.measured(cell) for cell in cells]), PUBLISHED).empty


def test_latencies_are_of_one_machine(make):
    here = [make.measured(make.cell(name, 32), 1.0) for name in ("video_swin_t", "video_swin_s")]
    there = make.measured(make.cell("video_swin_b", 32), 0.1, environment="e2")
    table = trade_off_frame(make.frame([*here, there]), PUBLISHED)
    assert set(table.dropna(subset=["latency_s"])["key"]) == {"video_swin_t", "video_swin_s"}


def test_the_front_is_what_brute_force_finds_undominated():
    costs = [3.0, 1.0, 2.0, 2.0, 5.0, 4.0, float("nan"), 1.0]
    accuracies = [70.0, 60.0, 65.0, 66.0, 69.0, 70.0, 99.0, 59.0]
    table = pd.DataFrame({"cost": costs, "accuracy": accuracies})
    found = set(table.index[on_front(table["cost"], table["accuracy"])])
    points = list(zip(costs, accuracies, strict=True))
    undominated = {
        place
        for place, (cost, accuracy) in enumerate(points)
        if math.isfinite(cost)
        and not any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
    }
    assert found == undominated
