"""Compressed variants beside their full model: in the table, and in the figure of accuracy against cost."""

from __future__ import annotations

import math

import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.explorer import explorer
from vbench.analysis.trade_off import trade_off_frame
from vbench.analysis.variants import compressed_frame, of_catalog, variants
from vbench.report.accuracy_cost import COSTS, family_lines, trade_off_figure
from vbench.report.compressed import compressed_table
from vbench_models import card_of

PUBLISHED = published_frame()


def swin(make, letter: str, seconds: float, macs: int, **axes):
    cell, subject = make.cell(f"video_swin_{letter}", 32, **axes), make.subject(is_default_clip=True, stride=2)
    return make.measured(cell, seconds, counts=make.counts(macs=macs), subject=subject)


@pytest.fixture
def swins(make):
    return [swin(make, "t", 1.0, 10), swin(make, "b", 4.0, 40)]


def test_every_variant_and_every_full_model_is_in_the_catalog_or_published() -> None:
    for key, row in of_catalog().items():
        assert card_of(key).kind == card_of(row["variant_of"]).kind == "architecture"
    absent = variants().query("key == ''")
    rows = set(PUBLISHED["architecture"] + " " + PUBLISHED["variant"])
    assert set(absent["published"]) <= rows
    assert len(absent) == 1


def test_a_variant_is_never_larger_than_its_full_model_as_published() -> None:
    """Of models with published rows at the same clip; and no variant is, over others, a variant of itself."""
    known = of_catalog()
    for key in known:
        passed = [key]
        while passed[-1] in known:
            passed.append(known[passed[-1]]["variant_of"])
            assert passed.count(passed[-1]) == 1
    costs = PUBLISHED.dropna(subset=["gmacs_per_view"]).groupby(["key", "frames", "height"])["gmacs_per_view"].min()
    pairs = [
        (costs[(key, *clip)], costs[(row["variant_of"], *clip)])
        for key, row in known.items()
        for clip in {place[1:] for place in costs.index if place[0] == key}
        if (row["variant_of"], *clip) in costs.index
    ]
    assert len(pairs) > 8
    assert all(small < full for small, full in pairs)


def test_a_smaller_model_stands_beside_the_full_one_with_accuracies_of_one_pre_training(make, swins) -> None:
    (row,) = compressed_frame(make.frame(swins), PUBLISHED).to_dict("records")
    assert (row["model"], row["variant_of"]) == ("video_swin_t", "video_swin_b")
    assert row["times_macs"] == pytest.approx(1 / 4)
    assert row["times_latency_median_s"] == pytest.approx(1 / 4)
    assert (row["top1"], row["top1_full"], row["pretrain"], row["pretrain_full"]) == (78.8, 80.6, "IN-1K", "IN-1K")


def test_int8_stands_beside_fp32_of_the_same_model_and_has_no_accuracy(make, swins) -> None:
    runs = [make.process((2.0,) * 3, serialized_bytes=25, logit_error=0.03)]
    plain = make.measured(make.cell("video_swin_b", 32), processes=[make.process((4.0,) * 3, serialized_bytes=100)])
    quantised = make.measured(make.cell("video_swin_b", 32, precision="int8"), processes=runs)
    (row,) = compressed_frame(make.frame([plain, quantised]), PUBLISHED).to_dict("records")
    assert row["variant_of"] == row["model"] == "video_swin_b"
    assert (row["times_serialized_bytes"], row["times_latency_median_s"]) == pytest.approx((0.25, 0.5))
    assert math.isnan(row["top1"])
    assert row["logit_error"] == 0.03
    small = swin(make, "t", 0.5, 10, precision="int8")
    rows = compressed_frame(make.frame([*swins, small, quantised]), PUBLISHED)
    both = rows[(rows["precision"] == "int8") & (rows["model"] == "video_swin_t")]
    assert sorted(both["variant_of"]) == ["video_swin_b", "video_swin_t"]
    assert both["top1"].isna().all()


def test_another_clip_is_not_the_same_and_another_environment_gives_no_ratio_of_latencies(make, swins) -> None:
    shorter = make.measured(make.cell("video_swin_t", 16))
    assert compressed_frame(make.frame([shorter, swins[1]]), PUBLISHED).empty
    there = make.measured(make.cell("video_swin_t", 32), environment="e2", counts=make.counts(macs=10))
    (row,) = compressed_frame(make.frame([there, swins[1]]), PUBLISHED).to_dict("records")
    assert row["times_macs"] == pytest.approx(1 / 4)
    assert math.isnan(row["times_latency_median_s"])


def test_a_variant_without_a_published_accuracy_has_its_cost_and_a_dash(make) -> None:
    cells = [make.cell(name, 8) for name in ("backbone:joint", "backbone:token_selection")]
    table = compressed_table(make.frame([make.counted(cell) for cell in cells]), PUBLISHED)
    (row,) = table.cells()
    text = dict(zip(table.heads, row, strict=True))
    assert (text["variant"], text["top-1 (%)"], text["pre-training"]) == ("backbone:token_selection", "-", "-")


def test_without_variants_there_is_no_table(make, swins) -> None:
    assert compressed_table(make.frame(swins[:1]), PUBLISHED).data.empty


def test_a_line_of_the_figure_leads_from_a_variant_to_the_full_model_of_its_own_pre_training(make, swins) -> None:
    rows = trade_off_frame(make.frame([*swins, swin(make, "l", 8.0, 80)]), PUBLISHED)
    ends = {
        (rows.loc[low, "key"], rows.loc[low, "pretrain"], rows.loc[high, "key"], rows.loc[high, "pretrain"])
        for low, high in family_lines(rows)
    }
    assert ends == {
        ("video_swin_t", "IN-1K", "video_swin_b", "IN-1K"),
        ("video_swin_b", "IN-1K", "video_swin_l", "IN-22K"),
        ("video_swin_b", "IN-22K", "video_swin_l", "IN-22K"),
    }
    axes = trade_off_figure(rows, COSTS["accuracy_macs"]).axes[0]
    drawn = [line for line in axes.get_lines() if line.get_label() == "_family"]
    assert sorted(line.get_ydata()[0] for line in drawn) == [78.8, 80.6, 82.7]


def test_a_variant_that_the_catalog_lacks_stands_at_its_quoted_cost_and_not_on_the_front(make) -> None:
    full = make.measured(make.cell("mvit_b_16x4", 16), counts=make.counts(macs=70_500_000_000))
    rows = trade_off_frame(make.frame([full]), PUBLISHED).set_index("basis")
    quoted = rows.loc["quoted"]
    assert (quoted["variant_of"], quoted["top1"], quoted["cell"]) == ("mvit_b_16x4", 78.1, "")
    assert quoted["macs"] == pytest.approx(5 * 56.4e9)
    assert not quoted["front_macs"]
    assert math.isnan(quoted["latency_s"])
    assert rows.loc["counted", "front_macs"]
    assert "quoted" not in set(trade_off_frame(make.frame([make.measured(make.cell())]), PUBLISHED)["basis"])


def test_the_explorer_names_the_full_model_and_gives_int8_no_accuracy(make, swins) -> None:
    settings = explorer(make.frame([*swins, swin(make, "t", 0.5, 10, precision="int8")]), PUBLISHED)
    accuracies = {(setting.precision, model.name): model.top1 for setting in settings for model in setting.models}
    assert accuracies["fp32", "video_swin_t"] == 78.8
    assert accuracies["int8", "video_swin_t"] is None
    full = {model.name: model.variant_of for setting in settings for model in setting.models}
    assert full == {"video_swin_t": "video_swin_b", "video_swin_b": "video_swin_l"}
