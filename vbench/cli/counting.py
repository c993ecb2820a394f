"""Counts and predictions of one cell; nothing is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vbench.cli.options import AsJson
from vbench.cli.output import cell_asked, console, print_json
from vbench.errors import unknown_name

if TYPE_CHECKING:
    from vbench.cell import Cell

ByOption = Annotated[str | None, typer.Option("--by", help="Split MACs by component, operator or module.")]


def count(
    name: Annotated[str, typer.Argument(help="A catalog key.")],
    frames: Annotated[int | None, typer.Option(help="Frames of the clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    grids: Annotated[str | None, typer.Option(help="For a pattern: tokens T x H x W, as in 8x14x14.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16, fp16 or bf16_pure.")] = "fp32",
    kernel: Annotated[str, typer.Option(help="Attention kernel of the predicted peak.")] = "fused",
    mode: Annotated[str, typer.Option(help="infer; or train: forward, backward and AdamW.")] = "infer",
    by: ByOption = None,
    as_json: AsJson = False,
) -> None:
    """Count parameters, multiply-adds and the predicted memory peak, without running anything."""
    from vbench.measure.support import check_supported

    cell = cell_asked(
        name, frames=frames, size=size, height=height, width=width, grids=grids, batch=batch, precision=precision,
        kernel=kernel, mode=mode,
    )  # fmt: skip
    check_supported(replace(cell, mode="infer"), counted_only=True)  # training is counted, too
    if by not in (None, "component", "operator", "module"):
        raise unknown_name("--by", str(by), ("component", "operator", "module"))
    document = _count_document(cell, by)
    if as_json:
        print_json(document)
    else:
        _print_count(document, by)


def _count_document(cell: Cell, by: str | None) -> dict[str, Any]:
    """The JSON document of `count`: figures with their units in the names."""
    from vbench.measure.count import tally_cell
    from vbench.measure.footprint import footprint_of_cell
    from vbench.measure.subject import token_extent

    tally, tokens = tally_cell(cell), token_extent(cell)
    clip = {"batch": cell.batch, "frames": cell.frames, "height": cell.height, "width": cell.width}
    document: dict[str, Any] = {
        "name": cell.model,
        "clip": clip if cell.unit == "pixels" else None,
        "tokens": None if tokens is None else dict(zip("thw", tokens, strict=True)),
        "params": tally.params,
        "macs": tally.macs,
        "flops": 2 * tally.macs,
        "attention_macs": tally.attention_macs,
        "mixing_extra_macs": tally.mixing_extra_macs,
        "predicted_peak_bytes": footprint_of_cell(cell).peak_bytes,
        "kernel": cell.kernel,
        "precision": cell.precision,
        "mode": cell.mode,
    }
    if by is not None:
        document["by"] = {"key": by, "macs": tally.by(by)}  # type: ignore[arg-type]
    return document


def _print_count(document: dict[str, Any], by: str | None) -> None:
    from rich.table import Table

    from vbench import units

    extent = document["clip"] or {"batch": 1, **document["tokens"]}
    table = Table(box=None, show_header=False, title_justify="left")
    table.add_row("name", document["name"])
    table.add_row(
        "clip" if document["clip"] else "tokens", ", ".join(f"{axis} {size}" for axis, size in extent.items())
    )
    table.add_row("parameters", f"{document['params']:,}")
    table.add_row("MACs", f"{document['macs']:,} ({units.giga(document['macs'])} G; papers print this as GFLOPs)")
    table.add_row("FLOPs", f"{document['flops']:,} (1 multiply-add = 1 MAC = 2 FLOPs)")
    share = document["attention_macs"] / max(document["macs"], 1)
    table.add_row("attention MACs", f"{document['attention_macs']:,} ({units.percent(share)}; q k^T and weighted v)")
    table.add_row("mixing extra MACs", f"{document['mixing_extra_macs']:,}")
    peak = units.size(document["predicted_peak_bytes"])
    table.add_row(
        "predicted peak", f"{peak} of tensors alive at once ({document['precision']}, {document['kernel']} attention)"
    )
    terminal = console()
    terminal.print(table)
    if by is not None:
        split = Table(by, "MACs", "share", box=None)
        for part, macs in document["by"]["macs"].items():
            split.add_row(part, f"{macs:,}", units.percent(macs / max(document["macs"], 1)))
        terminal.print(split)
