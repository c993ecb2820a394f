"""The counted figures of the whole catalog at its default clips: what the regression gate compares."""

from __future__ import annotations

from dataclasses import replace

from vbench.cell import Cell
from vbench.measure.subject import facts
from vbench.measure.worker import counts_of
from vbench_models.catalog import ARCHITECTURES, PATTERNS
from vbench_models.loading import IN_BACKBONE

THREADS = 2  # predicted memory depends on them a little: the same number on every machine
GATED = ("params", "macs", "attention_macs", "predicted_peak_bytes")


def gated_names() -> list[str]:
    """Every architecture, pattern and backbone."""
    return [*ARCHITECTURES, *PATTERNS, *(IN_BACKBONE + pattern for pattern in PATTERNS)]


def default_cell(name: str) -> Cell:
    """The cell of a model's default clip or grid."""
    known = facts(name)
    frames, height, width = known.default
    return Cell(model=name, frames=frames, height=height, width=width, unit=known.unit)


def figures_of(name: str) -> dict[str, int]:
    """Parameters, MACs, attention MACs and predicted bytes of one of them."""
    counts = counts_of(replace(default_cell(name), threads=THREADS))
    return {figure: getattr(counts, figure) for figure in GATED}
