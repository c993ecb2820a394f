"""Claims X10 to X19 on made-up evidence: each method says yes and no, and without evidence what would decide."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from vbench.analysis.claims import METHODS, Claim, Evidence, Judged, Limit, read_claims
from vbench.analysis.claims import work as work_claims
from vbench.analysis.claims.reach import COUNTED, REACH_METHODS, limits_reached
from vbench.analysis.claims.work import MASKED, WORK_METHODS

CLAIMS = {claim.id: claim for claim in read_claims()}
MINE = [claim for claim in CLAIMS.values() if claim.method in {**REACH_METHODS, **WORK_METHODS}]
CLIPS = {  # each model's own
    "mvit_b_16x4": (16, 224, 4), "mvit_b_64x3": (64, 224, 3), "vivit_l_16x2_320": (32, 320, 2),
    "slowfast_r50_8x8": (32, 256, 2), "slowfast_r101_8x8": (32, 256, 2), "i3d_r50": (8, 256, 8),
    "i3d_rgb": (64, 224, 1), "c3d": (16, 112, 1), "timesformer_b": (8, 224, 32), "vivit_b_16x2": (32, 224, 2),
    "vivit_b_16x2_fe": (32, 224, 2), "video_swin_t": (32, 224, 2),
}  # fmt: skip


def judge(identifier: str, known: Evidence, **changes: object) -> Judged:
    claim: Claim = replace(CLAIMS[identifier], **changes)
    return METHODS[claim.method](claim, known)


def own(make, gmacs, strides=None):
    """Every named model counted at its own clip, with so many GMACs."""
    records = []
    for model, cost in gmacs.items():
        frames, size, stride = CLIPS[model]
        stride = (strides or {}).get(model, stride)
        subject = make.subject(is_default_clip=True, stride=stride, family=model.split("_")[0])
        counts = make.counts(macs=round(cost * 1e9))
        records.append(make.counted(make.cell(model, frames, size), subject=subject, counts=counts))
    return make.frame(records)


def timed(make, *cells, spread=0.01):
    """Cells given as (model, seconds, GMACs, axes), each measured in three processes."""
    records = []
    for model, seconds, gmacs, axes in cells:
        runs = [make.process((seconds * side,)) for side in (1 - spread, 1, 1 + spread)]
        counts = make.counts(macs=round(gmacs * 1e9))
        records.append(make.measured(make.cell(model, **axes), processes=runs, counts=counts))
    return make.frame(records)


def test_the_ten_claims_have_a_method_each() -> None:
    assert [claim.id for claim in MINE] == [f"X{number}" for number in range(10, 20)]
    assert {claim.method for claim in MINE} == {*REACH_METHODS, *WORK_METHODS} > set(COUNTED)


@pytest.mark.parametrize("claim", MINE, ids=lambda claim: claim.id)
def test_without_evidence_a_claim_is_undecided_and_says_what_would_decide_it(claim: Claim) -> None:
    judged = METHODS[claim.method](claim, Evidence())
    assert judged.verdict == "undecided"
    assert "would be decided by" in judged.evidence
    assert judged.reproduce.startswith("vbench ")


@pytest.mark.parametrize(
    ("keys", "claimed", "verdict"),
    [
        (("mvit_b_16x4", "vivit_l_16x2_320"), "40", "contradicted"),  # 2.9 points apart
        (("mvit_b_64x3", "vivit_l_16x2_320"), "40", "agrees"),  # 81.2 and 81.3 %
        (("mvit_b_64x3", "vivit_l_16x2_320"), "57", "contradicted"),  # alike, but not that much cheaper
    ],
)
def test_a_ratio_of_costs_at_like_accuracy_needs_both(make, keys, claimed, verdict) -> None:
    known = Evidence(counted=own(make, {"mvit_b_16x4": 100, "mvit_b_64x3": 100, "vivit_l_16x2_320": 4000}))
    judged = judge("X10", known, keys=keys, claimed=claimed)
    assert judged.verdict == verdict
    assert "40.0 times a view" in judged.derived


def test_a_video_costs_the_views_of_its_protocol(make) -> None:
    known = Evidence(counted=own(make, {"slowfast_r50_8x8": 65, "timesformer_b": 196}))
    assert judge("X11", known, keys=("slowfast_r50_8x8",)).verdict == "agrees"
    judged = judge("X11", known)
    assert judged.verdict == "contradicted"
    assert "timesformer_b: 3x1, a video costs 3 views" in judged.derived
    assert "30 views for slowfast_r50_8x8, 1 of 2" in judged.evidence


@pytest.mark.parametrize(
    ("axial_s", "spread", "verdict"), [(0.04, 0.01, "agrees"), (0.01, 0.01, "contradicted"), (0.0205, 0.1, "undecided")]
)
def test_the_lower_rate_is_the_lower_fraction_of_any_peak(make, axial_s, spread, verdict) -> None:
    grid = {"frames": 8, "size": 14, "unit": "tokens"}
    cells = timed(make, ("core:axial", axial_s, 1.0, grid), ("core:divided", 0.02, 1.0, grid), spread=spread)
    assert judge("X12", Evidence(costs=cells)).verdict == verdict


def test_a_rate_is_work_over_time_and_not_time_alone(make) -> None:
    grid = {"frames": 8, "size": 14, "unit": "tokens"}
    cells = timed(make, ("core:axial", 0.01, 1.0, grid), ("core:divided", 0.02, 4.0, grid))
    assert judge("X12", Evidence(costs=cells)).verdict == "agrees"  # half the time, but a quarter of the work


def test_the_bare_attention_decides_and_its_projections_stand_beside(make) -> None:
    grid = {"frames": 8, "size": 14, "unit": "tokens"}
    bare = (("core:axial", 0.04, 1.0, grid), ("core:divided", 0.02, 1.0, grid))
    whole = (("axial", 0.1, 1.0, grid), ("divided", 0.1, 1.0, grid))
    judged = judge("X12", Evidence(costs=timed(make, *whole, *bare)))
    assert judged.verdict == "agrees"
    assert "with what stands around it: axial" in judged.evidence
    assert judge("X12", Evidence(costs=timed(make, *whole))).verdict == "undecided"


def test_two_patterns_on_two_grids_say_nothing_of_each_other(make) -> None:
    one, other = ({"frames": frames, "size": 14, "unit": "tokens"} for frames in (8, 16))
    cells = timed(make, ("core:axial", 0.01, 1.0, one), ("core:divided", 0.02, 1.0, other))
    assert judge("X12", Evidence(costs=cells)).verdict == "undecided"


@pytest.mark.parametrize(("frames", "verdict"), [(90, "agrees"), (200, "agrees"), (201, "contradicted")])
def test_a_practical_length_is_about_a_hundred_frames_in_every_memory(frames: int, verdict: str) -> None:
    longest = dict.fromkeys(limits_reached(CLAIMS["X13"]), 60)
    longest |= {limit: frames for limit in longest if limit.mode == "infer"}
    assert judge("X13", Evidence(longest=longest)).verdict == verdict


def test_who_takes_more_than_a_thousand_frames_is_named_with_the_least_memory_that_holds_them() -> None:
    longest = dict.fromkeys(limits_reached(CLAIMS["X13"]), 60)
    longest |= {Limit(model="timesformer_b", memory_bytes=memory): 2000 for memory in (80 * 10**9, 141 * 10**9)}
    judged = judge("X13", Evidence(longest=longest))
    assert "more than 1000: timesformer_b (infer) from 80 GB on;" in judged.evidence
    assert "timesformer_b: 60, 60, 2000, 2000 (infer)" in judged.derived


def test_one_missing_length_leaves_the_practical_length_open() -> None:
    others = limits_reached(CLAIMS["X13"])[1:]
    assert judge("X13", Evidence(longest=dict.fromkeys(others, 60))).verdict == "undecided"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"c3d": 76, "i3d_r50": 36}, "agrees"),  # clips of 16 and 8 frames end them
        ({"c3d": 12, "i3d_rgb": 9}, "agrees"),  # kernels end the second
        ({"c3d": 76, "i3d_rgb": 60}, "contradicted"),
        ({"c3d": 3}, "contradicted"),
    ],
)
def test_a_position_sees_its_receptive_field_within_its_clip(make, fields, verdict) -> None:
    known = Evidence(counted=own(make, dict.fromkeys(("c3d", "i3d_r50", "i3d_rgb"), 30)), receptive_frames=fields)
    assert judge("X14", known).verdict == verdict


@pytest.mark.parametrize(
    ("gmacs", "verdict", "pairs"),
    [
        ({"c3d": 160, "i3d_r50": 80, "timesformer_b": 40}, "agrees", "2 of 2"),  # 10 and 10 a frame against 5
        ({"c3d": 32, "i3d_r50": 16, "timesformer_b": 196}, "contradicted", "0 of 2"),
        ({"c3d": 160, "i3d_r50": 16, "timesformer_b": 40}, "contradicted", "1 of 2"),
    ],
)
def test_frames_are_compared_pair_by_pair(make, gmacs, verdict, pairs) -> None:
    judged = judge("X15", Evidence(counted=own(make, gmacs)))
    assert judged.verdict == verdict
    assert pairs in judged.evidence


@pytest.mark.parametrize(
    ("stride", "verdict"), [(32, "agrees"), (30, "agrees"), (16, "contradicted"), (64, "contradicted")]
)
def test_a_clip_covers_frames_times_stride(make, stride, verdict) -> None:
    judged = judge("X16", Evidence(counted=own(make, {"timesformer_b": 196}, {"timesformer_b": stride})))
    assert judged.verdict == verdict
    assert f"{8 * stride / 30:.1f} s with the stride" in judged.derived


@pytest.mark.parametrize("verdict", ["contradicted", "agrees"])
def test_the_source_decides_the_order_and_the_cost_of_both_stands_beside_it(make, monkeypatch, verdict) -> None:
    read = pd.DataFrame([{"id": "X17", "verdict": verdict, "found": "so", "source": "a paper"}])
    monkeypatch.setattr(work_claims, "data", lambda _name: read)
    frame = make.frame([make.counted(make.cell(model, 16)) for model in CLAIMS["X17"].keys])
    judged = judge("X17", Evidence(costs=frame))
    assert judged.verdict == verdict
    assert judged.derived.count("196 GMACs") == 2
    assert "so (a paper)" in judged.evidence


def stems(make, macs_ratio, seconds=None):
    hybrid, pure = CLAIMS["X18"].keys
    counts = {hybrid: make.counts(macs=round(macs_ratio * 10**11)), pure: make.counts(macs=10**11)}
    records = [make.counted(make.cell(model, 16), counts=counts[model]) for model in (hybrid, pure)]
    times = dict(zip((hybrid, pure), seconds or (), strict=False))
    records += [make.measured(make.cell(model, 8, 112), latency) for model, latency in times.items()]
    return Evidence(costs=make.frame(records))


@pytest.mark.parametrize(
    ("ratio", "seconds", "verdict"),
    [
        (0.5, (0.1, 0.3), "agrees"),
        (0.5, (0.3, 0.1), "contradicted"),
        (1.2, (0.1, 0.3), "contradicted"),
        (0.5, (0.1, 0.1001), "undecided"),
        (0.5, None, "undecided"),
        (1.2, None, "contradicted"),
    ],
)
def test_a_stem_costs_less_in_multiply_adds_and_in_time_or_it_does_not(make, ratio, seconds, verdict) -> None:
    judged = judge("X18", stems(make, ratio, seconds))
    assert judged.verdict == verdict
    assert ("would be decided by" in judged.evidence) == (verdict == "undecided")


@pytest.mark.parametrize(("masked", "verdict"), [((800, 800), "contradicted"), ((105, 800), "agrees")])
def test_a_gate_saves_what_its_cost_follows(make, masked, verdict) -> None:
    forms = {"masked": dict(zip((0.125, 1.0), masked, strict=True)), "gathered": {0.125: 101, 1.0: 800}}
    cells = timed(make, ("gated_temporal", 0.1, 1.0, {}), (MASKED, 0.2, 1.0, {}))
    judged = judge("X19", Evidence(gated_macs=forms, costs=cells))
    assert judged.verdict == verdict
    assert "0.500 times [" in judged.evidence
