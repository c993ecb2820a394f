"""The longest clip that fits, and the predicted process it rests on.

Every answer rests on fresh processes that import torch, so that this file takes most of a minute.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vbench.cell import Cell
from vbench.cli.fitting import fit as command
from vbench.errors import AxisError, UnknownNameError
from vbench.measure.fit import clips_of, fit
from vbench.measure.floor import floor_beside
from vbench.measure.lone_process import live
from vbench.measure.process_peak import ProcessPeak, predict_process_peak

MIB = 2**20
XVIT = Cell(model="xvit_b_8", frames=4, height=64, width=64)


@pytest.fixture(scope="module")
def answer():
    return fit("xvit_b_8", "750MiB", height=64, width=64, patience_s=300)


def predicted(answer, frames: int) -> ProcessPeak:
    return predict_process_peak(replace(XVIT, frames=frames), answer.floor_bytes)


@pytest.mark.parametrize(
    ("model", "first", "step"), [("timesformer_b", 1, 1), ("vivit_b_16x2", 2, 2), ("mtv_b", 8, 8), ("i3d_r50", 2, 1)]
)
def test_the_clips_of_a_model_are_those_that_its_card_names(model: str, first: int, step: int) -> None:
    clips = clips_of(Cell(model=model, frames=32, height=224, width=224))
    assert (clips.first, clips.step) == (first, step)


def test_a_model_of_one_clip_length_fits_at_that_length_or_not_at_all() -> None:
    enough, too_little = fit("c3d", "4GiB"), fit("c3d", "300MiB")
    assert (enough.frames, enough.next_frames, enough.step_frames, enough.is_settled) == (16, None, 0, True)
    assert too_little.frames is None
    assert too_little.predicted_peak_bytes == pytest.approx(enough.predicted_peak_bytes, rel=0.02)


def test_the_answer_fits_with_room_and_the_next_longer_clip_does_not(answer) -> None:
    following = predicted(answer, answer.next_frames)
    assert answer.predicted_peak_bytes + answer.room_bytes <= answer.memory_bytes
    assert answer.memory_bytes < following.total_bytes + following.room_bytes
    assert following.total_bytes == pytest.approx(answer.next_predicted_peak_bytes, rel=0.05)  # heaps are not the same
    assert answer.next_frames == answer.frames + answer.step_frames


def test_the_clip_called_too_long_needs_more_in_any_case_and_the_one_before_it_may_fit(answer) -> None:
    above, before = (predicted(answer, frames) for frames in (answer.above_frames, answer.above_frames - 1))
    assert before.total_bytes - before.room_bytes <= 1.02 * answer.memory_bytes  # heaps are not the same
    assert above.total_bytes - above.room_bytes >= 0.98 * answer.memory_bytes
    assert answer.frames < answer.next_frames <= answer.above_frames


def test_the_room_is_a_share_of_what_comes_and_goes_and_of_the_floor() -> None:
    peak = ProcessPeak(floor_bytes=100, tensor_peak_bytes=500, workspace_bytes=40, lasting_bytes=290)
    assert (peak.total_bytes, peak.room_bytes) == (640, 100 + 6)


def test_a_predicted_process_is_more_than_its_floor_and_parameters(answer) -> None:
    parameters = predict_process_peak(replace(XVIT, frames=1), 0).tensor_peak_bytes
    assert answer.floor_bytes > 50 * MIB
    assert answer.predicted_peak_bytes > answer.floor_bytes + parameters
    parts = answer.floor_bytes + answer.tensor_peak_bytes + answer.workspace_bytes
    assert answer.predicted_peak_bytes == parts


@pytest.mark.parametrize(
    "cell",
    [
        Cell(model="c3d", frames=16, height=112, width=112),
        Cell(model="backbone:joint", frames=4, height=96, width=96, precision="bf16"),
    ],
)
def test_a_real_process_takes_what_is_predicted_within_15_percent(cell: Cell) -> None:
    with floor_beside(cell.model) as floor:
        predicted = predict_process_peak(cell, floor()).total_bytes
    life = live(cell)
    assert life.is_complete
    assert predicted > 256 * 10**6
    assert predicted == pytest.approx(life.peak_bytes, rel=0.15)


def test_a_process_that_passes_its_limit_is_ended() -> None:
    life = live(XVIT, limit_bytes=200 * MIB)
    assert (life.is_complete, life.ended) == (False, "passed the limit")
    assert life.peak_bytes > 200 * MIB


def test_a_memory_that_is_no_size_is_one_line() -> None:
    with pytest.raises(AxisError, match="malformed size 'much'"):
        fit("c3d", "much")


def test_a_pattern_and_an_unknown_name_are_refused_in_one_line() -> None:
    with pytest.raises(AxisError, match="backbone:divided"):
        fit("divided", "1GiB")
    with pytest.raises(UnknownNameError, match="did you mean"):
        fit("timesfomer_b", "1GiB")


def test_a_size_that_the_model_does_not_take_is_the_models_own_line() -> None:
    with pytest.raises(AxisError, match="multiple of 16"):
        fit("timesformer_b", "1GiB", height=100, width=100)


def test_the_command_prints_one_document_with_the_named_keys(capsys: pytest.CaptureFixture[str]) -> None:
    command("c3d", "4GiB", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert {"name", "frames", "predicted_peak_bytes", "memory_bytes"} <= set(document)
    assert (document["name"], document["frames"], document["memory_bytes"]) == ("c3d", 16, 4 * 2**30)


def test_where_nothing_fits_the_command_ends_with_3_and_says_what_the_shortest_needs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        command("c3d", "300MiB", as_json=True)
    said = capsys.readouterr()
    assert ended.value.code == 3
    assert json.loads(said.out)["frames"] is None
    assert said.err.count("\n") == 1
    assert "16 frames of 112 x 112, needs" in said.err
