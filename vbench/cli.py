"""The command line: reads what the user asks, wires counting, sweeping and reporting, and prints.

Imports are made inside the commands, so that `vbench --help` and `vbench list` answer at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from vbench.errors import AxisError, StoreError, VbenchError, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from vbench.cell import Cell
    from vbench.grid import Grid
    from vbench.results import Environment, Record

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What a video transformer costs, how that cost grows, and which one to take for a clip.",
)

CHANGED, USERS_MISTAKE, NO_ANSWER, INTERRUPTED = 1, 2, 3, 130
LOG_WIDTH = 160
CERTIFICATES = Path("reports/certificates")
PRESETS = ("quick", "cpu", "gpu", "full")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", help="Directory to write to.")]
Records = Annotated[Path | None, typer.Option("--records", help="Directory of a sweep; default: the latest.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 where a claim does not hold.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Split MACs by component, operator or module.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        code = app(arguments, standalone_mode=False)
    except VbenchError as error:
        _fail(str(error), USERS_MISTAKE)
    except KeyboardInterrupt:
        _fail("interrupted; the same command resumes", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if hasattr(error, "format_message"):  # a mistake that Typer found: unknown option, missing argument
            _fail(error.format_message(), USERS_MISTAKE)
        if type(error).__name__ == "Abort":
            _fail("interrupted; the same command resumes", INTERRUPTED)
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    print("vbench: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2))


@app.command("list")
def list_models(
    kind: Annotated[str | None, typer.Option(help="architecture, pattern or module.")] = None, as_json: AsJson = False
) -> None:
    """List the catalog: architectures, attention patterns, relevance modules."""
    from vbench_models.catalog import ARCHITECTURES, MODULES, PATTERNS

    shelves = {"architecture": ARCHITECTURES, "pattern": PATTERNS, "module": MODULES}
    if kind is not None and kind not in shelves:
        raise unknown_name("kind", kind, shelves)
    rows = [
        {"name": name, "kind": card.kind, "title": card.title, "family": card.family, "reference": card.reference}
        for shelf_kind, shelf in shelves.items()
        for name, card in shelf.items()
        if kind in (None, shelf_kind)
    ]
    if as_json:
        _print_json(rows)
        return
    from rich.table import Table

    table = Table("name", "kind", "title", box=None)
    for row in rows:
        table.add_row(row["name"], row["kind"], row["title"])
    _console().print(table)
    print("\nbackbone:PATTERN is the neutral ViT with that pattern, core:PATTERN its attention alone.")


@app.command()
def show(name: Annotated[str, typer.Argument(help="A catalog key.")], as_json: AsJson = False) -> None:
    """Show one system: reference, configuration, published figures with their source, supported clips."""
    from vbench.analysis.comparison import published_rows
    from vbench.measure.subject import card_of

    card = {key: value for key, value in asdict(card_of(name)).items() if value not in (None, "", ())}
    document = {"name": name, **card, "published": published_rows(name)}
    if as_json:
        _print_json(document)
        return
    console = _console()
    for key, value in document.items():
        if key == "published":
            continue
        text = "x".join(str(size) for size in value.values()) if key == "default_clip" else value
        console.print(f"[bold]{key}[/bold]: ", end="")
        console.print("; ".join(map(str, text)) if isinstance(text, tuple) else text, markup=False)
    for row in document["published"]:
        console.print("[bold]published[/bold]: ", end="")
        console.print(", ".join(f"{key} {value}" for key, value in row.items()), markup=False)


@app.command()
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
    mode: Annotated[str, typer.Option(help="infer.")] = "infer",
    by: ByOption = None,
    as_json: AsJson = False,
) -> None:
    """Count parameters, multiply-adds and the predicted memory peak, without running anything."""
    from vbench.measure.support import check_supported

    cell = _counted_cell(name, frames, size, height, width, grids, batch, precision, kernel, mode)
    check_supported(cell, counted_only=True)
    if by not in (None, "component", "operator", "module"):
        raise unknown_name("--by", str(by), ("component", "operator", "module"))
    document = _count_document(cell, by)
    if as_json:
        _print_json(document)
    else:
        _print_count(document, by)


def _counted_cell(
    name: str, frames: int | None, size: str | None, height: int | None, width: int | None, grids: str | None,
    batch: int, precision: str, kernel: str, mode: str,
) -> Cell:  # fmt: skip
    """The one cell that the flags of `count` name."""
    from vbench.cell import Cell
    from vbench.grid import parse_grid, parse_size
    from vbench.measure.subject import facts

    known = facts(name)
    extent = known.default
    if known.unit == "tokens":
        if frames or size or height or width:
            raise AxisError(f"{name} is an attention pattern: it takes --grids T x H x W, not --frames and --size")
        extent = parse_grid(grids) if grids else extent
    elif grids:
        raise AxisError(f"{name} is a network: it takes --frames and --size, not --grids")
    else:
        tall, wide = parse_size(size) if size is not None else extent[1:]
        extent = tuple(
            default if given is None else given
            for given, default in zip((frames, height, width), (extent[0], tall, wide), strict=True)
        )  # type: ignore[assignment]
    return Cell(
        model=name, frames=extent[0], height=extent[1], width=extent[2], unit=known.unit, batch=batch,
        precision=precision, kernel=kernel, mode=mode,
    )  # fmt: skip


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
    console = _console()
    console.print(table)
    if by is not None:
        split = Table(by, "MACs", "share", box=None)
        for part, macs in document["by"]["macs"].items():
            split.add_row(part, f"{macs:,}", units.percent(macs / max(document["macs"], 1)))
        console.print(split)


@app.command()
def sweep(
    file: Annotated[Path | None, typer.Argument(help="A TOML file of blocks of axes.", show_default=False)] = None,
    preset: Annotated[str | None, typer.Option(help="quick, cpu, gpu or full.")] = None,
    models: Annotated[str | None, typer.Option(help="Keys, comma-separated; vivit_* is a wildcard.")] = None,
    frames: Annotated[str | None, typer.Option(help="As in 8,16,32.")] = None,
    sizes: Annotated[str | None, typer.Option(help="As in 112,224 or 256x448.")] = None,
    grids: Annotated[str | None, typer.Option(help="For patterns: tokens, as in 8x14x14,16x14x14.")] = None,
    batch: Annotated[str | None, typer.Option(help="As in 1,8.")] = None,
    precisions: Annotated[str | None, typer.Option(help="fp32, tf32, bf16, fp16, bf16_pure.")] = None,
    modes: Annotated[str | None, typer.Option(help="infer.")] = None,
    backends: Annotated[str | None, typer.Option(help="eager.")] = None,
    kernels: Annotated[str | None, typer.Option(help="fused, math, flash, efficient, cudnn.")] = None,
    devices: Annotated[str | None, typer.Option(help="cpu, cuda.")] = None,
    threads: Annotated[str | None, typer.Option(help="As in 1,2; default: every core.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes a cell, at most.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    budget: Annotated[str | None, typer.Option(help="Stop in time, as in 10m; says what was left out.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Of one process, as in 5m.")] = None,
    video: Annotated[str | None, typer.Option(help="Feed this video instead of noise.")] = None,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and stop.")] = False,
) -> None:
    """Measure and count a grid of cells into a directory, and report. The same command resumes."""
    flags = {
        "models": models, "frames": frames, "sizes": sizes, "grids": grids, "batch": batch, "precisions": precisions,
        "modes": modes, "backends": backends, "kernels": kernels, "devices": devices, "threads": threads,
    }  # fmt: skip
    axes: dict[str, Any] = {axis: _words(axis, text) for axis, text in flags.items() if text is not None}
    if video is not None:
        axes["video"] = video
    limits = {"budget": budget, "timeout": timeout, "processes": processes}
    limits = {key: value for key, value in limits.items() if value is not None}
    grid = _grid(file, preset, axes, limits, listed_only=dry_run)
    directory = out or Path("reports") / grid.title
    if dry_run:
        _print_plans(grid)
        return
    _sweep(grid, directory, retry_failed=retry_failed)


def _words(axis: str, text: str) -> list[Any]:
    """The values of a comma-separated flag; numbers where the axis has numbers."""
    words = [word.strip() for word in text.split(",")]
    if axis not in ("frames", "batch", "threads"):
        return words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise AxisError(f"--{axis} takes whole numbers, as in 8,16; got {text!r}") from None


def _grid(
    file: Path | None, preset: str | None, axes: dict[str, Any], limits: dict[str, Any], *, listed_only: bool
) -> Grid:
    """The grid of a file, a preset or flags; limits given as flags win over the file's."""
    from dataclasses import replace

    from vbench.grid import grid_from_document, read_grid
    from vbench.measure.subject import known_facts
    from vbench.measure.support import check_supported

    if (file is not None) + (preset is not None) + ("models" in axes) != 1:
        raise AxisError("a sweep takes one of FILE.toml, --preset or --models")
    if (file or preset) and axes:
        raise AxisError(f"--{next(iter(axes))} goes with --models; a file or preset names its own axes")
    if preset is not None and preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if axes:
        grid = grid_from_document({"title": "sweep", "block": [axes], **limits}, source="the command line")
    else:
        grid = read_grid(file or Path(__file__).parent / "presets" / f"{preset}.toml")
        override = grid_from_document({"block": [{"models": ["c3d"]}], **limits}, source="the command line")
        given = {"budget_s": "budget", "timeout_s": "timeout", "processes": "processes"}
        grid = replace(grid, **{name: getattr(override, name) for name, flag in given.items() if flag in limits})
    for plan in grid.plans(known_facts(grid.models())):
        check_supported(plan.cell, counted_only=plan.count_only, elsewhere=listed_only)
    return grid


def _print_plans(grid: Grid) -> None:
    from vbench.measure.subject import known_facts

    for plan in grid.plans(known_facts(grid.models())):
        what = f"skip: {plan.excluded}" if plan.excluded else "count" if plan.count_only else "measure"
        print(f"{plan.cell.id}  {what}")


def _sweep(grid: Grid, directory: Path, *, retry_failed: bool) -> None:
    """Run the sweep, write its report, and print the comparison table and where the report is."""
    from vbench import units
    from vbench.console import listener
    from vbench.sweep import Sweep

    with listener() as told:
        outcome = Sweep(grid, directory, told, retry_failed=retry_failed).run()
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(outcome.statuses.items())) or "nothing new"
    share = units.percent(outcome.inside_s / outcome.elapsed_s) if outcome.statuses else "-"
    print(f"{statuses} in {units.duration(outcome.elapsed_s)}; {share} of it inside cells", file=sys.stderr)
    written = _report(directory)
    _print_comparison(directory)
    print(f"report: {directory / 'index.html'} (and {len(written) - 1} files beside it)")


def _print_comparison(directory: Path) -> None:
    from vbench.report.tables import console_table

    console = _console()
    console.print(console_table(_frame(directory), console.width))


def _report(directory: Path) -> list[Path]:
    from vbench.report.document import write_report

    return write_report(directory)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="The directory of a sweep.")]) -> None:
    """Write CSV, tables, figures and the page of a sweep again; needs no torch."""
    for path in _report(directory):
        print(path)


@app.command()
def tables(records: Records = None, out: Out = None) -> None:
    """Write the comparison tables: claimed, published and measured side by side.

    What the records do not hold is counted now, and says that it was not measured.
    """
    from vbench.analysis.comparison import claims_frame, published_frame
    from vbench.proof import complete_certificates, complete_frame
    from vbench.report.certificates import mechanisms_table, read_certificates
    from vbench.report.tables import report_tables, write_tables

    directory = _records_directory(records)
    frame = complete_frame(*_records(directory))
    written = report_tables(frame, published_frame(), claims_frame())
    written.append(mechanisms_table(complete_certificates(read_certificates(directory)), frame))
    for path in write_tables(written, (out or directory) / "tables"):
        print(path)


@app.command()
def guide(
    records: Records = None,
    seconds: Annotated[float | None, typer.Option(help="Length of the clip in seconds.")] = None,
    fps: Annotated[float, typer.Option(help="Frames a second of the source.")] = 30.0,
    frames: Annotated[int | None, typer.Option(help="Length of the clip in source frames.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width in pixels.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    max_latency: Annotated[str | None, typer.Option(help="Of the whole clip, as in 0.5s.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="As in 8GiB.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="Published Kinetics-400 top-1 in percent.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Rank one view over the whole clip.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend an architecture for a clip of a given length, from records and published accuracy."""
    from vbench import units
    from vbench.analysis.comparison import published_frame
    from vbench.analysis.guide import guide as recommend

    answer = recommend(
        _frame(_records_directory(records)),
        published_frame(),
        seconds=seconds, fps=fps, frames=frames, size=size, device=device,
        max_latency_s=units.parse_duration_s(max_latency) if max_latency else None,
        max_memory_bytes=units.parse_bytes(max_memory) if max_memory else None,
        min_top1=min_top1, single=single,
    )  # fmt: skip
    if as_json:
        _print_json(answer.to_json())
    else:
        from vbench.report.tables import guide_table

        _console().print(guide_table(answer))
    if not answer.ranking:
        sys.exit(NO_ANSWER)


@app.command()
def certify(
    names: Annotated[list[str], typer.Argument(help="Patterns or architectures; `all` for every pattern.")],
    claim: Annotated[str | None, typer.Option(help="A formula in T, H, W to judge, as in T*H*W.")] = None,
    latency: Annotated[bool, typer.Option("--latency", help="Time the bare attention against the formula.")] = False,
    out: Out = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Derive the exact cost formula from counts, and hold the claimed one against it."""
    from vbench.proof import certify_each, check_timeable, with_latency
    from vbench.report.certificates import certificate_text, write_certificates
    from vbench_models.catalog import PATTERNS

    keys = list(PATTERNS) if names == ["all"] else names
    for key in keys if latency else ():
        check_timeable(key)
    certificates = []
    for certificate in certify_each(keys, claim):
        certificates.append(with_latency(certificate, (out or CERTIFICATES) / "records") if latency else certificate)
        print(f"certified {certificate.name}: {certificate.verdict}", file=sys.stderr)
    if out is not None:
        write_certificates(certificates, out)
    if as_json:
        _print_json([certificate.to_json() for certificate in certificates])
    else:
        print("\n".join(certificate_text(certificate) for certificate in certificates))
    if strict and any(certificate.verdict not in ("exact", "same order", "no claim") for certificate in certificates):
        sys.exit(CHANGED)


@app.command()
def claims(out: Out = None, strict: Strict = False, as_json: AsJson = False) -> None:
    """Judge the literature's claims, each with what was derived or counted and the evidence."""
    from vbench.analysis.claims import read_claims
    from vbench.proof import judge_by_counts
    from vbench.report.certificates import claims_markdown, claims_table

    judged = judge_by_counts(read_claims())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "claims.md").write_text(claims_markdown(judged), encoding="utf-8")
    if as_json:
        _print_json([entry.to_json() for entry in judged])
    else:
        _console().print(claims_table(judged))
    if strict and any(entry.verdict in ("under-states", "contradicted") for entry in judged):
        sys.exit(CHANGED)


@app.command()
def check(
    baseline: Annotated[Path, typer.Option(help="The committed figures.")] = Path("reports/baseline.json"),
    update: Annotated[bool, typer.Option("--update", help="Write the figures of now as the baseline.")] = False,
    as_json: AsJson = False,
) -> None:
    """Gate the counted figures of the catalog exactly against a committed baseline; 1 if any changed."""
    from importlib import metadata

    from vbench.analysis.baseline import baseline_of, compare, read_baseline, updated, write_baseline
    from vbench.measure.catalog_counts import catalog_counts

    torch_version = metadata.version("torch")
    earlier = {} if update and not baseline.exists() else read_baseline(baseline)
    current = baseline_of(catalog_counts(), torch_version)
    if not current:
        _fail("nothing was counted", NO_ANSWER)
    changes = compare(earlier, current, torch_version)
    broken = [change for change in changes if change.breaks]
    if update:
        write_baseline(baseline, updated(earlier, current))
    if as_json:
        _print_json({"verdict": "changed" if broken else "same", "changed": [asdict(change) for change in changes]})
    else:
        for change in changes:
            print(change)
        print(f"{len(current)} models counted, {len(broken)} figures changed" + (f"; wrote {baseline}" * update))
    if broken and not update:
        sys.exit(CHANGED)


@app.command()
def env(as_json: AsJson = False) -> None:
    """Describe this machine as records do."""
    from vbench.measure.environment import environment

    document = asdict(environment())
    if as_json:
        _print_json(document)
        return
    for key, value in document.items():
        print(f"{key}: {value}")


def _frame(directory: Path) -> pd.DataFrame:
    """The records of a sweep as a table, one row a cell."""
    from vbench.analysis.frame import records_frame

    return records_frame(*_records(directory))


def _records(directory: Path) -> tuple[list[Record], dict[str, Environment]]:
    """The records of a sweep, and the environments that they name."""
    from vbench.store import Store

    store = Store(directory)
    records = store.records()
    if not records:
        raise StoreError(f"no records in {directory}; make some with: vbench sweep --out {directory}")
    return records, store.environments()


def _console() -> Console:
    """A console as wide as the terminal; a log has no width of its own."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=LOG_WIDTH, highlight=False)


def _records_directory(records: Path | None) -> Path:
    """The directory asked for, else the latest sweep below reports/, else the reference that the project carries."""
    from vbench.store import latest_records

    carried = Path(__file__).parent / "data" / "reference"  # in a wheel; a checkout has it in its own reports
    checkout = Path(__file__).parents[1] / "reports" / "reference"
    return records or latest_records(Path("reports"), carried if carried.exists() else checkout)


if __name__ == "__main__":
    main()
