"""The table of where norms stand, from synthetic records."""

from __future__ import annotations

import pytest

from vbench.analysis.normalisation import normalisation_frame
from vbench.report.normalisation import normalisation_table

KEYS = ("backbone", "backbone_post_norm", "backbone_adaptive_norm")


def records(make, pattern: str, seconds=(0.2, 0.22, 0.3)):
    counts = [make.counts(params=params, macs=macs) for params, macs in ((80, 1000), (78, 1000), (120, 1044))]
    cells = [make.cell(f"{key}:{pattern}") for key in KEYS]
    return [make.measured(cell, s, counts=c) for cell, s, c in zip(cells, seconds, counts, strict=True)]


def test_each_placement_stands_beside_pre_norm_of_its_own_pattern(make) -> None:
    frame = make.frame([*records(make, "joint"), *records(make, "divided", (1.0, 1.0, 2.0))])
    rows = normalisation_frame(frame).set_index(["pattern", "placement"])
    assert list(rows.loc["joint"].index) == ["pre-norm", "post-norm", "adaptive norm"]
    assert rows.loc[("joint", "adaptive norm"), "times_latency"] == pytest.approx(1.5)
    assert rows.loc[("divided", "adaptive norm"), "times_latency"] == pytest.approx(2.0)
    assert rows.loc[("joint", "adaptive norm"), "times_params"] == pytest.approx(1.5)
    assert rows["more_macs"].tolist() == [0, 0, 44] * 2


def test_another_clip_or_environment_is_compared_with_nothing(make) -> None:
    before, after, _ = records(make, "joint")
    elsewhere = make.measured(after.cell, 0.1, environment="e2")
    longer = make.measured(make.cell("backbone_post_norm:joint", 16), 0.4)
    assert normalisation_frame(make.frame([before, elsewhere, longer])).empty


def test_what_was_only_counted_has_no_latency_beside_it(make) -> None:
    before, _, adaptive = records(make, "joint")
    rows = normalisation_frame(make.frame([make.counted(before.cell, counts=before.counts), adaptive]))
    assert rows["times_params"].tolist() == [1.0, 1.5]
    assert rows["times_latency"].isna().all()
    text = normalisation_table(make.frame([make.counted(before.cell), adaptive])).markdown()
    assert "adaptive norm" in text


def test_other_models_make_no_table(make) -> None:
    assert normalisation_table(make.frame([make.measured(make.cell())])).data.empty
