"""The longest clip of every architecture in 16, 24, 80 and 141 GB, inference and training; predicted, nothing is run.

    python -m benchmarks.longest [--models timesformer_b,...] [--modes infer,train] [--patience 5m] [--out DIR]

Batch 1, fp32, each model's own crop. An accelerator's memory without its context must hold the predicted tensors
(`vbench.measure.longest_clips`); what kernels and the allocator set aside beside them is left out. Rows are kept in
longest.csv as they come, and the same command resumes; longest.md is the table. The figures are the same on every
machine, but for those with >=: to predict the next longer clip took more than --patience, a model and mode.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.rows import add
from vbench.analysis.claims.claim import MEMORIES_BYTES
from vbench.analysis.modelled import CONTEXT_BYTES
from vbench.cell import Cell
from vbench.errors import VbenchError, first_line
from vbench.measure.catalog_counts import default_cell
from vbench.measure.longest_clips import PATIENCE_S, LongestClip, longest_clips
from vbench.proof.crew import crew
from vbench.units import parse_duration_s
from vbench_models.catalog import ARCHITECTURES

MODES = ("infer", "train")
BUDGETS = {memory - CONTEXT_BYTES: memory / 1e9 for memory in MEMORIES_BYTES}  # bytes for tensors -> GB


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One model in one mode and one memory."""

    model: str
    mode: str
    height: int
    width: int
    memory_gb: float  # of 10**9 bytes
    frames: int  # 0: not even the shortest clip fits, or there is a reason
    only_frames: int  # the one length that the model takes; 0: many
    is_settled: bool
    reason: str = ""


def rows_of(cell: Cell, answer: Future[list[LongestClip]]) -> list[Row]:
    """The longest clips of the cell's model, smallest memory first; one row with the reason where there are none."""
    row = partial(Row, model=cell.model, mode=cell.mode, height=cell.height, width=cell.width)
    try:
        clips = answer.result()
    except VbenchError as error:
        return [row(memory_gb=0.0, frames=0, only_frames=0, is_settled=True, reason=first_line(error))]
    return [
        row(
            memory_gb=BUDGETS[clip.budget_bytes],
            frames=clip.frames,
            only_frames=clip.only_frames,
            is_settled=clip.is_settled,
        )
        for clip in clips
    ]


def report(table: pd.DataFrame) -> str:
    """One line a model and mode, one column a memory, as Markdown."""
    found = table[table["memory_gb"] > 0]
    said = found["frames"].astype(str)
    said = said.where(found["only_frames"] == 0, said + " (its only clip)")
    said = said.where(found["is_settled"], ">= " + said)
    wide = found.assign(said=said).pivot(index=["model", "height", "width", "mode"], columns="memory_gb", values="said")
    wide.columns = pd.Index([f"{memory:g} GB" for memory in wide.columns])
    left_out = [f"- {row.model}, {row.mode}: {row.reason}" for row in table[table["memory_gb"] == 0].itertuples()]
    return "\n".join(
        [
            "# The longest clips that memories hold\n",
            "Frames of one clip, batch 1, fp32, at the model's own crop. Predicted: the algorithm's tensors with fused "
            f"attention, beside a context of {CONTEXT_BYTES / 2**20:.0f} MiB; kernels' scratch and the allocator's "
            "rounding are left out; >= is as far as the prediction got in its time. Training is a whole step with "
            "AdamW, without checkpointing.\n",
            wide.reset_index().to_markdown(index=False),
            *(["", *left_out] if left_out else []),
            "",
        ]
    )


def left(models: list[str], modes: list[str], known: pd.DataFrame) -> Iterator[Cell]:
    """What was not worked out yet."""
    done = set(known[["model", "mode"]].itertuples(index=False, name=None)) if len(known) else set()
    yield from (
        replace(default_cell(model), mode=mode) for mode in modes for model in models if (model, mode) not in done
    )


def main() -> None:
    """Work out what is not known yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(ARCHITECTURES))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--patience", type=parse_duration_s, default=PATIENCE_S)
    parser.add_argument("--out", type=Path, default=Path("reports/bench"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "longest.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame()
    with crew() as pool:
        cells = list(left(arguments.models.split(","), arguments.modes.split(","), known))
        answers = [pool.submit(longest_clips, cell, list(BUDGETS), arguments.patience) for cell in cells]
        for cell, answer in zip(cells, answers, strict=True):
            for row in rows_of(cell, answer):
                add(path, row)
                print(row, flush=True)
    (arguments.out / "longest.md").write_text(report(pd.read_csv(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
