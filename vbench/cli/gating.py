"""The regression gate: counted figures exactly, derived degrees, and timed cells against a git revision."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vbench.cli.options import CHANGED, NO_ANSWER, AsJson
from vbench.cli.output import fail, print_json
from vbench.errors import AxisError, StoreError

if TYPE_CHECKING:
    from vbench.analysis.baseline import Change
    from vbench.cell import Cell
    from vbench.gate import TimedCell

CELLS = Path(__file__).parents[1] / "presets" / "gate.toml"


def check(
    baseline: Annotated[Path, typer.Option(help="The committed figures.")] = Path("reports/baseline.json"),
    update: Annotated[bool, typer.Option("--update", help="Write the figures of now as the baseline.")] = False,
    degrees: Annotated[bool, typer.Option("--degrees", help="Derive formulas, too, and gate their degrees.")] = False,
    against: Annotated[str, typer.Option(help="Time cells against this git revision, too.", metavar="GITREF")] = "",
    cells: Annotated[Path, typer.Option(help="The cells that --against times, as a sweep's TOML.")] = CELLS,
    margin: Annotated[str, typer.Option(help="Slow-downs smaller than this pass.")] = "5%",
    budget: Annotated[str, typer.Option(help="Time for each comparison of --against.")] = "60s",
    as_json: AsJson = False,
) -> None:
    """Gate the catalog's counted figures against a baseline, exactly; with --against, also the time of some cells.

    Exit code 1 if a figure changed or a cell became slower, 3 if nothing was counted or a cell has no answer.
    """
    from vbench.analysis.baseline import updated, write_baseline

    plan = _cells(cells) if against else []
    earlier, current, changes = _counted(baseline, update=update, degrees=degrees)
    if update:
        write_baseline(baseline, updated(earlier, current))
    timed = _timed(plan, against, margin, budget) if plan else []
    broken = [change for change in changes if change.breaks and not update]
    verdict = _verdict(broken, timed)
    if as_json:
        document = {"verdict": verdict, "changed": [asdict(change) for change in changes]}
        print_json(document | ({"timed": [cell.to_json() for cell in timed]} if against else {}))
    else:
        _print(changes, timed, f"{len(current)} models counted, {len(broken)} figures changed")
        print(f"wrote {baseline}" if update else f"verdict: {verdict}")
    if verdict != "same":
        sys.exit(NO_ANSWER if verdict == "inconclusive" else CHANGED)


def _counted(path: Path, *, update: bool, degrees: bool) -> tuple[Any, Any, list[Change]]:
    """The baseline, the figures of now, and what changed."""
    from importlib import metadata

    from vbench.analysis.baseline import baseline_of, compare, read_baseline
    from vbench.gate import catalog_counts, catalog_degrees

    torch_version = metadata.version("torch")
    earlier = {} if update and not path.exists() else read_baseline(path)
    current = baseline_of(catalog_counts(), torch_version, catalog_degrees() if degrees else None)
    if not current:
        fail("nothing was counted", NO_ANSWER)
    return earlier, current, compare(earlier, current, torch_version)


def _cells(path: Path) -> list[Cell]:
    """The cells to time.

    Raises:
        AxisError: the file names none, or one that cannot run here.
    """
    from vbench.grid import read_grid
    from vbench.measure.subject import known_facts
    from vbench.measure.support import check_supported

    if not path.exists():
        raise StoreError(f"cannot read {path}: no such file")
    grid = read_grid(path)
    plans = [plan for plan in grid.plans(known_facts(grid.models())) if not (plan.excluded or plan.count_only)]
    for plan in plans:
        check_supported(plan.cell)
    if not plans:
        raise AxisError(f"{path} names no cell that could be timed")
    return [replace(plan.cell, threads=plan.cell.threads or 1) for plan in plans]  # as `vbench compare` does


def _timed(cells: Sequence[Cell], against: str, margin: str, budget: str) -> list[TimedCell]:
    from vbench.cli.comparing import parse_fraction
    from vbench.comparing import Comparison, compare_cells
    from vbench.gate import time_against
    from vbench.units import parse_duration_s

    allowed, budget_s = parse_fraction(margin), parse_duration_s(budget)

    def compare(cell: Cell, alpha: float) -> Comparison:
        _progress(f"comparing {cell.id}")
        return compare_cells(cell, against=against, margin=allowed, budget_s=budget_s, alpha=alpha)

    return time_against(cells, compare, margin=allowed, told=_progress)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _verdict(broken: Sequence[Change], timed: Sequence[TimedCell]) -> str:
    """`changed` where anything broke, `inconclusive` where a timed cell gave no answer, else `same`."""
    outcomes = {cell.outcome for cell in timed}
    if broken or "slower" in outcomes:
        return "changed"
    return "inconclusive" if outcomes & {"inconclusive", "not measured"} else "same"


def _print(changes: Sequence[Change], timed: Sequence[TimedCell], summary: str) -> None:
    from vbench.units import ratio_interval

    for change in changes:
        print(change)
    for cell in timed:
        if cell.ratio is None or cell.low is None or cell.high is None:
            print(f"{cell.cell}: {cell.outcome}: {cell.reason}")
        else:
            pairs = f"{cell.pairs} pairs" + (", compared again" if cell.compared > 1 else "")
            print(
                f"{cell.cell}: {cell.outcome}, now / then {ratio_interval(cell.ratio, cell.low, cell.high)} ({pairs})"
            )
    print(summary)
