"""How often `vbench compare` is wrong, and how often it finds a slow-down, beside a neighbour that loads one core.

    python -m benchmarks.gate [--part aa|two|one|truth] [--trials N] [--minutes M] [--out DIR]

Three parts, each trial a comparison of its own: `aa`, a model with itself (200 trials; margin 2 %, budget 20 s), `two`
and `one`, a model with 2 % and 1 % more of the same steps (100 trials each; margin 2 % and 20 s, 1 % and 60 s). The
neighbour is one process, bound to no core, that multiplies 512 x 512 matrices with one thread from before the first
trial to after the last. A trial ends with its verdict, after 5 to 20 seconds on two cores that have nothing else to do:
expect an hour and a half for all 400. `truth` measures the two ratios with as many pairs as a comparison can have,
without a neighbour, beside those of the MACs: four minutes each.

The same trials judged as pytest-benchmark judges with `--benchmark-compare-fail=median:5%` stand beside them, by the
clock on the wall, twice: on the trial's own raw data, the first process of each side; and by its usual procedure, which
each trial carries out after its comparison: a fresh process a side, one after the other, for a second.

DIR receives gate.jsonl, to which each trial is appended with all its turns; trials.csv, a line a trial; gate.csv and
gate.md, the table. Run again, it resumes, from trials.csv, too, where that is all that is left.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from benchmarks.page import page
from benchmarks.steps import FRAMES, HEIGHT, WIDTH
from vbench.analysis.sequential import LOOKS, bounds, ratio_of, undisturbed
from vbench.cell import Cell
from vbench.comparing import Comparison, compare_cells
from vbench.measure.pairs import Pairs
from vbench.measure.turns import Side
from vbench.stats import median

MODEL = Path(__file__).with_name("steps.py")
PYTEST_LIMIT = 1.05  # median:5%
PYTEST_S = 1.0  # --benchmark-max-time
TITLE = {
    "gate": "How often `vbench compare` is wrong, and how often it finds a slow-down, beside a neighbour",
    "truth": "The slow-downs that the trials of `vbench compare` are about",
}
CONVENTION = {
    "gate": "Trials and verdicts are counts, with 95 % intervals by Clopper and Pearson in percent; ratios are B / A "
    "on the clock of the processor, those of pytest on the wall's, where more than 1.05 is called slower. Every trial "
    "is in trials.csv; python -m benchmarks.gate resumes it.",
    "truth": "Ratios are B / A, by MACs and on the clock of the processor, with 95 % intervals; nothing else running.",
}
TRIAL_COLUMNS = [
    "part", "number", "verdict", "ratio", "low", "high", "pairs", "kept_pairs", "elapsed_s", "latency_s",
    "same_data_wall_ratio", "usual_wall_ratio",
]  # fmt: skip
NEIGHBOUR = """import os, sys, numpy as np
x, parent = np.ones((512, 512), dtype=np.float32), int(sys.argv[1])
while os.getppid() == parent: x @ x
"""
FEW_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A kind of trial and its bar."""

    what: str
    builder: str
    trials: int
    margin: float
    budget_s: float
    bar: float  # the share of trials: at most for false verdicts, at least for slow-downs found


PARTS = {
    "aa": Part(what="A/A, called different", builder="build", trials=200, margin=0.02, budget_s=20.0, bar=0.01),
    "two": Part(what="2 % slower, found", builder="build_two", trials=100, margin=0.02, budget_s=20.0, bar=0.95),
    "one": Part(what="1 % slower, found", builder="build_one", trials=100, margin=0.01, budget_s=60.0, bar=0.90),
}


def cell(builder: str) -> Cell:
    """One side, with one thread."""
    return Cell(model=f"{MODEL}:{builder}", frames=FRAMES, height=HEIGHT, width=WIDTH, threads=1)


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps one core busy; it ends with this one, too."""
    command = [sys.executable, "-c", NEIGHBOUR, str(os.getpid())]
    busy = subprocess.Popen(command, env={**os.environ, **FEW_THREADS})
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def trial(name: str, number: int) -> dict[str, Any]:
    """One comparison, and the same two sides as pytest-benchmark would run them."""
    part = PARTS[name]
    sides = cell("build"), cell(part.builder)
    compared = compare_cells(*sides, margin=part.margin, budget_s=part.budget_s)
    return {"part": name, "number": number, **figures(compared), "usual_wall_ratio": usual_procedure(sides)}


def figures(compared: Comparison) -> dict[str, Any]:
    """What is kept of a comparison: the verdict, and the raw data of every pair."""
    pairs = [{**asdict(pair), "log_ratio": pair.log_ratio} for pair in compared.measured]
    first_a_s, first_b_s = compared.measured[0].wall_s
    known = compared.to_json()
    del known["measured"]
    latency_s = compared.a.latency_s
    return {**known, "latency_s": latency_s, "same_data_wall_ratio": first_b_s / first_a_s, "raw": pairs}


def usual_procedure(sides: Sequence[Cell]) -> float:
    """Median of B by median of A, by the wall: a process for each side, A first, a second of rounds."""
    a, b = (Side(label=side.model, cell=side) for side in sides)
    pairs = Pairs((a, b), timeout_s=60.0)
    a_s, b_s = (median([sample.wall_s for sample in pairs.alone(which, PYTEST_S)]) for which in (0, 1))
    return b_s / a_s


def table(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a part: its trials, the wrong or found ones with their Clopper-Pearson interval, and how long they took."""
    rows = [_row(PARTS[str(name)], str(name), group) for name, group in trials.groupby("part", sort=False)]
    return pd.DataFrame(rows)


def _row(part: Part, name: str, group: pd.DataFrame) -> dict[str, Any]:
    in_time = group["elapsed_s"] <= part.budget_s
    wrong = group["verdict"].isin(["slower", "faster"])
    hits = wrong if name == "aa" else (group["verdict"] == "slower") & in_time
    usual = int((group["usual_wall_ratio"] > PYTEST_LIMIT).sum())
    share = hits.mean()
    return {
        "part": part.what, "margin": f"{part.margin:.0%}", "budget_s": part.budget_s,
        "trials": len(group), "wanted_trials": part.trials,
        "vbench": int(hits.sum()), **_clopper_pearson("vbench", int(hits.sum()), len(group)),
        "bar": f"{'at most' if name == 'aa' else 'at least'} {part.bar:.0%}",
        "holds": bool(share <= part.bar if name == "aa" else share >= part.bar),
        "verdicts": ", ".join(f"{count} {verdict}" for verdict, count in group["verdict"].value_counts().items()),
        "seconds_median": round(group["elapsed_s"].median(), 1), "seconds_most": round(group["elapsed_s"].max(), 1),
        "over_budget": int((~in_time).sum()), "pairs_median": group["pairs"].median(),
        "ratio_median": round(group["ratio"].median(), 4),
        "latency_ms": round(1e3 * group["latency_s"].median(), 2),
        "pytest_same_data": int((group["same_data_wall_ratio"] > PYTEST_LIMIT).sum()),
        "pytest_usual": usual, **_clopper_pearson("pytest_usual", usual, len(group)),
        "pytest_usual_worst_percent": round(100 * (group["usual_wall_ratio"] - 1).abs().max(), 1),
    }  # fmt: skip


def _clopper_pearson(who: str, hits: int, trials: int) -> dict[str, float]:
    interval = binomtest(hits, trials).proportion_ci(confidence_level=0.95, method="exact")
    return {f"{who}_low_percent": round(100 * interval.low, 2), f"{who}_high_percent": round(100 * interval.high, 2)}


def run(names: Sequence[str], limit: int | None, out: Path, minutes: float) -> pd.DataFrame:
    """Run the trials that are missing, parts taking turns, so that a noisy hour meets all of them."""
    journal, deadline_s = out / "gate.jsonl", time.monotonic() + 60 * minutes
    done = known_trials(out)
    wanted = [(name, number) for name in names for number in range(limit or PARTS[name].trials)]
    missing = [key for key in wanted if key not in {(entry["part"], entry["number"]) for entry in done}]
    missing.sort(key=lambda key: (key[1] / (limit or PARTS[key[0]].trials), key[0]))
    with neighbour(), journal.open("a", encoding="utf-8") as lines:
        for left, (name, number) in zip(range(len(missing), 0, -1), missing, strict=True):
            if time.monotonic() > deadline_s:
                print(f"{left} left: the time is over; the same command resumes", file=sys.stderr)
                break
            entry = trial(name, number)
            lines.write(json.dumps(entry) + "\n")
            lines.flush()
            done.append(entry)
            told = f"{entry['verdict']}, ratio {entry['ratio']:.4f}, {entry['pairs']} pairs, {entry['elapsed_s']:.1f} s"
            print(f"{left} left; {name} {number}: {told}", file=sys.stderr, flush=True)
    trials = pd.DataFrame(done)[TRIAL_COLUMNS].sort_values(["part", "number"])
    trials.round(6).to_csv(out / "trials.csv", index=False)
    return table(trials)


def known_trials(out: Path) -> list[dict[str, Any]]:
    """The trials of the journal, and those of trials.csv that are not in it."""
    done = read(out / "gate.jsonl")
    path = out / "trials.csv"
    if not path.exists():
        return done
    earlier: list[dict[str, Any]] = pd.read_csv(path).to_dict("records")
    known = {(entry["part"], entry["number"]) for entry in done}
    return [*(entry for entry in earlier if (entry["part"], entry["number"]) not in known), *done]


def read(journal: Path) -> list[dict[str, Any]]:
    """The trials that are there; a torn last line is run again."""
    if not journal.exists():
        return []
    whole = [line for line in journal.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    journal.write_text("".join(whole), encoding="utf-8")
    return [json.loads(line) for line in whole]


def truth() -> pd.DataFrame:
    """The true ratios: by the MACs, and by as many pairs as a comparison can have, with 95 % intervals."""
    rows = []
    for builder in ("build_one", "build_two"):
        a, b = (Side(label=name, cell=cell(name)) for name in ("build", builder))
        pairs = Pairs((a, b), timeout_s=60.0)
        counts = pairs.count()
        measured = [pairs.measure(number) for number in range(LOOKS[-1])]
        kept = undisturbed(*zip(*(pair.least_s for pair in measured), strict=True))
        seen = bounds([measured[index].log_ratio for index in kept], level=0.05)
        estimate, low, high = (round(ratio_of(value), 5) for value in seen[:3])
        by_macs = counts[1].macs / counts[0].macs
        found = {"by_macs": by_macs, "pairs": LOOKS[-1], "by_time": estimate, "low": low, "high": high}
        rows.append({"model": builder, **found})
    return pd.DataFrame(rows)


def main() -> int:
    """Run what is asked for, print the table and write it; ends with 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=(*PARTS, "truth"), help="one part only; default: aa, two and one")
    parser.add_argument("--trials", type=int, help="of each part; default: 200, 100 and 100")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no trial begins; default: all")
    parser.add_argument("--out", type=Path, default=Path("reports/gate"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    is_truth = asked.part == "truth"
    parts = [asked.part] if asked.part else list(PARTS)
    found = truth() if is_truth else run(parts, asked.trials, asked.out, asked.minutes)
    name = "truth" if is_truth else "gate"
    text = found.to_markdown(index=False) if is_truth else found.set_index("part").T.to_markdown()
    found.to_csv(asked.out / f"{name}.csv", index=False)
    (asked.out / f"{name}.md").write_text(page(TITLE[name], CONVENTION[name], text), encoding="utf-8")
    print(text)
    return 0 if is_truth or bool(found["holds"].all()) else 1


if __name__ == "__main__":
    sys.exit(main())
