"""How long must a process warm up? What the records of a sweep say: nothing is measured here.

    python -m benchmarks.warmup [reports/reference/epyc-2-cores] [--out reports/warmup]

The second half of a process's samples is taken as its settled state. For each least warm-up, samples within it are
taken off the front, and the median of the first fifth of what is left is held against the settled median: a process
that is still off there had not settled. Short forwards are flat after three calls and yet change during the first
tenths of a second, while the allocator finds its sizes. `added_s` is what the least warm-up costs all these processes
together.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from vbench.results import Measured, ProcessRun
from vbench.stats import median
from vbench.store import Store

LEAST_S = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
OFF = (0.03, 0.05, 0.1)
LEAST_SAMPLES = 25  # for a first fifth that says something


def main() -> None:
    """Print the table and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?", default=Path("reports/reference/epyc-2-cores"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measured = (record for record in Store(arguments.directory).records() if isinstance(record, Measured))
    table = settling([run for record in measured for run in record.processes])
    text = f"# Processes not settled after a least warm-up\n\n{table.to_markdown(index=False, floatfmt='.3g')}\n"
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out / "warmup.csv", index=False)
        (arguments.out / "warmup.md").write_text(text, encoding="utf-8")


def settling(processes: Iterable[ProcessRun]) -> pd.DataFrame:
    """One row for each least warm-up: the fraction of processes that are off by more than 3, 5 and 10 %."""
    runs = [run for run in processes if len(run.latency_s) >= LEAST_SAMPLES]
    rows = []
    for least_s in LEAST_S:
        off = pd.Series([_off_after(run, least_s) for run in runs], dtype=float)
        added_s = sum(max(0.0, least_s - sum(run.warmup_s)) for run in runs)
        shares = {f"off_{limit:.0%}": float((off > limit).mean()) for limit in OFF}
        rows.append({"least_warmup_s": least_s, "processes": len(runs), **shares, "added_s": added_s})
    return pd.DataFrame(rows)


def _off_after(run: ProcessRun, least_s: float) -> float:
    """How far the first fifth after the warm-up is from the settled median, as a fraction of it."""
    samples, spent_s, first = run.latency_s, sum(run.warmup_s), 0
    while spent_s < least_s and first < len(samples) // 2:
        spent_s += samples[first] * run.block
        first += 1
    fifth = samples[first : first + max(3, (len(samples) - first) // 5)]
    return abs(median(fifth) / median(samples[len(samples) // 2 :]) - 1)


if __name__ == "__main__":
    main()
