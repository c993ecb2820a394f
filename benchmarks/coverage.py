"""Does the 95 % interval of a cell cover its long-run median? One cell measured again and again, as a sweep does it.

    python -m benchmarks.coverage [--cells 15ms,100ms,pattern] [--repeats 100] [--neighbour] [--out reports/coverage]

A repetition is the cell's usual five fresh processes: some 4 to 6 s, so that 100 repetitions of one cell take 7 to 10
minutes and the three cells half an hour. Every repetition is a record in --out, and the same command resumes. With
--neighbour, a process that loads one core runs beside all of it; the table shows both kinds of runs that --out holds.

The long-run median is the median over all processes of the other repetitions that were made in the same circumstances
and carry the same mark, clean or noisy: leaving a repetition's own five out, so that it is not held against itself.
Repetitions that follow one another are not independent, so that the bounds on coverage (Clopper and Pearson, 1934) are
somewhat too narrow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from vbench.analysis.drift import drifts
from vbench.analysis.pace import Pace
from vbench.cell import Cell
from vbench.errors import AxisError, VbenchError, unknown_name
from vbench.measure.environment import environment
from vbench.measure.runner import Runner, Settings
from vbench.results import Counts, Measured, Record
from vbench.stats import Interval, median, median_interval, relative_median_error
from vbench.store import Store

CELLS = {
    "15ms": Cell(model="videomae_s", frames=2, height=112, width=112),
    "100ms": Cell(model="video_swin_t", frames=8, height=112, width=112),
    "pattern": Cell(model="core:divided", frames=8, height=8, width=8, unit="tokens"),
}
CIRCUMSTANCES = ("quiet", "neighbour")
COLUMNS = (
    "cell", "circumstance", "mark", "repeats", "share", "long_run_median_s", "covered", "covered_low", "covered_high",
    "covered_without_drift", "covered_by_one_process", "half_width", "half_width_without_drift", "drift",
)  # fmt: skip
SHARES = [name for name in COLUMNS[4:] if name != "long_run_median_s"]
WANTED = 0.9  # of the repetitions marked clean
BURN = "import os, sys\nparent = int(sys.argv[1])\nwhile os.getppid() == parent:\n    for _ in range(1_000_000): pass\n"


def main() -> int:
    """Measure what is not there yet, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(CELLS), help="of 15ms, 100ms and pattern")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--neighbour", action="store_true", help="beside a process that loads one core")
    parser.add_argument("--out", type=Path, default=Path("reports/coverage"))
    arguments = parser.parse_args()
    try:
        cells = [_cell(name.strip()) for name in arguments.cells.split(",")]
        circumstance = CIRCUMSTANCES[arguments.neighbour]
        with neighbour(arguments.neighbour):
            measure(cells, arguments.repeats, arguments.out / circumstance)
    except VbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = coverage({name: Store(arguments.out / name).records() for name in CIRCUMSTANCES})
    table.to_csv(arguments.out / "coverage.csv", index=False)
    text = report(table)
    (arguments.out / "coverage.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _cell(name: str) -> Cell:
    if name not in CELLS:
        raise unknown_name("cell", name, CELLS)
    return CELLS[name]


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that loads one core, ended on leaving and by itself when this one dies."""
    if not wanted:
        yield
        return
    burner = subprocess.Popen([sys.executable, "-c", BURN, str(os.getpid())])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


def measure(cells: Sequence[Cell], repeats: int, directory: Path) -> None:
    """Repeat the cells, taking turns, until `directory` has `repeats` records of each in this environment.

    Raises:
        AxisError: a cell cannot be measured.
        StoreError: the directory cannot be written.
    """
    here, store = environment(), Store(directory)
    runner = Runner(Settings(), here.fingerprint)
    with store.writing():
        store.add_environment(here)
        records, _ = store.resume()
        there = defaultdict(
            int, pd.Series([r.cell.id for r in records if r.environment == here.fingerprint]).value_counts()
        )
        counted = dict(runner.count(cells))
        started = time.monotonic()
        left = [(turn, cell) for turn in range(repeats) for cell in cells if turn >= there[cell.id]]
        for done, (turn, cell) in enumerate(left, start=1):
            store.append(replace(_measured(runner, cell, counted[cell]), attempt=turn + 1))
            if done % 10 == 0 or done in (1, len(left)):
                left_s = (time.monotonic() - started) / done * (len(left) - done)
                print(f"{directory.name}: {done} of {len(left)} repetitions, {left_s:.0f} s left", file=sys.stderr)


def _measured(runner: Runner, cell: Cell, counts: Counts | Any) -> Measured:
    if not isinstance(counts, Counts):
        raise AxisError(f"{cell.id}: {counts.reason}")
    record = runner.measure(cell, counts)
    if not isinstance(record, Measured):
        raise AxisError(f"{cell.id}: {getattr(record, 'reason', record.status)}")
    return record


def coverage(records: dict[str, Sequence[Record]]) -> pd.DataFrame:
    """One row for each cell, circumstance and mark that has at least three repetitions; shares are fractions."""
    rows = []
    for circumstance, found in records.items():
        drift, pace = drifts(found), Pace(found)
        groups: dict[tuple[str, str, str], list[Measured]] = defaultdict(list)
        for record in found:
            if isinstance(record, Measured):
                mark = "clean" if pace.is_clean(record) else "noisy"
                groups[record.cell.id, record.environment, mark].append(record)
        sizes: dict[tuple[str, str], int] = defaultdict(int)
        for (cell, place, _), group in groups.items():
            sizes[cell, place] += len(group)
        rows += [
            {"cell": cell, "circumstance": circumstance, "mark": mark, "repeats": len(group),
             "share": len(group) / sizes[cell, place], **covered(group, drift.get(place, 0.0))}
            for (cell, place, mark), group in sorted(groups.items()) if len(group) >= 3
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def covered(group: Sequence[Measured], drift: float) -> dict[str, float]:
    """How often three intervals hold the long-run median: the cell's, the same without drift, and one process's."""
    medians = [[median(run.latency_s) for run in record.processes] for record in group]
    truths = [median([m for other in medians[:at] + medians[at + 1 :] for m in other]) for at in range(len(medians))]
    cell = [median_interval(own, drift=drift) for own in medians]
    spread_only = [median_interval(own) for own in medians]
    hits = _share(cell, truths)
    bounds = stats.binomtest(round(hits * len(group)), len(group)).proportion_ci(method="exact")
    return {
        "long_run_median_s": median([m for own in medians for m in own]),
        "covered": hits,
        "covered_low": bounds.low,
        "covered_high": bounds.high,
        "covered_without_drift": _share(spread_only, truths),
        "covered_by_one_process": _share([_of_one_process(record) for record in group], truths),
        "half_width": median([_half_width(interval) for interval in cell]),
        "half_width_without_drift": median([_half_width(interval) for interval in spread_only]),
        "drift": drift,
    }


def _share(intervals: Sequence[Interval], truths: Sequence[float]) -> float:
    return float(np.mean([at.low <= truth <= at.high for at, truth in zip(intervals, truths, strict=True)]))


def _of_one_process(record: Measured) -> Interval:
    """What the first process alone would say of the median: the distribution-free interval of its own samples."""
    samples = record.processes[0].latency_s
    centre, error = median(samples), relative_median_error(samples)
    return Interval(centre, centre * (1 - error), centre * (1 + error))


def _half_width(interval: Interval) -> float:
    return float(np.log(interval.high / interval.low) / 2)


def report(table: pd.DataFrame) -> str:
    """The table as Markdown, with the machine and the verdict."""
    here = environment()
    shown = table.assign(long_run_median_s=table.long_run_median_s.map("{:.3g}".format))
    shown[SHARES] = shown[SHARES].map("{:.1%}".format)
    return (
        f"# How often the 95 % interval of a cell covers its long-run median\n\n{here.hardware}, {here.threads} "
        f"threads, torch {here.torch}, {here.commit}. Half widths and drift on logarithms, medians over "
        f"repetitions; bounds by Clopper and Pearson, 95 %.\n\n{shown.to_markdown(index=False)}\n\n{verdict(table)}\n"
    )


def verdict(table: pd.DataFrame) -> str:
    """Whether the cells marked clean are covered as often as wanted, and whether a neighbour is noticed."""
    quiet, beside = (table[table.circumstance == name] for name in CIRCUMSTANCES)
    clean = quiet[quiet.mark == "clean"]
    lines = [
        f"{cell}, clean: covered in {share:.0%}, {WANTED:.0%} wanted: {'held' if share >= WANTED else 'NOT HELD'}"
        for cell, share in zip(clean["cell"], clean["covered"].astype(float), strict=True)
    ] or ["No quiet cell was marked clean three times: nothing is shown of those."]
    lines += [
        f"{row.cell} beside a neighbour: {row.share:.0%} marked {row.mark}, of these covered in {row.covered:.0%}"
        for row in beside.itertuples()
    ]
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
