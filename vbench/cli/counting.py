"""Counts and predictions of one cell; nothing is run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vbench.cli.options import AsJson
from vbench.cli.output import cell_asked, console, print_json

ByOption = Annotated[str | None, typer.Option("--by", help="Split MACs by component, operator or module.")]


def count(
    name: Annotated[str, typer.Argument(help="A catalog key.")],
    frames: Annotated[int | None, typer.Option(help="Frames of the clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    grids: Annotated[str | None, typer.Option(help="For a pattern: tokens T x H x W, as in 8x14x14.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16, fp16, bf16_pure or int8.")] = "fp32",
    kernel: Annotated[str, typer.Option(help="Attention kernel of the predicted peak.")] = "fused",
    mode: Annotated[str, typer.Option(help="infer; or train: forward, backward and AdamW.")] = "infer",
    by: ByOption = None,
    as_json: AsJson = False,
) -> None:
    """Count parameters, multiply-adds and the predicted memory peak, without running anything."""
    from vbench.measure.cost import cost_of
    from vbench.measure.support import check_supported

    cell = cell_asked(
        name, frames=frames, size=size, height=height, width=width, grids=grids, batch=batch, precision=precision,
        kernel=kernel, mode=mode,
    )  # fmt: skip
    check_supported(cell, counted_only=True)
    document = cost_of(cell, by).to_json()
    if as_json:
        print_json(document)
    else:
        _print_count(document, by)


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
