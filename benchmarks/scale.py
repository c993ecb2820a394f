"""How a sweep's own work grows: 1,000, 10,000 and 100,000 cells, and as many records of 30 samples.

    python -m benchmarks.scale [--out DIR] [--cells 1000,10000,100000]

Seconds are of the process's own clock, so that a busy machine disturbs little; nothing here runs in parallel or waits
for a disk. The exponent is that of cells between the last two sizes: 1 is linear. The bars: a new grid, and a resumed
one with everything there, in under 5 s at 100,000.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from vbench.analysis.frame import records_frame
from vbench.grid import Grid, Plan, grid_from_document
from vbench.measure.environment import environment
from vbench.measure.subject import known_facts, subject_of
from vbench.results import Counts, Measured, ProcessRun, record_to_json
from vbench.store import ENVIRONMENTS, RECORDS, Store
from vbench.sweep import Sweep

BAR_S = 5.0
LINEAR = 1.25  # the largest exponent that still passes for linear; one that is not is near 2
BARRED = ("new grid", "resume")
STEPS = {
    "expand and exclude": "the grid's cells, each once, with the reason of those that shall not run",
    "new grid": "the same, compared with an empty store; excluded cells become records, the budget leaves out the rest",
    "load": "every record of the directory, checked",
    "resume": "load, expand, exclude and compare: everything is there already",
    "report's table": "records to one row a cell, for information",
}


class Silence:
    """A listener that hears nothing."""

    def say(self, line: str) -> None:
        """Ignore it."""

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        """Ignore it."""


def grid_of(cells: int) -> Grid:
    """A grid of so many cells: 20 settings of two patterns, over lengths and sizes; three exclusions take a few."""
    lengths = max(1, round(math.sqrt(cells / 40)))
    sizes = cells // (40 * lengths)
    block = {
        "models": ["core:joint", "core:divided"],
        "grids": [f"{t}x{h}x8" for t in range(1, lengths + 1) for h in range(1, sizes + 1)],
        "batch": [1, 2, 4, 8, 16],
        "precisions": ["fp32", "bf16"],
        "kernels": ["fused", "math"],
    }
    exclude = [
        {"models": "core:j*", "grids": "1x1x8", "reason": "too small to time"},
        {"grids": "2x2x8", "precisions": "bf16", "reason": "measured elsewhere"},
        {"models": ["*divided"], "grids": ["1x2x8", "1x3x8"], "reason": "one token along time"},
    ]
    return grid_from_document({"title": "scale", "block": [block], "exclude": exclude}, "scale")


def write_records(directory: Path, plans: Sequence[Plan]) -> None:
    """A measured record of 3 processes with 10 samples each, for every cell."""
    here, chance = replace(environment(), floor_bytes=2**28), random.Random(0)
    directory.mkdir(parents=True)
    with (directory / RECORDS).open("w", encoding="utf-8") as file:
        for plan in plans:
            record = Measured(
                cell=plan.cell, subject=subject_of(plan.cell), environment=here.fingerprint, counts=_counts(chance),
                processes=tuple(_process(chance) for _ in range(3)), stop_reason="3 processes",
                started_at="2026-01-01T00:00:00+00:00",
            )  # fmt: skip
            file.write(json.dumps(record_to_json(record), separators=(",", ":")) + "\n")
    (directory / ENVIRONMENTS).unlink(missing_ok=True)
    Store(directory).add_environment(here)


def _counts(chance: random.Random) -> Counts:
    return Counts(
        params=10**8, macs=chance.randrange(10**9, 10**12), attention_macs=10**9, mixing_extra_macs=0,
        op_bytes=chance.randrange(10**10), predicted_peak_bytes=10**9, tokens=(8, 14, 14),
    )  # fmt: skip


def _process(chance: random.Random) -> ProcessRun:
    return ProcessRun(
        latency_s=tuple(chance.uniform(0.1, 0.2) for _ in range(10)), block=1,
        warmup_s=tuple(chance.uniform(0.1, 0.5) for _ in range(3)), build_s=chance.random(),
        memory_pass_s=chance.random(), harness_s=chance.random(), peak_memory_bytes=chance.randrange(10**9),
        floor_bytes=3 * 10**8, tensor_peak_bytes=None, kernel_ran="flash", stop_reason="precise", quality="clean",
    )  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    """Seconds of this process's clock that the work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(cells: int, place: Path) -> dict[str, float]:
    """Seconds of each step at so many cells."""
    grid = grid_of(cells)
    plans = grid.plans(known_facts(grid.models()))
    there, new = place / f"there-{cells}", place / f"new-{cells}"
    write_records(there, plans)
    store = Store(there)
    steps = {
        "expand and exclude": lambda: grid.plans(known_facts(grid.models())),
        "new grid": lambda: Sweep(replace(grid, budget_s=0.0), new, Silence()).run(),
        "load": store.resume,
        "resume": lambda: _resume(grid, there, len(plans)),
        "report's table": lambda: records_frame(store.records(), store.environments()),
    }
    return {"cells": len(plans), **{name: timed(steps[name]) for name in STEPS}}


def _resume(grid: Grid, directory: Path, cells: int) -> None:
    outcome = Sweep(grid, directory, Silence()).run()
    assert outcome.resumed == cells, f"only {outcome.resumed} of {cells} cells were found"


def table_of(rows: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """One row a step: seconds at each size, the exponent, and the bar where there is one."""
    last, before = rows[-1], rows[-2]
    return [
        {
            "step": name,
            **{f"{int(row['cells']):,}": round(row[name], 3) for row in rows},
            "exponent": round(math.log(last[name] / before[name]) / math.log(last["cells"] / before["cells"]), 2),
            "bar": f"{BAR_S:.0f} s" if name in BARRED else "",
        }
        for name in STEPS
    ]


def write(table: Sequence[dict[str, Any]], out: Path) -> None:
    """The table as Markdown and CSV."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"- {name}: {what}" for name, what in STEPS.items()]
    text = tabulate(table, headers="keys", tablefmt="github")
    (out / "scale.md").write_text("\n".join([text, "", "Seconds of processor time.", "", *lines, ""]), encoding="utf-8")
    with (out / "scale.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def main() -> int:
    """Measure every size and judge the largest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cells", default="1000,10000,100000")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for cells in map(int, options.cells.split(",")):
            rows.append(measure(cells, Path(place)))
            print(f"{cells} cells done", file=sys.stderr)
    table = table_of(rows)
    print(tabulate(table, headers="keys"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    worst_s = max(rows[-1][name] for name in BARRED)
    steepest = max(row["exponent"] for row in table if row["step"] in BARRED)
    print(f"\nworst of the two bars: {worst_s:.2f} s of {BAR_S:.0f} s, exponent {steepest:.2f} of {LINEAR}")
    print(f"peak memory {peak / 2**30:.2f} GiB")
    if options.out:
        write(table, options.out)
    return 0 if worst_s < BAR_S and steepest < LINEAR else 1


if __name__ == "__main__":
    sys.exit(main())
