"""Two models, or one at two revisions, held against each other by interleaved pairs of processes."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vbench.cli.options import CHANGED, NO_ANSWER, AsJson
from vbench.cli.output import console, print_json
from vbench.errors import AxisError

if TYPE_CHECKING:
    from rich.table import Table

    from vbench.comparing import Comparison


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A catalog key, file.py:build or package.module:build.")],
    b: Annotated[str, typer.Argument(metavar="[B]", help="What A is compared with.", show_default=False)] = "",
    against: Annotated[str, typer.Option(help="A git revision: A as it was then.", metavar="GITREF")] = "",
    margin: Annotated[str, typer.Option(help="Changes smaller than this do not matter.")] = "2%",
    budget: Annotated[str, typer.Option(help="Time for it all, as in 60s.")] = "60s",
    frames: Annotated[int | None, typer.Option(help="Frames of the clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    grids: Annotated[str | None, typer.Option(help="For patterns: tokens T x H x W, as in 8x14x14.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or bf16_pure.")] = "fp32",
    kernel: Annotated[str, typer.Option(help="Attention kernel: fused, math or flash.")] = "fused",
    threads: Annotated[int, typer.Option(help="Of each side; 0: every core, at the mercy of neighbours.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say whether B is slower than A, or NAME than it was at a revision: interleaved pairs, ratio with interval.

    Exit code 0 with a verdict, 1 where --against finds it slower, 3 where nothing is decided.
    """
    from vbench.comparing import compare as run
    from vbench.grid import parse_grid, parse_size
    from vbench.units import parse_duration_s

    tall, wide = parse_size(size) if size is not None else (None, None)
    compared = run(
        a, b, against=against, frames=frames, height=height if height is not None else tall,
        width=width if width is not None else wide, grid=parse_grid(grids) if grids else None, batch=batch,
        precision=precision, kernel=kernel, threads=threads, margin=parse_fraction(margin),
        budget_s=parse_duration_s(budget), told=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    if as_json:
        print_json(compared.to_json())
    else:
        _print(compared)
    if compared.verdict == "inconclusive":
        sys.exit(NO_ANSWER)
    if against and compared.verdict == "slower":
        sys.exit(CHANGED)


def parse_fraction(text: str) -> float:
    """The fraction of `2%`, `2 %` or `0.02`.

    Raises:
        AxisError: the text is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", text.strip())
    if match is None:
        raise AxisError(f"malformed margin {text!r}; wanted a percentage, as in 2% or 0.5%")
    return float(match[1]) * (0.01 if match[2] else 1.0)


def _print(compared: Comparison) -> None:
    from vbench import units

    terminal = console()
    terminal.print(_table(compared))
    terminal.print(f"\n{_sentence(compared)}", markup=False)
    confidence = f", interval of {1 - compared.level:.2%} confidence".replace("%", " %") if compared.looks else ""
    interval = units.ratio_interval(compared.ratio, compared.low, compared.high)
    looks = ", ".join(map(str, compared.looks)) or "none"
    left_out = f"{compared.pairs - compared.kept_pairs} disturbed and left out, " if compared.looks else ""
    for line in (
        f"ratio B / A       {interval}{confidence}",
        f"pairs             {compared.pairs} of {compared.planned_pairs or '-'} planned, {left_out}looks at {looks}; "
        f"{compared.stop_reason}, after {compared.elapsed_s:.0f} s",
        f"smallest effect   {units.percent(compared.minimum_detectable_effect)} would be found by so many pairs with a "
        "chance of 80 %",
        f"A/A rate          {units.percent(compared.aa_rate)} of {compared.aa_replays:,} replays of these pairs as "
        f"equal sides called different; the plan allows {units.percent(compared.alpha)}",
    ):
        terminal.print(line, markup=False)


def _table(compared: Comparison) -> Table:
    from rich.table import Table

    from vbench import units

    table = Table(box=None)
    for head, side in (("", None), ("A", compared.a), ("B", compared.b), ("B / A", None)):
        table.add_column(head if side is None else f"{head}: {side.name}", justify="left" if not head else "right")
    rows = (
        ("latency, own time", "latency_s", units.seconds),
        ("latency, with waiting", "wall_s", units.seconds),
        ("peak memory", "peak_memory_bytes", units.size),
        ("predicted tensor peak", "predicted_peak_bytes", units.size),
        ("parameters", "params", units.count),
        ("MACs", "macs", units.count),
        ("attention MACs", "attention_macs", units.count),
    )
    table.add_row("clip or grid", units.extent(*compared.a.extent), units.extent(*compared.b.extent))
    for title, field, text in rows:
        a, b = getattr(compared.a, field), getattr(compared.b, field)
        table.add_row(title, text(a), text(b), f"{b / a:.3f}" if a else "-")
    return table


def _sentence(compared: Comparison) -> str:
    from vbench import units

    margin = units.percent(compared.margin)
    match compared.verdict:
        case "same":
            return f"Same: {compared.b.name} is within {margin} of {compared.a.name}."
        case "inconclusive":
            return f"Inconclusive: {compared.stop_reason}; a longer --budget or a --margin over {margin} may decide."
        case _:
            change = units.signed_percent(compared.ratio - 1)
            return f"{compared.verdict.capitalize()}: {compared.b.name} takes {change} time against {compared.a.name}."
