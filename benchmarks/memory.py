"""Predicted against observed memory: models x clips x {infer, train} x {fused, math} x {as it is, with a bias added}.

    python -m benchmarks.memory [--models core:*,c3d] [--clips quick|default] [--modes infer,train] [--large]
                                [--threads 2] [--tensors-only] [--minutes M] [--out reports/memory]

Every row comes from a process of its own, one at a time: the tensor peak predicted on fake tensors, the tensor peak
observed (all that torch's CPU allocator handed out and that was alive at once, what is held before included), and,
from a run before that one, the process's peak (VmHWM) with its floor, what was resident before the model was built.
Rows that are in `memory.jsonl` are not made again, so that an interrupted study goes on; a row that is predicted not to
fit, or whose process died, says why. The models are those of the preset `quick` at their default clips and at the clips
that it measures; `--large` adds five of the largest, at their default clips, in inference and training, and shorter
clips of those whose training does not fit in 24 GB at these. `--tensors-only` leaves out the run for the process's
peak, a third of the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import psutil
import torch

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import matching_names, read_grid
from vbench.measure.catalog_counts import default_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.inputs import network_input
from vbench.measure.kernels import kernel_context
from vbench.measure.memory import allocated_peak, bytes_of, peak_on_cpu, status_bytes
from vbench.measure.stand_ins import AddedBias
from vbench.measure.subject import all_inputs, build_network, known_facts
from vbench.measure.training import TrainingStep

QUICK = Path(__file__).parent.parent / "vbench" / "presets" / "quick.toml"
LARGE = ("vivit_l_16x2", "video_swin_l", "mvitv2_l_40x3", "timesformer_l", "mtv_b")
SHORTER = {"vivit_l_16x2": (16, 224), "mvitv2_l_40x3": (16, 224), "timesformer_l": (48, 224)}  # frames, height = width
FLOOR_BYTES = 600 * 2**20  # of a process beside its tensors, when it is asked whether a row fits
FITTING_FRACTION = 0.9  # of the memory that is available
KEY = ["model", "frames", "height", "width", "batch", "mode", "kernel", "bias", "threads"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting; bytes are None where it was not run, for the `reason`."""

    model: str
    frames: int
    height: int
    width: int
    batch: int
    mode: str
    kernel: str
    bias: bool
    threads: int
    torch: str
    predicted_bytes: int | None = None
    observed_bytes: int | None = None
    process_peak_bytes: int | None = None
    floor_bytes: int | None = None
    reason: str = ""


def main() -> None:
    """Make the rows that are missing, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="names or patterns, separated by commas")
    parser.add_argument("--clips", default="quick", choices=("quick", "default"))
    parser.add_argument("--modes", default="infer,train")
    parser.add_argument("--large", action="store_true", help="five of the largest models, too")
    parser.add_argument("--threads", default=torch.get_num_threads(), type=int)
    parser.add_argument("--tensors-only", action="store_true", help="no process peaks: a run in three less")
    parser.add_argument("--minutes", default=None, type=float, help="stop after so long; the next run goes on")
    parser.add_argument("--out", default=Path("reports/memory"), type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    asked = study(arguments.models.split(","), arguments.clips, large=arguments.large)
    settings = list(product(asked, arguments.modes.split(","), ("fused", "math"), (False, True)))
    cells = [
        (replace(cell, mode=mode, kernel=kernel, threads=arguments.threads), bias)
        for cell, mode, kernel, bias in settings
    ]
    make = partial(predict_and_observe, tensors_only=arguments.tensors_only)
    rows = complete(cells, make, arguments.out / "memory.jsonl", arguments.minutes)
    write(rows, len(cells), arguments.out)


def study(models: Sequence[str], clips: str, *, large: bool) -> list[Cell]:
    """The cells of the preset that are measured, every one of its models at its default clip, and the large ones."""
    grid = read_grid(QUICK)
    plans = grid.plans(known_facts(grid.models()))
    names = matching_names(models, {plan.cell.model for plan in plans} | set(LARGE))
    cells = [plan.cell for plan in plans if not plan.count_only and not plan.excluded] if clips == "quick" else []
    cells += [default_cell(name) for name in dict.fromkeys(plan.cell.model for plan in plans)]
    if large:
        cells += [default_cell(name) for name in LARGE]
        cells += [
            replace(default_cell(name), frames=frames, height=side, width=side)
            for name, (frames, side) in SHORTER.items()
        ]
    return [cell for cell in dict.fromkeys(cells) if cell.model in names]


def complete(
    cells: Sequence[tuple[Cell, bool]], make: Callable[..., Row], path: Path, minutes: float | None
) -> list[Row]:
    """The rows of `cells`: those of the file, and the others, which are appended to it as they come."""
    known = {key_of(row): row for row in read(path)}
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    for cell, bias in cells:
        empty = row_of(cell, bias=bias)
        if key_of(empty) in known or time.monotonic() > deadline:
            continue
        row = known[key_of(empty)] = make(cell, bias=bias)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(line_of(row), flush=True)
    return [known[key] for key in (key_of(row_of(cell, bias=bias)) for cell, bias in cells) if key in known]


def read(path: Path) -> Iterator[Row]:
    """The rows of earlier runs."""
    if path.exists():
        yield from (Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def key_of(row: Row) -> tuple[object, ...]:
    """What tells rows apart."""
    return (*(getattr(row, name) for name in KEY), row.torch)


def row_of(cell: Cell, *, bias: bool) -> Row:
    """The row of a setting, without figures yet."""
    return Row(
        model=cell.model, frames=cell.frames, height=cell.height, width=cell.width, batch=cell.batch, mode=cell.mode,
        kernel=cell.kernel, bias=bias, threads=cell.threads, torch=torch.__version__,
    )  # fmt: skip


def predict_and_observe(cell: Cell, *, bias: bool, tensors_only: bool) -> Row:
    """Predict here, and run in a fresh process if it will fit."""
    try:
        predicted = footprint_of_cell(cell, bias=bias).peak_bytes
    except AxisError as error:
        return replace(row_of(cell, bias=bias), reason=str(error))
    available = FITTING_FRACTION * psutil.virtual_memory().available - FLOOR_BYTES
    fits = predicted <= available
    ran = partial(observe_in_fresh_process, tensors_only=tensors_only) if fits else row_of
    row = ran(cell, bias=bias)
    reason = row.reason if fits else f"not run: {available / 1e9:.1f} GB available"
    return replace(row, predicted_bytes=predicted, reason=reason)


def observe_in_fresh_process(cell: Cell, *, bias: bool, tensors_only: bool) -> Row:
    """The row, made in a process that has done nothing else; torch is loaded in the one that it is forked from."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["vbench.measure.worker"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(observe, cell, bias=bias, tensors_only=tensors_only).result()
        except BrokenProcessPool:
            return replace(row_of(cell, bias=bias), reason="the process died, of too little memory most likely")


def observe(cell: Cell, *, bias: bool, tensors_only: bool) -> Row:
    """Run the setting; nothing was predicted in this process, which would make it larger."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    (torch.ones(64, 64) @ torch.ones(64, 64)).sum()
    floor_bytes = status_bytes("VmRSS")
    network = build_network(cell)
    inputs = all_inputs(network, network_input(cell))
    held = (list(network.parameters()), list(network.buffers()), inputs)
    with kernel_context(cell.kernel), AddedBias() if bias else nullcontext():
        if cell.mode == "train":
            run = TrainingStep(network.train(), network.parameters(), inputs)
            tensor_bytes, process_bytes = peaks_of(run, lambda: (*held, list(run.state())), tensors_only)
        else:
            with torch.inference_mode():
                tensor_bytes, process_bytes = peaks_of(lambda: network(*inputs), lambda: held, tensors_only)
    return replace(
        row_of(cell, bias=bias),
        observed_bytes=tensor_bytes,
        process_peak_bytes=process_bytes,
        floor_bytes=floor_bytes,
    )


def peaks_of(
    run: Callable[[], object], held: Callable[[], object], tensors_only: bool
) -> tuple[int | None, int | None]:
    """Of tensors and of the process, after a first run: by then libraries and optimisers have what they keep."""
    run()
    if tensors_only:
        return bytes_of(held()) + allocated_peak(run), None
    peak = peak_on_cpu(run, held)
    return peak.tensor_bytes, peak.process_bytes


def write(rows: Sequence[Row], wanted: int, out: Path) -> None:
    """Every row as CSV; and a page with the range of every setting, and the rows that are furthest off."""
    table = pd.DataFrame(asdict(row) for row in rows)
    table["ratio"] = table["predicted_bytes"] / table["observed_bytes"]
    table.to_csv(out / "memory.csv", index=False)
    ran = table[table["ratio"].notna()]
    by_setting = ran.groupby(["mode", "kernel", "bias"])["ratio"].agg(
        rows="size", lowest="min", median="median", highest="max"
    )
    worst = ran.loc[(ran["ratio"] - 1).abs().sort_values(ascending=False).index].head(10)
    columns = {"predicted_bytes": int, "observed_bytes": int, "ratio": float}
    worst = worst[[*KEY, *columns]].astype(columns)
    within = float(((ran["ratio"] - 1).abs() <= 0.01).mean()) if len(ran) else float("nan")
    text = "\n\n".join(
        (
            "# Tensor peaks, predicted / observed",
            by_setting.reset_index().to_markdown(index=False, floatfmt=".4f"),
            f"{within:.1%} of {len(ran)} rows are within 1 %; {len(table) - len(ran)} cannot be run, for "
            f"the reasons in memory.csv; {wanted - len(table)} of {wanted} are still to be made. "
            f"torch {torch.__version__}.",
            "## The ten furthest",
            worst.to_markdown(index=False, floatfmt=".7f"),
        )
    )
    (out / "memory.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def line_of(row: Row) -> str:
    """One row, as progress."""
    head = f"{row.model} {row.frames}x{row.height}x{row.width} {row.mode} {row.kernel}{' +bias' if row.bias else ''}"
    if row.predicted_bytes is None or row.observed_bytes is None:
        return f"{head}: {row.reason}"
    ratio = row.predicted_bytes / row.observed_bytes
    return f"{head}: {row.predicted_bytes:,} / {row.observed_bytes:,} = {ratio:.4f}"


if __name__ == "__main__":
    main()
