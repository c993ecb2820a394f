"""The counted figures of the whole catalog at its default clips: what the regression gate compares."""

from __future__ import annotations

from vbench.cell import Cell
from vbench.measure.subject import facts
from vbench.measure.worker import counts_of
from vbench_models.catalog import ARCHITECTURES, PATTERNS
from vbench_models.loading import IN_BACKBONE

GATED = ("params", "macs", "attention_macs", "predicted_peak_bytes")


def catalog_counts() -> dict[str, dict[str, int]]:
    """For each architecture, pattern and backbone: parameters, MACs, attention MACs and predicted bytes."""
    names = [*ARCHITECTURES, *PATTERNS, *(IN_BACKBONE + pattern for pattern in PATTERNS)]
    return {name: _figures(default_cell(name)) for name in names}


def default_cell(name: str) -> Cell:
    """The cell of a model's default clip or grid."""
    known = facts(name)
    frames, height, width = known.default
    return Cell(model=name, frames=frames, height=height, width=width, unit=known.unit)


def _figures(cell: Cell) -> dict[str, int]:
    counts = counts_of(cell)
    return {figure: getattr(counts, figure) for figure in GATED}
