"""Records to rows: which record stands for a cell, and what follows from it."""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from vbench.analysis.frame import COLUMNS, at_default_clip, default_clips, in_tokens

NEVER_MEASURED = (
    "predicted_process_peak_bytes", "tensor_peak_bytes", "forward_median_s", "compile_s", "serialized_bytes",
    "logit_error", "backward_dtypes", "batch_norm", "scaling_efficiency", "mfu", "matmul_peak_fraction",
    "roofline_bound", "roofline_fraction",
)  # fmt: skip


def only(frame):
    assert len(frame) == 1
    return frame.iloc[0]


def test_the_columns_are_those_of_records_csv_in_order(make):
    frame = make.frame([make.measured(make.cell())])
    assert list(frame.columns) == list(COLUMNS)
    assert (COLUMNS[0], COLUMNS[8], COLUMNS[-1], len(COLUMNS)) == ("cell", "tokens", "environment", 56)


def test_the_last_clean_attempt_wins(make):
    noisy = make.process((9.0,), quality="noisy: load 3.1")
    cell = make.cell()
    first, second = make.measured(cell, 1.0), make.measured(cell, 2.0, attempt=2)
    third = make.measured(cell, processes=[noisy, make.process((9.0,))], attempt=3)
    row = only(make.frame([first, second, third, make.failed(cell, "crash")]))
    assert (row["status"], row["latency_median_s"], row["quality"]) == ("measured", 2.0, "clean")


def test_a_noisy_measurement_beats_no_measurement_and_says_why(make):
    cell = make.cell()
    noisy = make.measured(cell, processes=[make.process(quality="noisy: load 3.1"), make.process()])
    row = only(make.frame([make.counted(cell), noisy, make.failed(cell)]))
    assert (row["status"], row["quality"]) == ("measured", "noisy: load 3.1")


def test_several_noisy_processes_are_told_by_the_one_with_most_to_tell_and_their_number(make):
    words = ("clean", "noisy: load 3.1", "noisy: load 2.0; steal 5%", "clean", "noisy: load 4.4")
    record = make.measured(make.cell(), processes=[make.process(quality=word) for word in words])
    assert only(make.frame([record]))["quality"] == "noisy: load 2.0; steal 5% (and 2 more of 5 processes)"


def test_of_two_records_that_measured_nothing_the_later_one_stands(make):
    row = only(make.frame([make.failed(make.cell(), "crash"), make.failed(make.cell(), "time-out")]))
    assert (row["status"], row["reason"]) == ("failed", "time-out")


def test_cells_keep_the_order_in_which_they_first_appear(make):
    cells = [make.cell("b"), make.cell("a"), make.cell("b", batch=2)]
    records = [make.failed(cells[0]), *(make.measured(cell) for cell in cells[1:]), make.measured(cells[0])]
    assert make.frame(records)["cell"].tolist() == [cell.id for cell in cells]


def test_latency_is_the_median_of_medians_with_a_student_interval_on_logarithms(make):
    samples = [(0.9, 1.0, 5.0), (1.1, 1.2, 1.3), (1.5, 1.6, 1.7)]
    row = only(make.frame([make.measured(make.cell(), processes=[make.process(run) for run in samples])]))
    logs = [math.log(value) for value in (1.0, 1.2, 1.6)]
    half = 4.302652729911275 * statistics.stdev(logs) / math.sqrt(3)  # Student, 2 degrees of freedom, 97.5 %
    assert row["latency_median_s"] == 1.2
    assert row["latency_low_s"] == pytest.approx(1.2 * math.exp(-half))
    assert row["latency_high_s"] == pytest.approx(1.2 * math.exp(half))
    assert (row["samples"], row["processes"]) == (9, 3)


def test_a_single_process_has_no_interval(make):
    row = only(make.frame([make.measured(make.cell(), processes=[make.process((0.5,))])]))
    assert row["latency_median_s"] == 0.5
    assert math.isnan(row["latency_low_s"])
    assert math.isnan(row["latency_high_s"])


def test_rates_follow_from_batch_frames_and_macs(make):
    runs = [make.process((0.25,), peak_memory_bytes=peak, tensor_peak_bytes=peak // 2) for peak in (10, 30, 20)]
    record = make.measured(make.cell(frames=16, batch=4), processes=runs, counts=make.counts(macs=7_000))
    row = only(make.frame([record]))
    assert (row["clips_per_second"], row["frames_per_second"]) == (16.0, 256.0)
    assert (row["flops"], row["flops_per_second"]) == (14_000, 56_000.0)
    assert (row["peak_memory_bytes"], row["tensor_peak_bytes"], row["tokens"]) == (30, 15, 8 * 14 * 14)


def test_what_nothing_measured_is_empty_and_never_zero(make, tmp_path: Path):
    records = [make.measured(make.cell("a")), make.counted(make.cell("b")), make.skipped(make.cell("c"))]
    make.frame(records).to_csv(tmp_path / "records.csv", index=False)
    measured, counted, skipped = csv.DictReader((tmp_path / "records.csv").read_text().splitlines())
    assert {measured[column] for column in NEVER_MEASURED} == {""}
    assert {counted[column] for column in (*NEVER_MEASURED, "latency_median_s", "samples", "peak_memory_bytes")} == {""}
    assert {skipped[column] for column in ("params", "macs", "flops", "tokens", "clips_per_second")} == {""}
    assert counted["macs"] == "195830280192"  # a whole number stays one


def test_threads_are_those_asked_for_else_those_of_the_environment(make):
    frame = make.frame([make.measured(make.cell()), make.measured(make.cell(threads=1))])
    assert frame["threads"].tolist() == [2, 1]
    assert frame["hardware"].tolist() == ["Test CPU", "Test CPU"]


def test_efficiency_is_what_ranks_take_in_over_as_many_times_what_one_does(make):
    slowest = make.process((0.125,) * 3, threads=1, batch_norm="synchronised")
    cell = make.cell(mode="train", accumulation=4)
    on_two = make.measured(make.cell(mode="train", accumulation=4, ranks=2), processes=[slowest])
    frame = make.frame([make.measured(cell, 0.1), on_two])
    one, two = frame["clips_per_second"]
    assert (one, two) == pytest.approx((40, 64))
    assert frame["scaling_efficiency"][1] == pytest.approx(64 / (2 * 40))
    assert frame["flops_per_second"][1] == pytest.approx(2 * frame["flops"][1] / 0.125)
    assert frame["flops_per_byte"][1] == pytest.approx(frame["flops_per_byte"][0])  # of one rank, as both counts are
    assert frame["threads"].tolist() == [2, 1]
    assert frame["batch_norm"].tolist() == ["", "synchronised"]


def test_efficiency_is_unknown_without_one_rank_of_the_same_environment(make):
    two = make.cell(mode="train", ranks=2)
    others = [make.cell(), make.cell(mode="train", batch=2), make.cell(mode="train", threads=1)]
    for one, environment in [*((other, "e1") for other in others), (make.cell(mode="train"), "e2")]:
        frame = make.frame([make.measured(one, environment=environment), make.measured(two)])
        assert frame["scaling_efficiency"].isna().all()
    assert make.frame([make.measured(make.cell(mode="train")), make.failed(two)])["scaling_efficiency"].isna().all()


def test_the_types_of_a_backward_are_those_that_its_processes_saw(make):
    runs = [make.process(backward_dtypes=("bfloat16", "float32")), make.process(backward_dtypes=("bfloat16",))]
    row = only(make.frame([make.measured(make.cell(mode="train", precision="bf16"), processes=runs)]))
    assert row["backward_dtypes"] == "bfloat16; float32"


def test_an_unknown_environment_leaves_its_columns_empty(make):
    row = only(make.frame([make.measured(make.cell(), environment="gone")]))
    assert (row["hardware"], row["environment"]) == ("", "gone")


def test_a_grid_of_tokens_has_no_frames_a_second(make):
    frame = make.frame([make.measured(make.cell("joint", 8, 14, unit="tokens")), make.measured(make.cell())])
    assert in_tokens(frame).tolist() == [True, False]
    assert math.isnan(frame["frames_per_second"][0])
    assert frame["frames_per_second"][1] == pytest.approx(80.0)


def test_a_model_named_like_a_grid_is_not_in_tokens(make):
    assert not in_tokens(make.frame([make.measured(make.cell("g8x14x14/net.py:build"))])).any()


def test_default_clips_come_from_the_records_of_the_default_clip(make):
    subject = make.subject(is_default_clip=True, stride=32)
    own = make.measured(make.cell(), subject=subject)
    other = make.measured(make.cell(frames=16), subject=replace(subject, is_default_clip=False))
    frame = make.frame([other, own])
    clip = {"frames": 8, "height": 224, "width": 224, "stride": 32, "title": "TimeSformer-B"}
    assert default_clips(frame) == {"timesformer_b": clip}
    assert at_default_clip(frame).tolist() == [False, True]


def test_no_records_make_an_empty_frame_with_every_column(make):
    frame = make.frame([])
    assert list(frame.columns) == list(COLUMNS)
    assert frame.empty
    assert not in_tokens(frame).any()
