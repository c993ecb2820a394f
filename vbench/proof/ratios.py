"""What claims on ratios need beyond counts of a forward: longest clips, peaks of training steps, bytes after INT8.

Each is worked out in a process for each core. Of an accelerator's memory, its context is not free for tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vbench.analysis.claims import Limit, Quantised
from vbench.analysis.modelled import CONTEXT_BYTES
from vbench.cell import Cell
from vbench.measure.catalog_counts import default_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.longest_clips import longest_clips
from vbench.measure.techniques import quantised_network
from vbench.proof.crew import crew


def longest(limits: Iterable[Limit]) -> dict[Limit, int]:
    """The frames of the longest clip within each limit, by predicted tensors; 0 where not even the shortest fits."""
    asked: dict[Cell, list[Limit]] = defaultdict(list)
    for limit in limits:
        asked[_cell(limit)].append(limit)
    if not asked:
        return {}
    with crew() as pool:
        found = list(pool.map(_frames_within, asked, asked.values()))
    return {limit: frames for answers in found for limit, frames in answers.items()}


def _cell(limit: Limit) -> Cell:
    return replace(default_cell(limit.model), mode=limit.mode, checkpointing=limit.checkpointing, kernel=limit.kernel)


def _frames_within(cell: Cell, limits: Sequence[Limit]) -> dict[Limit, int]:
    budgets = {limit.memory_bytes - CONTEXT_BYTES: limit for limit in limits}
    return {budgets[clip.budget_bytes]: clip.frames for clip in longest_clips(cell, list(budgets))}


def training_peaks(cells: Sequence[Cell]) -> dict[Cell, int]:
    """The peak of each cell's tensors in bytes, predicted."""
    if not cells:
        return {}
    with crew() as pool:
        return dict(zip(cells, pool.map(_peak_bytes, cells), strict=True))


def _peak_bytes(cell: Cell) -> int:
    return footprint_of_cell(cell, tensors_only=True).peak_bytes


def quantised_networks(names: Sequence[str]) -> dict[str, Quantised]:
    """Each network's bytes on disk before and after dynamic INT8."""
    if not names:
        return {}
    with crew() as pool:
        return {name: Quantised(*seen) for name, seen in zip(names, pool.map(quantised_network, names), strict=True)}
