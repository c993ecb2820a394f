"""The longest clips within several budgets, against every length tried in turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vbench.cell import Cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.longest_clips import longest_clips


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


def test_a_model_of_one_clip_says_so() -> None:
    cell = Cell(model="c3d", frames=16, height=112, width=112)
    nothing, whole = longest_clips(cell, [2**20, 2**33])
    assert (nothing.frames, whole.frames) == (0, 16)
    assert nothing.only_frames == whole.only_frames == 16
