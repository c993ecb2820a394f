"""One model through every FLOP counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vbench.cli.options import AsJson
from vbench.cli.output import cell_asked, console, print_json

if TYPE_CHECKING:
    from vbench.measure.audit import Audit


def audit(
    name: Annotated[str, typer.Argument(help="A catalog key, file.py:build or package.module:build.")],
    frames: Annotated[int | None, typer.Option(help="Frames of the clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    grids: Annotated[str | None, typer.Option(help="For a pattern: tokens T x H x W, as in 8x14x14.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count one model with every FLOP counter that is installed, and say which miss attention and by how much."""
    from vbench.measure.audit import audit as run

    found = run(cell_asked(name, frames=frames, size=size, grids=grids))
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: Audit) -> None:
    from rich.table import Table

    from vbench import units

    table = Table("counter", "version", "GMACs", "of ours", "finding", box=None)
    share = f"attention {units.percent(found.attention_macs / max(found.macs, 1))} of it"
    table.add_row("vbench", "", units.giga(found.macs), "1.000", share)
    for row in found.findings:
        macs = "-" if row.macs is None else units.giga(row.macs)
        ratio = "-" if row.difference is None else f"{1 + row.difference:.3f}"
        table.add_row(row.counter, row.version or "-", macs, ratio, row.finding)
    terminal = console()
    terminal.print(f"{found.cell}, multiply-adds of one forward (1 MAC = 2 FLOPs)", markup=False)
    terminal.print(table)
