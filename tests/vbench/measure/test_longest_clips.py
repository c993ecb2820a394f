"""The longest clips within several budgets, against every length tried in turn."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vbench.cell import Cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.longest_clips import longest_clips

longest_clips_module = sys.modules["vbench.measure.longest_clips"]  # its name is the function's, too


@pytest.mark.parametrize(
    "cell", [Cell(model="plain_factorized", frames=4, height=32, width=32)], ids=lambda one: one.id
)
def test_each_budget_holds_the_longest_of_all_clips_that_fit(cell: Cell) -> None:
    peaks = {n: footprint_of_cell(replace(cell, frames=n), tensors_only=True).peak_bytes for n in range(1, 8)}
    budgets = {peaks[2]: 2, peaks[5]: 5, peaks[1] - 1: 0}
    found = longest_clips(cell, list(budgets))
    assert [clip.budget_bytes for clip in found] == sorted(budgets)
    assert {clip.budget_bytes: clip.frames for clip in found} == {
        budget: max((n for n, peak in peaks.items() if peak <= budget), default=0) for budget in budgets
    }
    assert all(clip.is_settled and not clip.only_frames for clip in found)


def test_where_time_ends_a_larger_budget_holds_at_least_what_a_smaller_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def a_byte_a_frame_and_a_second_a_look(cell: Cell, **_: bool) -> SimpleNamespace:
        clock[0] += 1.0
        return SimpleNamespace(peak_bytes=cell.frames)

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(longest_clips_module, "footprint_of_cell", a_byte_a_frame_and_a_second_a_look)
    cell = Cell(model="plain_factorized", frames=4, height=32, width=32)
    for patience_s in range(20):
        small, large = longest_clips(cell, [100, 10**9], patience_s=patience_s)
        assert large.frames >= small.frames
    assert (small.frames, small.is_settled) == (100, True)


def test_a_model_of_one_clip_says_so() -> None:
    cell = Cell(model="c3d", frames=16, height=112, width=112)
    nothing, whole = longest_clips(cell, [2**20, 2**33])
    assert (nothing.frames, whole.frames) == (0, 16)
    assert nothing.only_frames == whole.only_frames == 16
