"""How far the predicted peak of a process is from the measured one, over cells that need more than 256 MB.

    python -m benchmarks.process_peaks [--models c3d,knn_vivit_b] [--max-macs 3e11] [--minutes 60] [--out DIR]

The models and clips are those of the presets quick, cpu and full, fp32 and bf16, batch 1, as far as a forward's
multiply-adds stay under --max-macs (300 G are about 10 s on two slow cores). They come in a shuffled order, the same on
every run, so that a part of them stands for all. Each runs in three processes of its own, three forwards each, and the
median of their VmHWM is held against floor + tensor peak + workspace; least and most stand beside it, since a heap's
holes are a matter of chance. No coefficient is fitted, but choices were made by some of these cells
(`vbench.measure.process_peak`). Rows are kept in process_peaks.csv as they come, and the same
command resumes; bars: median error 5 %, worst 15 %.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import pandas as pd

from benchmarks.page import page
from benchmarks.rows import add
from vbench.cell import Cell
from vbench.errors import VbenchError
from vbench.grid import read_grid
from vbench.measure.count import tally_cell
from vbench.measure.environment import available_bytes
from vbench.measure.floor import floor_beside
from vbench.measure.lone_process import live
from vbench.measure.process_peak import predict_process_peak
from vbench.measure.subject import known_facts
from vbench.report.process_peaks import process_peaks_plot
from vbench.report.scatter import draw_scatter

PRESETS = Path(__file__).parents[1] / "vbench" / "presets"
LEAST_BYTES = 256 * 10**6
LARGEST_SHARE = 0.5  # of the free memory
TITLE = "Process peaks, predicted against the median of three processes"
CONVENTION = "VmHWM in bytes, multiply-adds (MACs) of one forward; errors are predicted / observed - 1."
RUNS = 3  # processes of a cell


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One cell: what was predicted, and what its processes had at most."""

    cell: str
    model: str
    device: str
    macs: int
    floor_bytes: int
    tensor_peak_bytes: int
    workspace_bytes: int
    predicted_process_peak_bytes: int
    peak_memory_bytes: int  # the median of the processes
    least_peak_bytes: int
    most_peak_bytes: int
    ended: str


def cells(models: list[str]) -> list[Cell]:
    """The cells of three presets that run on a CPU, each once, of the models asked for, or of all, shuffled."""
    found: dict[str, Cell] = {}
    for preset in ("quick", "cpu", "full"):
        grid = read_grid(PRESETS / f"{preset}.toml")
        for plan in grid.plans(known_facts(grid.models())):
            cell = plan.cell
            if cell.batch == 1 and not plan.excluded and (not models or cell.model in models):
                found[cell.id] = cell
    chosen = sorted(found.values(), key=lambda cell: cell.id)
    random.Random(0).shuffle(chosen)
    return chosen


def row_of(cell: Cell, floors: dict[str, int], max_macs: float) -> Row | None:
    """Predict and run one cell; None where it cannot be, is too long or too small. Keeps the floor of each model."""
    try:
        macs = tally_cell(cell).macs
        if macs > max_macs:
            return None
        if cell.model not in floors:
            with floor_beside(cell.model) as floor:
                floors[cell.model] = floor()
        predicted = predict_process_peak(cell, floors[cell.model])
    except VbenchError:
        return None
    if not LEAST_BYTES <= predicted.total_bytes <= LARGEST_SHARE * available_bytes():
        return None
    lives = [live(cell) for _ in range(RUNS)]
    peaks = [life.peak_bytes for life in lives]
    return Row(
        cell=cell.id,
        model=cell.model,
        device=cell.device,
        macs=macs,
        floor_bytes=predicted.floor_bytes,
        tensor_peak_bytes=predicted.tensor_peak_bytes,
        workspace_bytes=predicted.workspace_bytes,
        predicted_process_peak_bytes=predicted.total_bytes,
        peak_memory_bytes=median_low(peaks),
        least_peak_bytes=min(peaks),
        most_peak_bytes=max(peaks),
        ended=next((life.ended for life in lives if not life.is_complete), "completed"),
    )


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The cells that ran and needed more than 256 MB, with their error, worst first."""
    table = table[(table["ended"] == "completed") & (table["peak_memory_bytes"] > LEAST_BYTES)].copy()
    table["error"] = table["predicted_process_peak_bytes"] / table["peak_memory_bytes"] - 1
    return table.sort_values("error", key=abs, ascending=False)


def verdict(table: pd.DataFrame) -> str:
    """Median and worst error, in words."""
    errors = table["error"].abs()
    spread = table["most_peak_bytes"] / table["least_peak_bytes"] - 1
    naive = ((table["tensor_peak_bytes"]) / (table["peak_memory_bytes"] - table["floor_bytes"]) - 1).abs()
    return (
        f"{len(table)} cells of {table['model'].nunique()} models over 256 MB: median error {errors.median():.1%}, "
        f"worst {errors.max():.1%}, {int((errors > 0.05).sum())} above 5 %, {int((errors > 0.15).sum())} above 15 %; "
        f"the processes of one cell differ by up to {spread.max():.1%}, {spread.median():.1%} in the median; "
        f"of what lies above the floor, the tensor peak alone is {naive.median():.1%} off in the median"
    )


def main() -> None:
    """Run what is not there yet, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="")
    parser.add_argument("--max-macs", type=float, default=300e9)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("reports/bench"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path, deadline_s = arguments.out / "process_peaks.csv", time.monotonic() + 60 * arguments.minutes
    known = set(pd.read_csv(path)["cell"]) if path.exists() else set()
    floors: dict[str, int] = {}
    for cell in cells([model for model in arguments.models.split(",") if model]):
        if time.monotonic() > deadline_s:
            print("the time is over; the same command resumes")
            break
        row = None if cell.id in known else row_of(cell, floors, arguments.max_macs)
        if row:
            add(path, row)
            error = row.predicted_process_peak_bytes / max(row.peak_memory_bytes, 1) - 1
            print(f"{row.cell}: {row.peak_memory_bytes / 2**20:.0f} MiB, {error:+.1%}, {row.ended}", flush=True)
    table = judged(pd.read_csv(path))
    print(verdict(table))
    text = table.drop(columns=["model", "device"]).to_markdown(index=False, floatfmt=".4g")
    (arguments.out / "process_peaks.md").write_text(
        page(TITLE, CONVENTION, f"{verdict(table)}\n\n{text}"), encoding="utf-8"
    )
    plot = process_peaks_plot(table)
    if plot is not None:
        draw_scatter(plot, arguments.out / "process_peaks")


if __name__ == "__main__":
    main()
