"""What there is: the catalog's systems, and this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from vbench.cli.options import AsJson
from vbench.cli.output import console, print_json
from vbench.errors import unknown_name


def list_models(
    kind: Annotated[str | None, typer.Option(help="architecture, pattern or module.")] = None, as_json: AsJson = False
) -> None:
    """List the catalog: architectures, attention patterns, relevance modules; and what installed packages announce."""
    from vbench.measure.user_models import announced, user_card
    from vbench_models.catalog import ARCHITECTURES, MODULES, PATTERNS

    kinds = ("architecture", "pattern", "module")
    if kind is not None and kind not in kinds:
        raise unknown_name("kind", kind, kinds)
    cards = ARCHITECTURES | PATTERNS | MODULES | {name: user_card(name) for name in announced()}
    rows = [
        {"name": name, "kind": card.kind, "title": card.title, "family": card.family, "reference": card.reference}
        for name, card in cards.items()
        if kind in (None, card.kind)
    ]
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("name", "kind", "title", box=None)
    for row in rows:
        table.add_row(row["name"], row["kind"], row["title"])
    console().print(table)
    print("\nbackbone:PATTERN is the neutral ViT with that pattern, core:PATTERN its attention alone;")
    print("backbone_post_norm:PATTERN and backbone_adaptive_norm:PATTERN differ from it in their norms.")


def show(name: Annotated[str, typer.Argument(help="A catalog key.")], as_json: AsJson = False) -> None:
    """Show one system: reference, configuration, published figures with their source, supported clips."""
    from vbench.analysis.comparison import published_rows
    from vbench.measure.subject import card_of

    card = {key: value for key, value in asdict(card_of(name)).items() if value not in (None, "", ())}
    document = {"name": name, **card, "published": published_rows(name)}
    if as_json:
        print_json(document)
        return
    terminal = console()
    for key, value in document.items():
        if key == "published":
            continue
        text = "x".join(str(size) for size in value.values()) if key == "default_clip" else value
        terminal.print(f"[bold]{key}[/bold]: ", end="")
        terminal.print("; ".join(map(str, text)) if isinstance(text, tuple) else text, markup=False)
    for row in document["published"]:
        terminal.print("[bold]published[/bold]: ", end="")
        terminal.print(", ".join(f"{key} {value}" for key, value in row.items()), markup=False)


def env(
    ceilings: Annotated[bool, typer.Option("--ceilings", help="Measure matrix products and a copy, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe this machine as records do."""
    from vbench.measure.environment import environment

    document = asdict(environment())
    if ceilings:
        document |= _ceilings()
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        print(f"{key}: {_worded(key, value)}")


def _worded(key: str, value: Any) -> object:
    """A ceiling with its unit, or a dash; everything else as it is."""
    from vbench import units

    if key == "copy_bytes_per_second":
        return units.bandwidth(value) if value else "-"
    if key == "matmul_flops_per_second":
        return ", ".join(f"{precision} {units.rate(best)}" for precision, best in value.items()) or "-"
    return value


def _ceilings() -> dict[str, object]:
    """The best products and copy of this machine's cores, measured now in a fresh process."""
    from vbench.measure.runner import Runner, Settings

    found = Runner(Settings(), "").ceilings("cpu", 0)
    return {} if found is None else asdict(found)
