"""Timed cells against a git revision: screened by short comparisons, the flagged ones compared again.

Screening lets false alarms through: each cell may spend `SCREEN`. The flagged cells are measured afresh, and share
`FAMILY` between them (Bonferroni): as the second pairs know nothing of the first, the chance that a run in which
nothing has changed reports any cell is at most `FAMILY`, however many cells there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from vbench.cell import Cell
from vbench.errors import VbenchError

SCREEN = 0.05
FAMILY = 0.005

Outcome = Literal["slower", "passed", "inconclusive", "not measured"]


class Seen(Protocol):
    """What a comparison says: B, the code as it is now, over A."""

    @property
    def ratio(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def verdict(self) -> str: ...  # noqa: D102
    @property
    def pairs(self) -> int: ...  # noqa: D102


Compare = Callable[[Cell, float], Seen]  # cell, alpha -> its comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedCell:
    """One cell of the gate, and what came of it."""

    cell: str
    outcome: Outcome
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    compared: int = 1  # times: twice where the first flagged it
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def time_against(
    cells: Sequence[Cell], compare: Compare, *, margin: float, told: Callable[[str], None] = lambda _: None
) -> list[TimedCell]:
    """Compare every cell, and those that seem slower once more; in the order of the cells."""
    found = {cell: _timed(cell, compare, SCREEN, margin, 1) for cell in cells}
    flagged = [cell for cell, timed in found.items() if timed.outcome == "slower"]
    if flagged:
        told(f"{len(flagged)} of {len(cells)} cells seem slower; they are compared again")
    for cell in flagged:
        found[cell] = _timed(cell, compare, FAMILY / len(flagged), margin, 2)
    return list(found.values())


def _timed(cell: Cell, compare: Compare, alpha: float, margin: float, times: int) -> TimedCell:
    try:
        seen = compare(cell, alpha)
    except VbenchError as error:
        return TimedCell(cell=cell.id, outcome="not measured", reason=str(error), compared=times)
    return TimedCell(
        cell=cell.id,
        outcome=_outcome(seen, margin),
        ratio=seen.ratio,
        low=seen.low,
        high=seen.high,
        pairs=seen.pairs,
        compared=times,
    )


def _outcome(seen: Seen, margin: float) -> Outcome:
    """A gate asks one question: whether the cell may have become slower by more than the margin."""
    if seen.verdict == "slower":
        return "slower"
    return "passed" if seen.high <= 1 + margin else "inconclusive"
