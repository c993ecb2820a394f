"""Claims on ratios, X01 to X09: each method says yes, no and not yet, by what was counted and what was measured."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import vbench
from vbench.analysis.claims import (
    METHODS,
    Evidence,
    Quantised,
    cells_to_count,
    cells_trained,
    limits_to_search,
    read_claims,
)
from vbench.analysis.claims.band import band_of, word_on
from vbench.analysis.ratio import PairedRatios, exact_ratio, latency_ratio, latency_ratios, pairs, scaled
from vbench.grid import read_grid
from vbench.measure.subject import known_facts
from vbench.stats import Interval, median_interval

CLAIMS = {claim.id: claim for claim in read_claims()}
MODEL_1, MODEL_2 = "vivit_b_16x2", "vivit_b_16x2_fe"
R50, R101 = "slowfast_r50_8x8", "slowfast_r101_8x8"
DIVIDED, JOINT = "timesformer_b", "timesformer_b_joint"
LITTLE = 0.001  # spread of the processes: ratios are known to half a percent


def judge(identifier, **evidence):
    claim = CLAIMS[identifier]
    return METHODS[claim.method](claim, Evidence(**evidence))


def ran(make, cell, latency_s, spread=LITTLE, **rest):
    runs = [make.process((latency_s * (1 + side * spread),) * 3) for side in (-1, 0, 1)]
    return make.measured(cell, processes=runs, **rest)


def counted(make, model, frames, gmacs, size=224):
    counts = make.counts(macs=round(gmacs * 1e9))
    return make.counted(make.cell(model, frames, size), counts=counts)


# what a claimed ratio stands for


@pytest.mark.parametrize(
    ("claimed", "low", "high"),
    [("2", 1.5, 2.5), ("2.4", 2.35, 2.45), ("2-4", 2, 4), ("1.5-2", 1.5, 2), ("30", 29.5, 30.5)],
)
def test_a_claimed_number_stands_for_all_that_rounds_to_it_and_a_range_for_itself(claimed, low, high):
    assert band_of(claimed) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.6, 2.4, "agrees"),
        (2.4, 2.6, "undecided"),
        (1.0, 3.0, "undecided"),
        (2.6, 2.7, "contradicted"),
        (1.0, 1.4, "contradicted"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_whole_interval_decides_or_nothing(low, high, word):
    assert word_on("2", Interval(2.0, low, high)) == word


# ratios of latencies


def only(make, *records):
    return list(make.frame(records).itertuples())


def test_independent_errors_add_in_quadrature(make):
    one, other = only(make, ran(make, make.cell(frames=8), 3.0, 0.01), ran(make, make.cell(frames=4), 1.0, 0.01))
    alone = median_interval([0.99, 1.0, 1.01])
    ratio = latency_ratio(one, other)
    assert ratio.estimate == pytest.approx(3)
    below, above = math.log(1 / alone.low), math.log(alone.high)
    assert math.log(ratio.high / 3) == pytest.approx(math.hypot(above, below))
    assert math.log(3 / ratio.low) == pytest.approx(math.hypot(below, above))


def test_a_ratio_turned_around_has_the_interval_turned_around(make):
    one, other = only(make, ran(make, make.cell(frames=8), 3.0, 0.02), ran(make, make.cell(frames=4), 1.0, 0.01))
    there, back = latency_ratio(one, other), latency_ratio(other, one)
    assert (1 / back.high, 1 / back.low) == pytest.approx((there.low, there.high))
    assert scaled(there, 10) == Interval(10 * there.estimate, 10 * there.low, 10 * there.high)


def test_a_noisy_cell_makes_the_interval_wider(make):
    quiet, same = ran(make, make.cell(frames=4), 1.0), ran(make, make.cell(frames=8), 2.0)
    noisy = replace(same, processes=tuple(replace(run, quality="noisy: load") for run in same.processes))
    clean, loud = (latency_ratio(*only(make, record, quiet)) for record in (same, noisy))
    assert loud.low < clean.low < clean.high < loud.high


def test_one_process_leaves_a_ratio_without_an_interval(make):
    alone = make.measured(make.cell(frames=8), processes=[make.process((2.0,))])
    ratio = latency_ratio(*only(make, alone, ran(make, make.cell(frames=4), 1.0)))
    assert ratio.estimate == 2
    assert word_on("2", ratio) == "undecided"


def test_cells_are_paired_that_differ_in_nothing_else(make):
    cells = [
        make.cell(precision=precision, batch=batch, mode=mode)
        for precision in ("fp32", "bf16")
        for batch, mode in ((1, "infer"), (2, "infer"), (1, "train"))
    ]
    frame = make.frame([ran(make, cell, 1.0) for cell in (*cells, make.cell(precision="fp32", batch=4))])
    found = pairs(frame, {"precision": "fp32"}, {"precision": "bf16"})
    assert [(one.batch, one.mode) for one, _ in found] == [(1, "infer"), (2, "infer"), (1, "train")]
    assert all((one.batch, one.mode) == (other.batch, other.mode) for one, other in found)


def test_a_mixed_clip_is_another_cell(make):
    mixed = [make.cell(mode="train", mixing="mixup", precision=precision) for precision in ("fp32", "bf16")]
    frame = make.frame([ran(make, cell, 1.0) for cell in mixed])
    assert pairs(frame, {"precision": "fp32"}, {"precision": "bf16"}) == []


def test_latencies_of_two_environments_are_no_pair(make):
    here, there = ran(make, make.cell(frames=8), 1.0), ran(make, make.cell(frames=4), 1.0, environment="e2")
    frame = make.frame([here, there])
    assert latency_ratios(frame, {"frames": 8}, {"frames": 4}, PairedRatios()) == []
    assert len(pairs(frame, {"frames": 8}, {"frames": 4})) == 1


def test_the_ratio_of_counts_is_exact_and_unknown_where_one_is():
    assert exact_ratio(6, 2) == Interval(3, 3, 3)
    assert math.isnan(exact_ratio(6, math.nan).estimate)


# X01


def both_models(make, *lengths_and_seconds):
    return make.frame(
        ran(make, make.cell(model, frames), seconds)
        for frames, *both in lengths_and_seconds
        for model, seconds in zip((MODEL_1, MODEL_2), both, strict=True)
    )


@pytest.mark.parametrize(
    ("slow_s", "verdict"),
    [(2.0, "agrees"), (2.45, "agrees"), (2.5, "undecided"), (3.4, "contradicted"), (1.2, "contradicted")],
)
def test_the_factorised_encoder_is_as_much_faster_as_latencies_say(make, slow_s, verdict):
    judged = judge("X01", costs=both_models(make, (32, slow_s, 1.0)))
    assert judged.verdict == verdict
    assert "32x224x224" in judged.derived
    assert "58.9 ms and 17.4 ms" in judged.evidence
    assert ("would be decided by" in judged.evidence) == (verdict == "undecided")


def test_one_length_at_which_it_is_not_so_contradicts_it(make):
    assert judge("X01", costs=both_models(make, (32, 2.0, 1.0), (8, 1.2, 1.0))).verdict == "contradicted"


def test_which_is_faster_is_not_for_multiply_adds_to_say(make):
    frame = make.frame([counted(make, MODEL_1, 32, 450), counted(make, MODEL_2, 32, 225)])
    judged = judge("X01", costs=frame)
    assert judged.verdict == "undecided"
    assert "2.00 times at 32 frames" in judged.derived
    assert "would be decided by latencies" in judged.evidence
    assert judged.reproduce.startswith("vbench sweep --preset claims")


# X02


def growing(make, **powers):
    """Multiply-adds of the four models that grow with a power of the frames."""
    return [counted(make, key, n, n ** powers.get(key, 1.0)) for key in CLAIMS["X02"].keys for n in (8, 16, 32, 128)]


def test_four_times_the_frames_cost_four_times_where_cost_is_linear(make):
    judged = judge("X02", costs=make.frame(growing(make)))
    assert judged.verdict == "agrees"
    assert judged.derived.count("8 to 32 frames 4.00 times") == 4
    assert judged.derived.count("32 to 128 frames 4.00 times") == 4


def test_one_model_that_grows_faster_contradicts_it_for_all(make):
    judged = judge("X02", costs=make.frame(growing(make, vivit_b_16x2=1.3)))
    assert judged.verdict == "contradicted"
    assert f"{MODEL_1} contradicted" in judged.evidence
    assert f"{MODEL_2} agrees" in judged.evidence


@pytest.mark.parametrize(("long_s", "verdict"), [(4.0, "agrees"), (4.5, "undecided"), (5.0, "contradicted")])
def test_a_cost_is_time_too_where_it_was_measured(make, long_s, verdict):
    timed = [ran(make, make.cell(MODEL_2, n), s, counts=make.counts(macs=n)) for n, s in ((8, 1.0), (32, long_s))]
    assert judge("X02", costs=make.frame([*growing(make)[:4], *timed])).verdict == verdict


# X03


def videos(make, r50_s, r101_s):
    rivals = [ran(make, make.cell(key, 32, 256), s) for key, s in ((R50, r50_s), (R101, r101_s)) if s]
    return make.frame([ran(make, make.cell(DIVIDED, 8, 224), 1.0), *rivals])


@pytest.mark.parametrize(
    ("r50_s", "r101_s", "verdict"),
    [(0.24, 0.5, "agrees"), (0.5, 0.24, "agrees"), (0.34, 0.55, "contradicted"), (0.235, 0.5, "undecided")],
)
def test_a_video_takes_ten_times_the_views_of_slowfast(make, r50_s, r101_s, verdict):
    judged = judge("X03", costs=videos(make, r50_s, r101_s))
    assert judged.verdict == verdict
    assert "10 times the views" in judged.derived
    assert "0.59 and 1.97 TFLOPs" in judged.evidence


def test_multiply_adds_alone_leave_the_speed_of_a_video_open(make):
    frame = make.frame([counted(make, DIVIDED, 8, 200), counted(make, R50, 32, 60, size=256)])
    judged = judge("X03", costs=frame)
    assert judged.verdict == "undecided"
    assert f"{R50} 0.300 times a view, 3.00 times a video" in judged.derived


# X04


def along_time(make, ratio):
    """Joint attention's multiply-adds are `ratio(frames)` times those of divided attention."""
    lengths = (8, 16, 32, 64)
    return [counted(make, DIVIDED, n, n) for n in lengths] + [counted(make, JOINT, n, n * ratio(n)) for n in lengths]


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (lambda n: n / 12, "agrees"),
        (lambda n: n / 100, "contradicted"),
        (lambda n: 20 / n, "contradicted"),
        (lambda _: 2, "contradicted"),
    ],
)
def test_divided_attention_scales_better_where_joint_becomes_the_dearer(make, ratio, verdict):
    assert judge("X04", costs=make.frame(along_time(make, ratio))).verdict == verdict


def test_one_length_says_nothing_of_growth(make):
    frame = make.frame([counted(make, DIVIDED, 8, 1), counted(make, JOINT, 8, 2)])
    assert judge("X04", costs=frame).verdict == "undecided"


def test_networks_blocks_and_cores_have_crossovers_of_their_own(make):
    powers = {
        "joint": lambda t: t**2,
        "divided": lambda t: 8 * t,
        "core:joint": lambda t: 9 * t,
        "core:divided": lambda t: t,
    }
    blocks = [
        ran(make, make.cell(key, t, 14, unit="tokens"), 1e-3 * cost(t), subject=make.subject(kind="pattern"))
        for key, cost in powers.items()
        for t in (4, 16)
    ]
    longest = {limit: 100 + place for place, limit in enumerate(limits_to_search([CLAIMS["X04"]]))}
    judged = judge("X04", costs=make.frame([*along_time(make, lambda n: n / 12), *blocks]), longest=longest)
    assert f"{DIVIDED} is the cheaper from 12.0 frames [8.0, 16.0]" in judged.derived
    assert "of one block: divided is the cheaper from 8.0 tokens in time" in judged.evidence
    assert "of the bare core: no crossover" in judged.evidence
    assert f"{DIVIDED}, fused: 100, 101, 102, 103; {JOINT}, fused: 104" in judged.evidence


# X05


def peaks(share):
    """Bytes of every training step that the claim looks at; `share(batch)` of them remain under autocast."""
    cells = cells_trained([CLAIMS["X05"]])
    return {cell: round(2**33 * (1.0 if cell.precision == "fp32" else share(cell.batch))) for cell in cells}


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (lambda _: 0.5, "agrees"),
        (lambda _: 0.8, "contradicted"),
        (lambda batch: 0.9 if batch == 1 else 0.5, "contradicted"),
    ],
)
def test_autocast_halves_memory_where_it_does_so_for_every_model_and_batch(share, verdict):
    judged = judge("X05", training_peaks=peaks(share))
    assert judged.verdict == verdict
    assert "8.00 GiB and" in judged.derived


def test_memory_that_nobody_predicted_is_left_open():
    assert judge("X05").verdict == "undecided"


# X06


def steps(make, half_s, device):
    cells = [make.cell(mode="train", precision=precision, device=device) for precision in ("fp32", "bf16")]
    return make.frame([ran(make, cell, seconds) for cell, seconds in zip(cells, (1.0, half_s), strict=True)])


@pytest.mark.parametrize(("half_s", "verdict"), [(0.6, "agrees"), (0.9, "contradicted"), (0.5, "undecided")])
def test_the_speed_of_mixed_precision_is_an_accelerator_s(make, half_s, verdict):
    assert judge("X06", costs=steps(make, half_s, "cuda")).verdict == verdict


@pytest.mark.parametrize("half_s", [0.6, 0.9])
def test_what_a_cpu_gives_is_said_and_decides_nothing(make, half_s):
    judged = judge("X06", costs=steps(make, half_s, "cpu"))
    assert judged.verdict == "undecided"
    assert f"{1 / half_s:.2f} times" in judged.derived
    assert "--devices cuda" in judged.evidence


# X07


def longest(*lengths):
    """The longest clips without and with checkpointing, the same for every model."""
    return {limit: lengths[limit.checkpointing] for limit in limits_to_search([CLAIMS["X07"]])}


@pytest.mark.parametrize(
    ("without", "with_it", "verdict"),
    [(16, 32, "agrees"), (16, 64, "agrees"), (16, 24, "contradicted"), (16, 80, "contradicted")],
)
def test_checkpointing_lengthens_the_clip_within_one_memory(make, without, with_it, verdict):
    cells = [make.cell(mode="train", checkpointing=forgets) for forgets in (True, False)]
    frame = make.frame([ran(make, cell, seconds) for cell, seconds in zip(cells, (1.3, 1.0), strict=True)])
    judged = judge("X07", longest=longest(without, with_it), costs=frame)
    assert judged.verdict == verdict
    assert f"{without} frames without, {with_it} with" in judged.derived
    assert "1.30 times" in judged.evidence


def test_a_memory_that_holds_no_clip_at_all_says_nothing():
    assert judge("X07", longest=longest(0, 8)).verdict == "undecided"


# X08


@pytest.mark.parametrize(("fp32_s", "verdict"), [(3.0, "agrees"), (1.2, "contradicted"), (2.0, "undecided")])
def test_integers_are_as_much_faster_as_latencies_say(make, fp32_s, verdict):
    cells = [make.cell(precision=precision) for precision in ("fp32", "int8")]
    frame = make.frame([ran(make, cell, seconds) for cell, seconds in zip(cells, (fp32_s, 1.0), strict=True)])
    assert judge("X08", costs=frame).verdict == verdict


def test_without_a_measurement_the_speed_of_integers_is_open():
    judged = judge("X08")
    assert judged.verdict == "undecided"
    assert "would be decided by latencies" in judged.evidence


# X09


@pytest.mark.parametrize(("int8", "verdict"), [(25, "agrees"), (28, "agrees"), (40, "contradicted")])
def test_bytes_on_disk_are_held_against_four_times(int8, verdict):
    judged = judge("X09", quantised_networks={DIVIDED: Quantised(100 * 2**20, int8 * 2**20, ("positions",))})
    assert judged.verdict == verdict
    assert f"{DIVIDED} 1" in judged.evidence


def test_bytes_that_were_recorded_go_before_those_saved_now(make):
    def saved(precision, size):
        return make.measured(make.cell(precision=precision), processes=[make.process(serialized_bytes=size)])

    now = {DIVIDED: Quantised(100, 90, ())}
    frame = make.frame([saved("fp32", 400), saved("int8", 100)])
    assert judge("X09", costs=frame, quantised_networks=now).verdict == "agrees"
    assert judge("X09", quantised_networks=now).verdict == "contradicted"


def test_no_network_and_no_verdict():
    assert judge("X09").verdict == "undecided"


# what is asked for


def test_every_clip_that_a_claim_compares_is_asked_for_once():
    cells = cells_to_count(CLAIMS.values())
    assert len(cells) == len(set(cells)) > 0
    assert {(R50, 32, 256), (R101, 32, 256), (DIVIDED, 8, 224)} <= {(c.model, c.frames, c.height) for c in cells}
    assert not any(asked([CLAIMS["S01"]]) for asked in (cells_to_count, limits_to_search, cells_trained))


def test_the_preset_measures_what_these_claims_are_open_without(make):
    grid = read_grid(Path(vbench.__file__).parent / "presets" / "claims.toml")
    cells = [plan.cell for plan in grid.plans(known_facts(grid.models())) if not plan.count_only]
    frame = make.frame([ran(make, cell, 1.0) for cell in cells])
    verdicts = {name: judge(name, costs=frame).verdict for name in ("X01", "X02", "X03", "X08")}
    assert set(verdicts.values()) == {"contradicted"}  # where everything takes one second
    assert "times" in judge("X06", costs=frame).derived
    assert "not measured" not in judge("X07", costs=frame, longest=longest(16, 32)).evidence
