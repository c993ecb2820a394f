"""The conduct of a comparison: which two sides, from which code, and pairs of processes until there is a verdict.

Knows `measure`, which runs the pairs, and `analysis`, which judges them; they do not know each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vbench.analysis.sequential import ALPHA
from vbench.cell import Cell
from vbench.comparing.comparison import Comparison, comparison_of
from vbench.comparing.course import Course, Told
from vbench.errors import AxisError
from vbench.grid import Extent
from vbench.measure.environment import available_bytes
from vbench.measure.pairs import Pairs, SideError
from vbench.measure.revisions import portable, source_of, worktree
from vbench.measure.runner import FLOOR_BYTES
from vbench.measure.subject import cell_named
from vbench.measure.support import check_supported
from vbench.measure.turns import Side
from vbench.results import Counts
from vbench.units import size as size_text

__all__ = ["Comparison", "compare", "compare_cells"]

MARGIN = 0.02  # changes smaller than this do not matter
BUDGET_S = 60.0


def compare(
    a: str, b: str = "", *, against: str = "", frames: int | None = None, height: int | None = None,
    width: int | None = None, grid: Extent | None = None, batch: int = 1, precision: str = "fp32",
    kernel: str = "fused", threads: int = 1, device: str = "cpu", margin: float = MARGIN, budget_s: float = BUDGET_S,
    timeout_s: float = 300.0, alpha: float = ALPHA, told: Told = lambda _: None,
) -> Comparison:  # fmt: skip
    """Compare two models, or one with itself as it was at the git revision `against`; then A is the old one.

    Names are catalog keys, `file.py:build` or `package.module:build`. Without a clip (frames and pixels) or a grid
    (tokens), each model takes its own default. One thread, unless another number is asked for (0: every core): beside
    a neighbour, threads wait for the one whose core is shared, and no clock can take that out.

    Raises:
        VbenchError: an unknown name, revision, clip or axis value; or a side that cannot be measured, with its reason.
    """
    began = time.monotonic()
    if bool(b) == bool(against):
        raise AxisError("compare takes two models A B, or one NAME with --against GITREF")
    clip = {"frames": frames, "height": height, "width": width, "grid": grid}
    axes = {"batch": batch, "precision": precision, "kernel": kernel, "threads": threads, "device": device}
    names = (a, b or a)
    cells = tuple(_cell(name, **clip, **axes) for name in names)
    with _sides(cells, against) as sides:
        return compare_sides(sides, margin, budget_s, timeout_s=timeout_s, alpha=alpha, told=told, began=began)


def compare_cells(
    a: Cell, b: Cell | None = None, *, against: str = "", margin: float = MARGIN, budget_s: float = BUDGET_S,
    timeout_s: float = 300.0, alpha: float = ALPHA, told: Told = lambda _: None,
) -> Comparison:  # fmt: skip
    """`compare` for cells as they are: give them one thread where a neighbour is likely.

    Many cells share an `alpha` by Holm's or another correction.

    Raises:
        VbenchError: as `compare`.
    """
    began = time.monotonic()
    with _sides((a, b or a), against) as sides:
        return compare_sides(sides, margin, budget_s, timeout_s=timeout_s, alpha=alpha, told=told, began=began)


def _cell(name: str, **asked: Any) -> Cell:
    cell = cell_named(name, **asked)
    check_supported(cell)
    return cell


@contextmanager
def _sides(cells: tuple[Cell, ...], against: str) -> Iterator[tuple[Side, Side]]:
    """Both sides; for a revision, its worktree lives as long as they do."""
    a, b = cells
    if not against:
        yield Side(label=_label(a, b), cell=a), Side(label=_label(b, a), cell=b)
        return
    now = source_of(b)
    cell = portable(b)
    with worktree(now, against) as then:
        old = Side(label=f"{b.model} at {against}", cell=cell, source=then)
        yield old, Side(label=f"{b.model} now", cell=cell, source=now)


def _label(cell: Cell, other: Cell) -> str:
    return cell.model if cell.model != other.model or cell == other else cell.id


def compare_sides(
    sides: tuple[Side, Side], margin: float, budget_s: float, *, timeout_s: float, alpha: float, told: Told,
    began: float | None = None,
) -> Comparison:  # fmt: skip
    """Run pairs of two sides until there is a verdict or the budget is used up.

    Raises:
        AxisError: a margin or a budget that cannot be.
        SideError: a side that cannot be counted or run.
    """
    if not (0 < margin < 1 and budget_s > 0):
        raise AxisError(f"margin must lie between 0 and 1 and the budget be positive; got {margin:g} and {budget_s:g}")
    began = time.monotonic() if began is None else began
    pairs = Pairs(sides, timeout_s)
    counts = pairs.count()
    _check_memory(sides, counts)
    course = Course(pairs, margin, alpha, began + budget_s, told)
    course.run()
    return comparison_of(sides, counts, course, time.monotonic() - began)


def _check_memory(sides: tuple[Side, Side], counts: tuple[Counts, Counts]) -> None:
    """Both sides are alive at once.

    Raises:
        SideError: they are predicted not to fit.
    """
    if sides[0].cell.device != "cpu":
        return
    needed, available = sum(map(_process_bytes, counts)), available_bytes()
    if needed > available:
        both = f"{sides[0].label} and {sides[1].label}"
        raise SideError(
            f"{both}: out of memory, predicted: {size_text(needed)} needed side by side, "
            f"{size_text(available)} available"
        )


def _process_bytes(counts: Counts) -> int:
    return FLOOR_BYTES + counts.predicted_peak_bytes + (counts.workspace_bytes or 0)
