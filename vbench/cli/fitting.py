"""The longest clip that fits, predicted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vbench.cli.options import NO_ANSWER, AsJson
from vbench.cli.output import console, fail, print_json

if TYPE_CHECKING:
    from vbench.measure.fit import Fit


def fit(
    name: Annotated[str, typer.Argument(help="A catalog key, or a user's own file.py:build.")],
    memory: Annotated[str, typer.Option(help="Of the process, as in 24GiB or 800MB.")],
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    mode: Annotated[str, typer.Option(help="infer or train.")] = "infer",
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16, fp16 or bf16_pure.")] = "fp32",
    kernel: Annotated[str, typer.Option(help="Attention kernel.")] = "fused",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Find the longest clip that fits a memory, from the predicted peak of the process; nothing is run."""
    from vbench.grid import parse_size
    from vbench.measure.fit import fit as find
    from vbench.measure.fit import too_little

    height, width = parse_size(size) if size is not None else (None, None)
    answer = find(
        name, memory, height=height, width=width, batch=batch, precision=precision, kernel=kernel, mode=mode,
        device=device,
    )  # fmt: skip
    if as_json:
        print_json(answer.to_json())
    elif answer.frames is not None:
        _print(answer)
    if answer.frames is None:
        fail(too_little(answer), NO_ANSWER)


def _print(answer: Fit) -> None:
    from rich.table import Table

    from vbench import units

    table = Table(box=None, show_header=False)
    peak, memory = units.size(answer.predicted_peak_bytes), units.size(answer.memory_bytes)
    table.add_row("longest clip", f"{answer.frames} frames of {answer.height} x {answer.width}, batch {answer.batch}")
    room = units.size(answer.room_bytes)
    table.add_row("predicted process peak", f"{peak} of {memory}; by chance up to {room} more or less")
    parts = {"process": answer.floor_bytes, "tensors": answer.tensor_peak_bytes, "workspace": answer.workspace_bytes}
    table.add_row("of which", ", ".join(f"{part} {units.size(size)}" for part, size in parts.items()))
    table.add_row("next longer clip", _next(answer))
    if answer.step_frames:
        table.add_row("too long in any case", _above(answer))
    console().print(table)
    for remark in _remarks(answer):
        print(remark, file=sys.stderr)


def _next(answer: Fit) -> str:
    from vbench import units

    if answer.next_frames is None or answer.next_predicted_peak_bytes is None:
        return "none: the model takes clips of this length only" if not answer.step_frames else "not looked at"
    needed = units.size(answer.next_predicted_peak_bytes)
    if answer.next_frames == answer.above_frames:
        return f"{answer.next_frames} frames need {needed}: too much"
    return f"{answer.next_frames} frames need {needed}: by chance too much or not"


def _above(answer: Fit) -> str:
    from vbench import units

    if answer.above_frames is None or answer.above_predicted_peak_bytes is None:
        return "not looked at"
    return f"{answer.above_frames} frames need {units.size(answer.above_predicted_peak_bytes)}"


def _remarks(answer: Fit) -> list[str]:
    remarks = []
    if not answer.is_settled:
        remarks.append(f"the search ended after {answer.search_s:.0f} s; longer clips may fit, too")
    if not answer.is_monotone:
        remarks.append("some longer clips need less than shorter ones; the longest one found is given")
    if answer.device == "cuda":
        remarks.append("on cuda the allocator's part is modelled and was never measured" + _without_floor(answer))
    return remarks


def _without_floor(answer: Fit) -> str:
    return "" if answer.floor_bytes else "; the CUDA context is left out, as there is no such device here"
