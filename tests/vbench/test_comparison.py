"""Claims against published rows and counts; and the shipped data against itself."""

from __future__ import annotations

import math
from importlib.resources import files

import pandas as pd
import pytest

from vbench.analysis.comparison import (
    claims_frame,
    comparison_frame,
    k400_rows,
    published_frame,
    tolerance,
)

PUBLISHED, CLAIMS = published_frame(), claims_frame()
OF_CLAIM = {"gmacs": "gmacs_per_view", "params_m": "params_m", "top1": "metric"}


def rows_of(make, records):
    table = comparison_frame(make.frame(records), PUBLISHED, CLAIMS)
    return {row["id"] or row["key"]: row for _, row in table.iterrows()}


def counted(make, key, frames, size, gmacs, params_m, **axes):
    cell = make.cell(key, frames, size, **axes)
    return make.counted(cell, counts=make.counts(macs=round(gmacs * 1e9), params=round(params_m * 1e6)))


def test_the_published_figures_are_numbers_or_empty_and_92_rows():
    assert len(PUBLISHED) == 92
    for column in ("frames", "stride", "height", "width", "params_m", "gmacs_per_view", "metric"):
        assert PUBLISHED[column].dtype.kind == "f"
    base = PUBLISHED[PUBLISHED["key"] == "timesformer_b"].iloc[0]
    assert (base["frames"], base["stride"], base["gmacs_per_view"], base["metric"]) == (8, 32, 196, 78.0)
    assert (base["views_spatial"], base["views_temporal"], base["pretrain"]) == (3, 1, "IN-21K")


def test_every_published_figure_has_a_source_or_is_code_only():
    with_figures = PUBLISHED[PUBLISHED[["params_m", "gmacs_per_view", "metric"]].notna().any(axis=1)]
    assert (with_figures["source"] != "").all()


def test_no_data_file_names_a_path_of_a_machine():
    for name in ("published.csv", "claims_k400.csv"):
        text = files("vbench.data").joinpath(name).read_text(encoding="utf-8")
        assert not [root for root in ("/work/", "/home/", "/tmp/", "/root/") if root in text]


@pytest.mark.parametrize("claim", [row for _, row in CLAIMS.iterrows()], ids=CLAIMS["id"])
def test_each_claimed_figure_belongs_to_the_row_it_is_said_to(claim):
    """The owner of a figure prints it, in its column or in its source and note; what has no owner nobody prints."""
    known = k400_rows(PUBLISHED)
    for figure, owner in (part.split(": ") for part in claim["published_rows"].split("; ")):
        column, value = OF_CLAIM[figure], claim[figure]
        rows = known[known["key"] == owner.removesuffix(" on K600")]
        if owner == "none":
            kin = known.loc[known["key"] == claim["key"], "architecture"]
            rows = known[known["architecture"].isin(kin)]
            assert not rows.empty
            assert not (rows[column] == value).any()
        else:
            quoted = (rows["source"] + rows["note"]).str.contains(f"{value:g}", regex=False)
            assert (((rows[column] - value).abs() < 1) | quoted).any()


def test_a_claim_within_tolerance_of_the_count_agrees_and_beyond_it_is_contradicted(make):
    right = rows_of(make, [counted(make, "timesformer_l", 96, 224, 2379.857, 121.63)])["K13"]
    wrong = rows_of(make, [counted(make, "timesformer_l", 96, 224, 2500.0, 121.63)])["K13"]
    assert right["verdict"] == "agrees"
    assert right["deviation_percent"] == pytest.approx(100 * (2379.857 / 2380 - 1))
    assert wrong["verdict"] == "contradicted: counted GMACs +5.0 %"


def test_a_claim_whose_model_was_not_counted_at_its_clip_is_not_measured(make):
    other_clip = rows_of(make, [counted(make, "timesformer_l", 8, 224, 196, 121.6)])["K13"]
    assert other_clip["verdict"] == "not measured"
    assert math.isnan(other_clip["gmacs_counted"])
    assert rows_of(make, [])["K13"]["verdict"] == "not measured"


def test_figures_of_several_models_are_another_row_and_named(make):
    rows = rows_of(make, [])
    assert rows["K11"]["verdict"] == "other row: 28 M parameters of i3d_r50, 74.2 % top-1 of i3d_two_stream"
    assert rows["K15"]["verdict"] == "other row: 81.2 % top-1 of mvit_b_64x3"
    assert rows["K23"]["verdict"] == "other row: 84.0 % top-1 of video_swin_b on K600"
    assert rows["K23"]["top1_published"] == 82.7  # the pre-training whose accuracy is nearest


def test_a_figure_that_nobody_published_contradicts_the_claim(make):
    verdict = rows_of(make, [])["K16"]["verdict"]
    assert verdict == "contradicted: no published row of the architecture has 1600 GMACs, 84.4 % top-1"


def test_every_published_k400_row_of_a_present_model_is_in_table_1(make):
    table = comparison_frame(make.frame([counted(make, "timesformer_b", 8, 224, 195.83, 121.57)]), PUBLISHED, CLAIMS)
    catalog = table[table["id"] == ""]
    assert catalog[["key", "table", "verdict"]].to_numpy().tolist() == [["timesformer_b", "K400-1", "agrees"]]
    assert set(table.loc[table["table"] == "K400-2", "id"]) == {"K21", "K22", "K23", "K24"}


def test_the_latency_of_a_view_comes_from_the_default_setting_only(make):
    cell = make.cell("timesformer_b")
    half = make.measured(make.cell("timesformer_b", precision="bf16"), 0.01)
    batch = make.measured(make.cell("timesformer_b", batch=8), 0.02, counts=make.counts(macs=8 * 10**12))
    row = rows_of(make, [half, batch, make.measured(cell, 0.3)])["timesformer_b"]
    assert (row["latency_s"], row["cell"]) == (0.3, cell.id)
    assert row["latency_low_s"] < 0.3 < row["latency_high_s"]
    assert row["gmacs_counted"] == pytest.approx(195.830280192)


def test_accuracy_is_quoted_and_never_judged_by_a_count(make):
    row = rows_of(make, [counted(make, "timesformer_b_space", 8, 224, 140.5, 86.1)])["timesformer_b_space"]
    assert (row["top1_published"], row["verdict"]) == (76.9, "agrees")
    assert pd.isna(row["gmacs_published"])


@pytest.mark.parametrize(("printed", "allowed"), [(26, 0.5), (121.4, 1.214), (7, 0.5), (2380, 23.8), (0.5, 0.05)])
def test_the_tolerance_is_1_percent_or_what_rounding_hides(printed, allowed):
    assert tolerance(printed) == pytest.approx(allowed)
