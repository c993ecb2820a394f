"""Is saved work saved time? Every pattern's bare attention against its roofline, in one interleaved run.

    python -m benchmarks.patterns [--grid 16x28x28] [--rounds 3] [--out reports/bench]

fp32, head dimension 64, 12 heads, batch 1. The roofline time of a pattern is max(MACs / measured matrix peak, bytes
moved / measured copy bandwidth), where bytes moved are what its operators read and write. Patterns take turns in every
round, and the matrix product and the copy with them, so that a slow minute of the machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from vbench.analysis.claims import KEPT_FRACTIONS
from vbench.cell import Cell
from vbench.grid import parse_grid
from vbench.measure.environment import environment
from vbench.measure.inputs import network_input
from vbench.measure.sketches import GRID, core_by_fraction, sparse_cores
from vbench.measure.subject import PATTERN_DIM, build_network
from vbench.measure.worker import counts_of
from vbench_models.catalog import PATTERNS

PEAK_SIZE, COPY_FLOATS = 2048, 2**26
REASONS = {  # shares of time by operator, in a profile of one thread
    "axial": "fused attention over sequences of 16 and 28 keys takes 67 % of its time; copies from axis to axis 32 %",
    "block_local_global": "fused attention, 204 keys a query, takes 65 % of its time; copies into blocks and back 32 %",
    "constrained": "fused attention, 16 queries a call, takes 65 % of its time; copies of rows of keys 33 %",
    "local_global_temporal": "products, one query with 3 keys each, take 51 % of its time; softmax 13 %, copies 20 %",
    "local_global_windows": "fused attention on windows of 196 queries takes 90 % of its time; copies 9 %",
    "pooling": "fused attention takes 84 % of its time; copies 7 %, layer norms 5 %, convolutions 4 %",
    "relative_rhythm": "fresh pages for its output take 24 % of its time, fused attention over 16 keys the rest",
    "shifted_window": "fused attention, 392 keys a query, takes 73 % of its time; copies into windows and back 24 %",
    "specious_present": "fused attention, one query with 4 keys each, takes 57 % of its time; copies 38 %",
    "specious_present_centred": "fused attention, one query with 5 keys each, takes 68 % of its time; copies 25 %",
    "strided": "fresh pages for its output take 33 % of its time, fused attention over 4 keys the rest",
    "performer": "products, most over 64 numbers, take 68 % of its time; exponentials 12 %, other passes the rest",
    "pruned": "fused attention on blocks of 128 queries takes 88 % of its time; gathered and copied blocks 9 %",
    "knn": "two choices of 100 among some 1,100 scores take 40 % of its time, q k^T 38 %, gathers 11 %",
    "s4": "transforms take 35 % of its time, joining parts 15 %, making the kernel most of the rest",
    "selective_scan": "no fused kernel, but passes of plain torch over all states; fresh pages take 28 % of its time",
}


def seconds_of(run: Callable[[], object]) -> float:
    """One call, timed."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", default="16x28x28", type=parse_grid)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--out", default=Path("reports/bench"), type=Path)
    arguments = parser.parse_args()
    table = measure(arguments.grid, arguments.rounds)
    kept = measure_kept_fractions(arguments.rounds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "patterns.csv", index=False)
    kept.to_csv(arguments.out / "kept_fractions.csv", index=False)
    text = f"{report(table)}\n# What is kept, and what that saves\n\n{kept.to_markdown(index=False, floatfmt='.3g')}\n"
    (arguments.out / "patterns.md").write_text(text, encoding="utf-8")
    print(text)


def measure(grid: tuple[int, int, int], rounds: int) -> pd.DataFrame:
    """The table, one row a pattern: times in seconds, MACs, bytes, and ratios."""
    cells = {
        name: Cell(model=f"core:{name}", frames=grid[0], height=grid[1], width=grid[2], unit="tokens")
        for name in PATTERNS
    }
    runs = {name: forward(cell) for name, cell in cells.items()}
    square, source = torch.randn(PEAK_SIZE, PEAK_SIZE), torch.randn(COPY_FLOATS)
    target = torch.empty_like(source)
    runs |= {"(matrix product)": lambda: square @ square, "(copy)": lambda: target.copy_(source)}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, run in runs.items():
                taken_s = seconds_of(run)
                if turn:  # the first round warms up
                    samples[name].append(taken_s)
    times = {name: statistics.median(taken) for name, taken in samples.items()}
    macs_per_s = PEAK_SIZE**3 / times.pop("(matrix product)")
    bytes_per_s = 2 * source.nbytes / times.pop("(copy)")
    return ratios(cells, times, macs_per_s, bytes_per_s)


def measure_kept_fractions(rounds: int) -> pd.DataFrame:
    """Time and attention MACs of learned sparsity by the fraction that it keeps, over those of keeping everything."""
    cores = sparse_cores(KEPT_FRACTIONS)
    tokens = torch.randn(1, GRID.t, GRID.h, GRID.w, 3 * PATTERN_DIM)
    samples: dict[tuple[str, float], list[float]] = {key: [] for key in cores}
    with torch.inference_mode():
        for turn in range(3 * rounds + 1):
            for key, core in cores.items():
                taken_s = seconds_of(partial(core.eval(), tokens))
                if turn:
                    samples[key].append(taken_s)
    times = {key: statistics.median(taken) for key, taken in samples.items()}
    macs = core_by_fraction(KEPT_FRACTIONS)
    return pd.DataFrame(
        {
            "pattern": name,
            "kept": keep,
            "macs_over_all": macs[name][keep] / macs[name][1.0],
            "time_over_all": times[name, keep] / times[name, 1.0],
        }
        for name, keep in cores
    )


def forward(cell: Cell) -> Callable[[], object]:
    """The call that is timed; network and input are made once."""
    network, tokens = build_network(cell), network_input(cell)
    return lambda: network(tokens)


def ratios(cells: dict[str, Cell], times: dict[str, float], macs_per_s: float, bytes_per_s: float) -> pd.DataFrame:
    """Each pattern's time over its roofline, and over joint attention per MAC."""
    counts = {name: counts_of(cell) for name, cell in cells.items()}
    joint_s_per_mac = times["joint"] / counts["joint"].macs
    rows = []
    for name, count in counts.items():
        compute_s, traffic_s = count.macs / macs_per_s, count.op_bytes / bytes_per_s
        rows.append(
            {
                "pattern": name,
                "seconds": times[name],
                "gmacs": count.macs / 1e9,
                "gbytes": count.op_bytes / 1e9,
                "bound": "compute" if compute_s > traffic_s else "traffic",
                "over_roofline": times[name] / max(compute_s, traffic_s),
                "over_joint_per_mac": times[name] / count.macs / joint_s_per_mac,
                "matrix_peak_gmacs_per_s": macs_per_s / 1e9,
                "copy_gbytes_per_s": bytes_per_s / 1e9,
            }
        )
    return pd.DataFrame(rows).sort_values("over_roofline")


def report(table: pd.DataFrame) -> str:
    """The table as Markdown, with the machine and its ceilings."""
    here, first = environment(), table.iloc[0]
    shown = table.drop(columns=["matrix_peak_gmacs_per_s", "copy_gbytes_per_s"])
    slow = table[table.over_roofline > 2].pattern
    above = "\n".join(f"- {name}: {REASONS.get(name, 'no reason known')}" for name in slow) or "- none"
    machine = f"{here.hardware}, {here.threads} threads, torch {here.torch}, {here.commit}"
    return (
        f"# Patterns against their roofline\n\n{machine}; "
        f"matrix peak {first.matrix_peak_gmacs_per_s:.1f} GMACs/s, copy {first.copy_gbytes_per_s:.1f} GB/s (read and "
        f"written). Medians of interleaved rounds, fp32.\n\n{shown.to_markdown(index=False, floatfmt='.3g')}\n\n"
        f"Above 2x:\n\n{above}\n"
    )


if __name__ == "__main__":
    main()
