"""The conduct of a certification: asks `measure` for counts and predicted peaks, and `analysis` for what follows.

Knows both, which do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from vbench.analysis.certificate import Certificate, Figures, certificate
from vbench.analysis.claims import KEPT_FRACTIONS, Claim, Evidence, Judged, judge_claims, keys_of
from vbench.analysis.polynomial import BASE, Extent, Line, line_of
from vbench.cell import Cell
from vbench.measure.count import tally_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.sketches import core_by_fraction, masked_strided_macs, strided_macs
from vbench.measure.subject import card_of

TOKENS, PIXELS = "tokens", "frames and pixels"


def certify(name: str, claim: str | None = None) -> Certificate:
    """The certificate of a catalog key or a user's own code; `claim` stands in for the card's own formula.

    Raises:
        AxisError: the claim cannot be parsed, or the model's clip is fixed.
        UncountedOperatorError: an operator without a known cost.
    """
    card = card_of(name)
    cell_of = _cells(name)
    units = (
        TOKENS if card.kind == "pattern" else f"tokens of {_text(card.tubelet_size)}" if card.tubelet_size else PIXELS
    )

    @cache
    def figures(grid: Extent) -> Figures:
        counted = tally_cell(cell_of(grid))
        return Figures(macs=counted.macs, attention_macs=counted.attention_macs)

    def peak(grid: Extent, kernel: str, bias: bool) -> int:
        return footprint_of_cell(replace(cell_of(grid), kernel=kernel), bias=bias).peak_bytes

    return certificate(
        name,
        units,
        figures,
        claim=claim or card.claimed,
        memory=peak if card.kind == "pattern" else None,
        hint=_hint(card.lattice),
    )


def judge_by_counts(claims: Iterable[Claim]) -> list[Judged]:
    """Every claim with its verdict; certifies the systems that the claims speak of."""
    claims = list(claims)
    evidence = Evidence(
        certificates={key: certify(key) for key in keys_of(claims)},
        core_by_fraction=core_by_fraction(KEPT_FRACTIONS),
        masked_strided_macs=masked_strided_macs(),
        strided_macs=strided_macs(),
    )
    return judge_claims(claims, evidence)


def _cells(name: str) -> Callable[[Extent], Cell]:
    """From a grid of tokens to the cell that has it; an architecture's clip is the grid times its tubelet."""
    card = card_of(name)
    t, h, w = card.tubelet_size or (1, 1, 1)
    if card.kind == "pattern":
        return lambda grid: Cell(model=name, frames=grid[0], height=grid[1], width=grid[2], unit="tokens")
    return lambda grid: Cell(model=name, frames=grid[0] * t, height=grid[1] * h, width=grid[2] * w)


def _hint(lattice: Extent | None) -> Callable[[Callable[[Extent], int]], list[Line] | None]:
    """The lattice that the card names, with the degrees that the count shows along it."""

    def lines(count: Callable[[Extent], int]) -> list[Line] | None:
        if lattice is None:
            return None
        found = [line_of(count, axis, step, step, BASE) for axis, step in enumerate(lattice)]
        known = [line for line in found if line is not None]
        return known if len(known) == len(found) else None

    return lines


def _text(sizes: Extent) -> str:
    return "x".join(map(str, sizes))
