"""Ten answers of `vbench fit`, verified: the longest clip runs within the memory, the shortest too long one does not.

    python -m benchmarks.fit [--pairs 10] [--timeout 10m] [--out reports/bench]

Each clip runs in a process of its own, three forwards, like a user's. The limit is on resident memory: the process of
the clip that is too long is ended as soon as its VmHWM, the kernel's own high-water mark, passes the memory asked for;
that of the one which should fit may take a quarter more, to see by how much it does not. A process that ends by itself
tells its VmHWM exactly. (RLIMIT_AS limits addresses, of which torch takes many times what it touches; a control group
would need rights that a benchmark should not have.) Heaps differ from run to run by some tens of MiB
(`vbench.measure.heap`): that is the room which an answer leaves, and clips between the two may fit or not. Rows are
kept in fit.csv as they come, and the same command resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.page import page
from benchmarks.rows import add
from vbench.cell import Cell
from vbench.measure.fit import Fit, fit
from vbench.measure.lone_process import Life, live
from vbench.units import parse_bytes, parse_duration_s

PAIRS = (  # model, memory, height and width: forwards of seconds, architectures that differ, clips some percent apart
    ("slowfast_r50_4x16", "600MiB", 224),
    ("mtv_b", "1600MiB", 224),
    ("multiscale_temporal", "2GiB", 224),
    ("slowfast_transformer", "1GiB", 224),
    ("video_swin_t", "700MiB", 224),
    ("mvit_b_16x4", "800MiB", 224),
    ("i3d_r50", "700MiB", 224),
    ("videomae_b", "800MiB", 224),
    ("vivit_b_16x2", "900MiB", 224),
    ("xvit_b_8", "900MiB", 224),
)

TITLE = "Ten answers of `vbench fit`, run"
CONVENTION = (
    "Process peaks (VmHWM) in MiB, frames of one clip, seconds of search; a process that is too long is ended where it "
    "passes the memory."
)
AMPLE = 1.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One answer, and what became of the clip and of the next longer one."""

    model: str
    memory_bytes: int
    size: int
    frames: int
    predicted_peak_bytes: int
    room_bytes: int
    measured_peak_bytes: int
    fits: bool
    above_frames: int
    above_predicted_peak_bytes: int
    above_measured_peak_bytes: int  # at least, where the process was ended
    is_above: bool
    above_ended: str
    search_s: float


def verified(model: str, memory: str, size: int, timeout_s: float) -> Row:
    """Ask, run the longest clip that is said to fit, then the shortest that is said to need more."""
    answer = fit(model, memory, height=size, width=size, patience_s=120)
    assert answer.frames is not None, f"{model} fits at no length; choose more memory"
    assert answer.above_frames is not None, f"{model} takes no clip that is too long; choose less memory"
    ample = round(AMPLE * answer.memory_bytes)  # to see by how much a clip that should fit does not
    below = live(_cell(answer, answer.frames), limit_bytes=ample, timeout_s=timeout_s)
    above = live(_cell(answer, answer.above_frames), limit_bytes=answer.memory_bytes, timeout_s=timeout_s)
    return Row(
        model=model,
        memory_bytes=answer.memory_bytes,
        size=size,
        frames=answer.frames,
        predicted_peak_bytes=answer.predicted_peak_bytes,
        room_bytes=answer.room_bytes,
        measured_peak_bytes=below.peak_bytes,
        fits=below.is_complete and below.peak_bytes <= answer.memory_bytes,
        above_frames=answer.above_frames,
        above_predicted_peak_bytes=answer.above_predicted_peak_bytes or 0,
        above_measured_peak_bytes=above.peak_bytes,
        is_above=_is_above(above, answer.memory_bytes),
        above_ended=above.ended,
        search_s=answer.search_s,
    )


def _cell(answer: Fit, frames: int) -> Cell:
    return Cell(model=answer.name, frames=frames, height=answer.height, width=answer.width)


def _is_above(life: Life, memory_bytes: int) -> bool:
    return life.ended == "passed the limit" or life.peak_bytes > memory_bytes


def report(table: pd.DataFrame) -> str:
    """The table as Markdown, with sizes in MiB, and the verdict."""
    shown = pd.DataFrame(
        {
            "model": table["model"],
            "memory (MiB)": table["memory_bytes"] / 2**20,
            "pixels": table["size"],
            "frames": table["frames"],
            "predicted (MiB)": table["predicted_peak_bytes"] / 2**20,
            "room (MiB)": table["room_bytes"] / 2**20,
            "measured (MiB)": table["measured_peak_bytes"] / 2**20,
            "fits": table["fits"],
            "too long": table["above_frames"],
            "its predicted (MiB)": table["above_predicted_peak_bytes"] / 2**20,
            "its measured (MiB, at least)": table["above_measured_peak_bytes"] / 2**20,
            "is above": table["is_above"],
            "search (s)": table["search_s"],
        }
    )
    fitting, above = int(table["fits"].sum()), int(table["is_above"].sum())
    verdict = f"{fitting} of {len(table)} fit, {above} of those called too long do not"
    return f"{verdict}\n\n{shown.to_markdown(index=False, floatfmt='.0f')}\n"


def main() -> None:
    """Verify what is not verified yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    parser.add_argument("--timeout", type=parse_duration_s, default=600.0)
    parser.add_argument("--out", type=Path, default=Path("reports/bench"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "fit.csv"
    known = set()
    if path.exists():
        known = set(pd.read_csv(path)[["model", "memory_bytes", "size"]].itertuples(index=False, name=None))
    for model, memory, size in PAIRS[: arguments.pairs]:
        if (model, parse_bytes(memory), size) not in known:
            row = verified(model, memory, size, arguments.timeout)
            add(path, row)
            print(row, flush=True)
    text = report(pd.read_csv(path))
    (arguments.out / "fit.md").write_text(page(TITLE, CONVENTION, text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
