"""The selection guide: costs by clip length against the literature's advice; accuracy only where it is published."""

from __future__ import annotations

import math

import pytest

from vbench.analysis.claims import METHODS, Evidence, clips_to_count, read_claims
from vbench.analysis.comparison import published_frame
from vbench.analysis.selection import REMEMBERING, read_advice, selection_frame

PUBLISHED = published_frame()
CLAIMS = {claim.id: claim for claim in read_claims()}
GIB = 2**30


def counted(make, key, frames, gmacs, peak=GIB):
    counts = make.counts(macs=round(gmacs * 1e9), predicted_peak_bytes=peak)
    return make.counted(make.cell(key, frames), counts=counts, subject=make.subject(family="any"))


def measured(make, key, frames, seconds, spread=0.01):
    runs = [make.process((seconds * (1 + side * spread),)) for side in (-1, 0, 1)]
    return make.measured(make.cell(key, frames), processes=runs)


def judge(identifier, make, records):
    claim = CLAIMS[identifier]
    return METHODS[claim.method](claim, Evidence(selection=selection_frame(make.frame(records), PUBLISHED)))


def test_the_advice_belongs_to_claims_and_its_lengths_rise():
    advice = read_advice()
    assert [one.claim for one in advice] == sorted(one.claim for one in advice)
    assert [one.frames for one in advice] == sorted(one.frames for one in advice)
    for one in advice:
        assert set(one.advised) | set(one.rivals) <= set(CLAIMS[one.claim].keys)
        assert not set(one.advised) & set(one.rivals)


def test_a_model_that_remembers_is_taken_at_the_clip_that_the_catalog_gives_it():
    from vbench_models import card_of

    assert {key: card_of(key).default_clip.frames for key in REMEMBERING} == REMEMBERING


def test_every_clip_of_the_advice_is_one_that_can_be_counted_once():
    clips = clips_to_count(CLAIMS.values())
    assert len(clips) == len(set(clips)) > 0
    assert ("memvit_16", 16) in clips  # 128 frames are 8 of its clips
    assert clips_to_count([CLAIMS["S01"]]) == []


def test_a_clip_that_is_remembered_costs_so_many_of_its_own(make):
    table = selection_frame(make.frame([counted(make, "memvit_16", 16, 58.5, peak=3 * GIB)]), PUBLISHED)
    (row,) = table[table["frames"] == 128].to_dict("records")
    assert row["macs"] == pytest.approx(8 * 58.5e9)
    assert (row["predicted_peak_bytes"], row["fits_gib"]) == (3 * GIB, 4)  # of one clip
    assert row["clip"].startswith("8 x 16x224x224")


@pytest.mark.parametrize(("rival_gmacs", "verdict"), [(50.0, "contradicted"), (500.0, "agrees")])
def test_a_cheaper_rival_contradicts_the_advice(make, rival_gmacs, verdict):
    records = [counted(make, key, frames, 100.0) for key in ("timesformer_b", "vivit_b_16x2_fe") for frames in (8, 16)]
    records += [counted(make, "mvit_b_16x4", frames, rival_gmacs) for frames in (8, 16)]
    judged = judge("V01", make, records)
    assert judged.verdict == verdict
    assert "mvit_b_16x4 (rival)" in judged.derived
    assert judged.reproduce.startswith("vbench ")


def test_latency_decides_before_multiply_adds_and_an_overlap_leaves_it_open(make):
    fast = [measured(make, "timesformer_b", 8, 1.0), measured(make, "mvit_b_16x4", 8, 2.0)]
    table = selection_frame(make.frame(fast), PUBLISHED)  # equal multiply-adds
    assert set(table["cost_verdict"]) == {"agrees"}
    close = [measured(make, "timesformer_b", 8, 1.0, 0.1), measured(make, "mvit_b_16x4", 8, 0.99, 0.1)]
    table = selection_frame(make.frame(close), PUBLISHED)
    assert set(table["cost_verdict"]) == {"undecided"}
    assert judge("V01", make, close).verdict == "undecided"


def test_accuracy_is_quoted_at_its_own_clip_and_undecided_at_every_other(make):
    records = [counted(make, "timesformer_b", frames, 100.0) for frames in (8, 16)]
    table = selection_frame(make.frame(records), PUBLISHED).set_index("frames")
    assert (table.loc[8, "top1"], table.loc[8, "accuracy"]) == (78.0, "quoted")
    assert math.isnan(table.loc[16, "top1"])
    assert table.loc[16, "accuracy"] == "undecided"


def test_a_figure_on_another_data_set_decides_no_accuracy(make):
    records = [counted(make, "memvit_16", 16, 58.5), counted(make, "timesformer_b", 128, 4000.0)]
    judged = judge("V03", make, records)
    assert judged.verdict == "agrees"
    assert "accuracy at 128 frames undecided for memvit_16" in judged.evidence


def test_without_costs_the_advice_is_undecided_and_says_what_would_decide_it(make):
    judged = judge("V02", make, [])
    assert judged.verdict == "undecided"
    assert "would be decided by the costs of mvit_b_32x3" in judged.evidence


def test_what_fits_in_no_memory_is_said(make):
    records = [counted(make, "memvit_16", 16, 58.5), counted(make, "vivit_b_16x2", 128, 4000.0, peak=100 * GIB)]
    assert "not all in the memory of one accelerator" in judge("V03", make, records).evidence
