"""Grids of cells measured and counted into a directory, and its report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vbench.cli.options import Out
from vbench.cli.output import console, frame_of
from vbench.errors import AxisError, unknown_name

if TYPE_CHECKING:
    from vbench.fleet.dispatch import Fleet
    from vbench.grid import Grid

PRESETS = ("quick", "cpu", "gpu", "full", "claims")


def sweep(
    file: Annotated[Path | None, typer.Argument(help="A TOML file of blocks of axes.", show_default=False)] = None,
    preset: Annotated[str | None, typer.Option(help="quick, cpu, gpu, full or claims.")] = None,
    models: Annotated[str | None, typer.Option(help="Keys, comma-separated; vivit_* is a wildcard.")] = None,
    frames: Annotated[str | None, typer.Option(help="As in 8,16,32.")] = None,
    sizes: Annotated[str | None, typer.Option(help="As in 112,224 or 256x448.")] = None,
    grids: Annotated[str | None, typer.Option(help="For patterns: tokens, as in 8x14x14,16x14x14.")] = None,
    batch: Annotated[str | None, typer.Option(help="As in 1,8.")] = None,
    precisions: Annotated[str | None, typer.Option(help="fp32, tf32, bf16, fp16, bf16_pure, int8.")] = None,
    modes: Annotated[str | None, typer.Option(help="infer; train: whole steps, forward apart.")] = None,
    backends: Annotated[str | None, typer.Option(help="eager, compile, export, onnx, torchscript.")] = None,
    kernels: Annotated[str | None, typer.Option(help="fused, math, flash, efficient, cudnn.")] = None,
    devices: Annotated[str | None, typer.Option(help="cpu, cuda.")] = None,
    threads: Annotated[str | None, typer.Option(help="As in 1,2; default: every core.")] = None,
    ranks: Annotated[str | None, typer.Option(help="In training, data-parallel processes, as in 1,2.")] = None,
    hardware: Annotated[str | None, typer.Option(help="Of a fleet: its workers' labels, as in h200,a100.")] = None,
    checkpointing: Annotated[str | None, typer.Option(help="In training, of activations: off,on.")] = None,
    accumulate: Annotated[str | None, typer.Option(help="In training, batches a step, as in 1,4.")] = None,
    mixing: Annotated[str | None, typer.Option(help="In training, of clips: off, mixup, cutmix.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes a cell, at most.")] = None,
    attempts: Annotated[int | None, typer.Option(help="Times that a noisy cell is measured, at most.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    budget: Annotated[str | None, typer.Option(help="Stop in time, as in 10m; says what was left out.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Of one process, as in 5m.")] = None,
    video: Annotated[str | None, typer.Option(help="Feed this video instead of noise.")] = None,
    cluster: Annotated[str | None, typer.Option(help="A fleet: its scheduler's address, or a TOML file.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="A fleet on other machines without TLS.")] = False,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and stop.")] = False,
) -> None:
    """Measure and count a grid of cells into a directory, and report. The same command resumes."""
    flags = {
        "models": models, "frames": frames, "sizes": sizes, "grids": grids, "batch": batch, "precisions": precisions,
        "modes": modes, "backends": backends, "kernels": kernels, "devices": devices, "threads": threads,
        "ranks": ranks, "hardware": hardware, "checkpointing": checkpointing, "accumulate": accumulate,
        "mixing": mixing,
    }  # fmt: skip
    axes: dict[str, Any] = {axis: _words(axis, text) for axis, text in flags.items() if text is not None}
    if video is not None:
        axes["video"] = video
    limits = {"budget": budget, "timeout": timeout, "processes": processes, "attempts": attempts}
    limits = {key: value for key, value in limits.items() if value is not None}
    grid = _grid(file, preset, axes, limits, listed_only=dry_run, has_fleet=cluster is not None)
    directory = out or Path("reports") / grid.title
    if dry_run:
        _print_plans(grid)
        return
    _sweep(grid, directory, cluster, retry_failed=retry_failed, insecure=insecure)


def _words(axis: str, text: str) -> list[Any]:
    """The values of a comma-separated flag; numbers where the axis has numbers."""
    words = [word.strip() for word in text.split(",")]
    if axis not in ("frames", "batch", "threads", "ranks", "accumulate"):
        return words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise AxisError(f"--{axis} takes whole numbers, as in 8,16; got {text!r}") from None


def _grid(
    file: Path | None, preset: str | None, axes: dict[str, Any], limits: dict[str, Any], *,
    listed_only: bool, has_fleet: bool,
) -> Grid:  # fmt: skip
    """The grid of a file, a preset or flags; limits given as flags win over the file's."""
    from dataclasses import replace

    from vbench.grid import grid_from_document, read_grid
    from vbench.measure.subject import known_facts
    from vbench.measure.support import check_plans

    if (file is not None) + (preset is not None) + ("models" in axes) != 1:
        raise AxisError("a sweep takes one of FILE.toml, --preset or --models")
    if (file or preset) and axes:
        raise AxisError(f"--{next(iter(axes))} goes with --models; a file or preset names its own axes")
    if preset is not None and preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if axes:
        grid = grid_from_document({"title": "sweep", "block": [axes], **limits}, source="the command line")
    else:
        grid = read_grid(file or Path(__file__).parents[1] / "presets" / f"{preset}.toml")
        override = grid_from_document({"block": [{"models": ["c3d"]}], **limits}, source="the command line")
        given = {"budget_s": "budget", "timeout_s": "timeout", "processes": "processes", "attempts": "attempts"}
        grid = replace(grid, **{name: getattr(override, name) for name, flag in given.items() if flag in limits})
    plans = grid.plans(known_facts(grid.models()))
    check_plans(plans, each_value=bool(axes), elsewhere=listed_only or has_fleet)
    if any(plan.cell.hardware for plan in plans) and not (listed_only or has_fleet):
        raise AxisError("hardware names the workers of a fleet: it goes with --cluster")
    return grid


def _print_plans(grid: Grid) -> None:
    from vbench.measure.subject import known_facts
    from vbench.measure.support import impossible

    for plan in grid.plans(known_facts(grid.models())):
        refusal = plan.excluded or impossible(plan.cell, counted_only=plan.count_only)
        what = f"skip: {refusal}" if refusal else "count" if plan.count_only else "measure"
        print(f"{plan.cell.id}  {what}")


def _sweep(grid: Grid, directory: Path, cluster: str | None, *, retry_failed: bool, insecure: bool) -> None:
    """Run the sweep, write its report, and print the comparison table and where the report is."""
    from vbench import units
    from vbench.console import listener
    from vbench.sweep import Sweep

    with listener() as told, _fleet(cluster, told.say, insecure=insecure) as fleet:
        outcome = Sweep(grid, directory, told, retry_failed=retry_failed, bench=fleet).run()
        machines = fleet.slots if fleet else 1
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(outcome.statuses.items())) or "nothing new"
    share = units.percent(outcome.inside_s / (outcome.elapsed_s * machines)) if outcome.statuses else "-"
    print(f"{statuses} in {units.duration(outcome.elapsed_s)}; {share} of it inside cells", file=sys.stderr)
    if outcome.measured_again or outcome.still_noisy:
        print(
            f"noisy cells: {outcome.measured_again} measured again, {outcome.still_noisy} stay noisy", file=sys.stderr
        )
    written = _report(directory)
    _print_comparison(directory)
    print(f"report: {directory / 'index.html'} (and {len(written) - 1} files beside it)")


@contextmanager
def _fleet(cluster: str | None, say: Callable[[str], None], *, insecure: bool) -> Iterator[Fleet | None]:
    """The fleet that --cluster names, connected to; None where it names none."""
    if cluster is None:
        yield None
        return
    from vbench.fleet.address import read_cluster
    from vbench.fleet.dispatch import Fleet
    from vbench.fleet.started import reached

    asked = read_cluster(cluster)
    with (
        reached(asked, insecure=insecure) as (url, security),
        Fleet(url, security, say, wait_s=asked.wait_s, wait_for=asked.workers) as fleet,
    ):
        yield fleet


def _print_comparison(directory: Path) -> None:
    from vbench.report.tables import console_table

    terminal = console()
    terminal.print(console_table(frame_of(directory), terminal.width))


def _report(directory: Path) -> list[Path]:
    from vbench.report.document import write_report

    return write_report(directory)


def report(directory: Annotated[Path, typer.Argument(help="The directory of a sweep.")]) -> None:
    """Write CSV, tables, figures and the page of a sweep again; needs no torch."""
    for path in _report(directory):
        print(path)
