"""Certificates held against time: the bare attention measured where each monomial dominates in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vbench.analysis.certificate import Certificate
from vbench.analysis.latency_law import LatencyLaw, Point, latency_grids, latency_law
from vbench.analysis.polynomial import Extent
from vbench.analysis.verdict import parse_claim
from vbench.cell import Cell
from vbench.console import listener
from vbench.errors import AxisError
from vbench.grid import Block, Grid
from vbench.measure.subject import card_of
from vbench.measure.user_models import is_users
from vbench.results import Measured
from vbench.stats import median
from vbench.store import Store
from vbench.sweep import Listener, Sweep
from vbench_models.loading import CORE

ROUNDS = 3  # of one process a grid


def with_latency(proved: Certificate, directory: Path) -> Certificate:
    """The certificate with what time says of it; one without a polynomial has nothing to hold time against."""
    if proved.lattice is None or proved.attention_macs is None:
        return proved
    with listener() as told:
        return replace(proved, latency=time_core(proved, directory, told))


def check_timeable(name: str) -> None:
    """Refuse what `with_latency` cannot time.

    Raises:
        AxisError: the name is no pattern. No whole published model decides a formula: the attention core is a few
            percent of its multiply-adds.
    """
    if card_of(name).kind != "pattern":
        raise AxisError(f"{name} cannot be timed against a formula: --latency wants a pattern")


def time_core(proved: Certificate, directory: Path, told: Listener) -> LatencyLaw:
    """Measure the pattern's bare attention where each monomial dominates in turn, and hold time against the formula.

    Records go to `directory`; run it again and it resumes. A user's pattern is measured whole, against its whole cost.

    Raises:
        AxisError: the name is no pattern, or its cost is no polynomial.
    """
    name = proved.name if is_users(proved.name) else f"{CORE}{proved.name}"
    formula = proved.macs if is_users(proved.name) else proved.attention_macs
    check_timeable(proved.name)
    if not formula or proved.lattice is None or proved.domain is None:
        raise AxisError(f"{proved.name} cannot be timed against a formula: its cost is no polynomial")
    law = parse_claim(formula)
    grids = latency_grids(law, proved.lattice, proved.domain)
    Sweep(grid_of(name, grids), directory, told, interleaved=True).run()
    return latency_law(_points(directory, name, grids), law)


def _points(directory: Path, name: str, grids: Sequence[Extent]) -> list[Point]:
    """The last record of each grid: an earlier one may be another environment's."""
    last = {
        _extent(record.cell): record
        for record in Store(directory).records()
        if isinstance(record, Measured) and record.cell.model == name and _extent(record.cell) in grids
    }
    return [
        Point(
            grid=_extent(record.cell),
            latency_s=tuple(median(run.latency_s) for run in record.processes),
            moved_bytes=record.counts.op_bytes,
            peak_memory_bytes=max(run.peak_memory_bytes for run in record.processes),
        )
        for record in last.values()
    ]


def grid_of(name: str, grids: Sequence[Extent]) -> Grid:
    """The sweep of one pattern over grids of tokens; what counts is how a round's times stand to each other."""
    return Grid(title="certify", blocks=(Block(models=(name,), grids=tuple(grids)),), processes=ROUNDS, attempts=1)


def _extent(cell: Cell) -> Extent:
    return cell.frames, cell.height, cell.width
