"""Costs per view, per protocol and per second of video: products of what was measured and what was published."""

from __future__ import annotations

import pandas as pd
import pytest

from vbench.analysis.comparison import k400_rows, published_frame
from vbench.analysis.feeding import feed
from vbench.analysis.views import COLUMNS, COMMON_VIEWS, views_frame
from vbench.report.deployment import deployment_tables, views_table


def published(**changes) -> pd.DataFrame:
    row = {
        "key": "timesformer_b", "dataset": "K400", "metric_name": "top1", "frames": 8, "stride": 32, "height": 224,
        "width": 224, "views_spatial": 3, "views_temporal": 1, "metric": 78.0, "source": "a paper",
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def own_clip(make, latency_s: float = 0.5, **cell):
    subject = make.subject(is_default_clip=True, stride=32)
    return make.measured(make.cell(**cell), latency_s, subject=subject)


def test_a_protocol_costs_its_crops_times_its_clips(make):
    (row,) = views_frame(make.frame([own_clip(make)]), published()).to_dict("records")
    assert (row["protocol"], row["top1"]) == ("3x1", 78.0)
    assert row["macs_protocol"] == 3 * row["macs"] == 3 * 195_830_280_192
    assert row["latency_protocol_s"] == pytest.approx(3 * row["latency_s"])
    assert row["macs_3x10"] == COMMON_VIEWS * row["macs"]
    assert row["latency_3x10_s"] == pytest.approx(COMMON_VIEWS * row["latency_s"])
    assert row["views_per_second"] == pytest.approx(1 / row["latency_s"])


def test_views_laid_end_to_end_cover_the_video_once(make):
    (row,) = views_frame(make.frame([own_clip(make)]), published(), fps=32.0).to_dict("records")
    assert row["view_covers_s"] == 8 * 32 / 32.0
    assert row["latency_per_second_of_video_s"] * row["view_covers_s"] == pytest.approx(row["latency_s"])
    assert row["macs_per_second_of_video"] * row["view_covers_s"] == pytest.approx(row["macs"])


def test_the_cost_of_a_protocol_is_that_of_the_clip_it_was_published_for(make):
    records = [own_clip(make), make.measured(make.cell(frames=16), 2.0)]
    (row,) = views_frame(make.frame(records), published(frames=16, stride=16)).to_dict("records")
    assert (row["frames"], row["stride"], row["latency_s"]) == (16, 16, 2.0)


def test_a_protocol_whose_clip_nobody_counted_leaves_the_default_clip_alone(make):
    (row,) = views_frame(make.frame([own_clip(make)]), published(height=448, width=448)).to_dict("records")
    assert (row["height"], row["protocol"]) == (224, "")
    twice = pd.concat([published(), published(height=448, width=448)])
    assert views_frame(make.frame([own_clip(make)]), twice)["protocol"].to_list() == ["3x1"]


def test_a_network_without_a_published_protocol_stands_with_its_own_clip(make):
    (row,) = views_frame(make.frame([own_clip(make)]), published(key="another")).to_dict("records")
    assert (row["protocol"], row["frames"], row["stride"]) == ("", 8, 32)
    assert row["macs_3x10"] == COMMON_VIEWS * row["macs"]
    assert pd.isna(row["macs_protocol"])


def test_protocols_that_share_clip_and_views_are_one_row_with_the_best_accuracy(make):
    twice = pd.concat([published(), published(metric=80.7), published(views_temporal=4, metric=79.0)])
    rows = views_frame(make.frame([own_clip(make)]), twice)
    assert sorted(zip(rows["protocol"], rows["top1"], strict=True)) == [("3x1", 80.7), ("3x4", 79.0)]


def test_what_was_only_counted_has_costs_but_no_latency(make):
    counted = make.counted(make.cell(), subject=make.subject(is_default_clip=True, stride=32))
    (row,) = views_frame(make.frame([counted]), published()).to_dict("records")
    assert row["macs_protocol"] == 3 * row["macs"]
    assert pd.isna(row["latency_3x10_s"])
    assert pd.isna(row["views_per_second"])


def test_no_records_make_an_empty_frame_and_no_table(make):
    assert list(views_frame(make.frame([]), published()).columns) == list(COLUMNS)
    assert deployment_tables(make.frame([]), published()) == []


def test_the_table_reads_its_own_frame(make):
    table = views_table(make.frame([own_clip(make)]), published())
    (row,) = table.cells()
    assert len(row) == len(table.heads)
    assert row[table.heads.index("latency 3x10")] == "15.0 s"
    assert row[table.heads.index("published views")] == "3x1"


def test_every_published_protocol_of_a_whole_clip_is_of_positive_whole_views():
    rows = k400_rows(published_frame())
    for name in ("views_spatial", "views_temporal"):
        known = rows[name].dropna()
        assert (known >= 1).all()
        assert (known == known.round()).all()


def test_the_loaders_that_keep_up_make_at_least_the_model_s_clips(make):
    frame = make.frame([own_clip(make, 0.02)])  # 50 clips a second
    answer = feed(make.cell(), {"decode": 0.06, "crop": 0.02}, frame)
    assert answer.loader_clips_per_second == pytest.approx(12.5)
    assert answer.model_clips_per_second == pytest.approx(50)
    assert (answer.loaders, answer.waits) == (4, "the model")
    assert (answer.loaders - 1) * 12.5 < 50 <= answer.loaders * 12.5


def test_a_slow_model_lets_the_loader_wait_and_an_unmeasured_one_tells_nothing(make):
    frame = make.frame([own_clip(make, 2.0)])
    slow = feed(make.cell(), {"decode": 0.1}, frame)
    assert (slow.loaders, slow.waits) == (1, "the loader")
    unknown = feed(make.cell(frames=16), {"decode": 0.1}, frame)
    assert (unknown.loaders, unknown.waits, unknown.model_clips_per_second) == (None, "not measured", None)
    assert unknown.to_json()["waits"] == "not measured"
