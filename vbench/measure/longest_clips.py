"""The longest clips of one model within several memories, from the predicted peak of its tensors; nothing is run.

As `vbench.measure.fit`, but for accelerators that are not here: the memories are what is left of theirs for tensors,
and all of them share what was predicted. The peak is that of the algorithm, whole work with fused attention, without
what kernels and allocators set aside; a CPU's, as a step of training is traced wherever torch is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vbench.cell import Cell
from vbench.measure.fit import clips_of
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.longest import longest_within

PATIENCE_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LongestClip:
    """The longest clip of one model whose tensors stay within one budget."""

    model: str
    mode: str
    precision: str
    height: int
    width: int
    budget_bytes: int
    frames: int  # 0: not even the shortest clip fits
    only_frames: int  # the one length that the model takes; 0: it takes many
    is_settled: bool  # the next longer clip was looked at, or there is none


def longest_clips(cell: Cell, budgets_bytes: Sequence[int], patience_s: float = PATIENCE_S) -> list[LongestClip]:
    """The longest clip of the cell's model, its other axes as they are, within each budget, smallest first.

    Raises:
        AxisError: the model takes no clip of the cell's height and width, or there is nothing to train.
    """
    deadline_s = time.monotonic() + patience_s
    clips, peaks = clips_of(cell), dict[int, int]()

    def peak_bytes(frames: int) -> int:
        if frames not in peaks:
            peaks[frames] = footprint_of_cell(replace(cell, frames=frames), tensors_only=True).peak_bytes
        return peaks[frames]

    found = []
    for budget in sorted(budgets_bytes):
        search = longest_within(peak_bytes, clips, budget, patience_s=deadline_s - time.monotonic())
        known_to_fit = (frames for frames, peak in peaks.items() if peak <= budget)
        found.append(
            LongestClip(
                model=cell.model,
                mode=cell.mode,
                precision=cell.precision,
                height=cell.height,
                width=cell.width,
                budget_bytes=budget,
                frames=max(known_to_fit, default=0),  # a search without time left knows less than those before it
                only_frames=0 if clips.step else clips.first,
                is_settled=search.is_settled,
            )
        )
    return found
