"""What the catalog costs now: figures at default clips, and degrees of derived formulas, a process for each core."""

from __future__ import annotations

from collections.abc import Sequence

from vbench.analysis.baseline import Degrees
from vbench.errors import AxisError
from vbench.measure.catalog_counts import figures_of, gated_names
from vbench.proof import degrees
from vbench.proof.crew import crew
from vbench_models.catalog import ARCHITECTURES, PATTERNS

FEW = 4  # names handed to a process at a time: they differ a hundredfold in the time that they take


def catalog_counts() -> dict[str, dict[str, int]]:
    """For each architecture, pattern and backbone: parameters, MACs, attention MACs and predicted bytes."""
    names = gated_names()
    with crew() as pool:
        return dict(zip(names, pool.map(figures_of, names, chunksize=FEW), strict=True))


def catalog_degrees() -> dict[str, Degrees]:
    """The degrees along T, H and W of every pattern's formula, and of one architecture's a family."""
    names = [*PATTERNS, *one_a_family()]
    with crew() as pool:
        return dict(zip(names, pool.map(degrees_of, names), strict=True))


def degrees_of(name: str) -> Degrees:
    """The degrees of one formula; none where there is no polynomial, or but one clip."""
    try:
        return degrees(name)
    except AxisError:
        return {"macs": None, "attention_macs": None}


def one_a_family() -> Sequence[str]:
    """The first architecture of each family, in the catalog's order."""
    first: dict[str, str] = {}
    for name, card in ARCHITECTURES.items():
        first.setdefault(card.family, name)
    return list(first.values())
