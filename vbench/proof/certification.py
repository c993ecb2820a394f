"""From a name to its certificate: counts on a lattice of grids, predicted peaks, and what `analysis` derives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import repeat

from vbench.analysis.certificate import SHARE_CLIPS, SHARE_GRIDS, Certificate, Figures, certificate, degrees_of
from vbench.analysis.polynomial import BASE, Extent, Line, hinted_line, line_grids
from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.measure.count import check_pattern, tally_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.subject import card_of
from vbench.measure.user_models import is_users
from vbench.proof.crew import crew

TOKENS, PIXELS = "tokens", "frames and pixels"
WORTH_A_CREW_S = 6.0  # of counting ahead: starting processes that have imported torch takes half as long


def certify_each(names: Sequence[str], claim: str | None = None) -> Iterator[Certificate]:
    """A certificate for each name, in their order; several are derived side by side, a process for each core.

    Raises:
        AxisError: the claim cannot be parsed, or a model's clip is fixed.
        UncountedOperatorError: an operator without a known cost.
    """
    if len(names) == 1:
        with ExitStack() as stack:
            yield _certify(names[0], claim, Counter(names[0], stack))
        return
    with crew() as pool:
        yield from pool.map(certify, names, repeat(claim))


def certify(name: str, claim: str | None = None) -> Certificate:
    """The certificate of a catalog key or a user's own code, in this process.

    `claim` stands in for the card's own formula.

    Raises:
        AxisError: the claim cannot be parsed, or the model's clip is fixed.
        UncountedOperatorError: an operator without a known cost.
    """
    return _certify(name, claim, Counter(name))


def degrees(name: str) -> dict[str, Extent | None]:
    """The degrees along T, H and W of the derived MACs and attention MACs; None for what is no polynomial.

    Raises:
        AxisError: the model's clip is fixed.
    """
    proved = _certify(name, None, Counter(name), with_memory=False)
    return {"macs": degrees_of(proved.macs), "attention_macs": degrees_of(proved.attention_macs)}


def _certify(name: str, claim: str | None, counter: Counter, *, with_memory: bool = True) -> Certificate:
    card = card_of(name)
    cell_of = _cells(name)
    if is_users(name) and card.kind == "pattern":
        check_pattern(cell_of(BASE))
    units = (
        TOKENS if card.kind == "pattern" else f"tokens of {_text(card.tubelet_size)}" if card.tubelet_size else PIXELS
    )

    def peak(grid: Extent, kernel: str, bias: bool) -> int:
        cell = replace(cell_of(grid), kernel=kernel)
        return footprint_of_cell(cell, bias=bias, tensors_only=True).peak_bytes

    return certificate(
        name,
        units,
        counter.figures,
        claim=claim or card.claimed,
        memory=peak if with_memory and card.kind == "pattern" else None,
        hint=_hint(card.lattice, counter),
        share_grids=SHARE_CLIPS if units == PIXELS else SHARE_GRIDS,
        announce=counter.announce,
    )


@dataclass(slots=True)
class Counter:
    """Counts grids of one model, each once; those announced together side by side, where that is worth it.

    With a `stack`, on which the crew is closed in the end; without one all is counted in this process.
    """

    name: str
    stack: ExitStack | None = None
    _known: dict[Extent, Figures | AxisError] = field(default_factory=dict)
    _spent_s: float = 0.0
    _counted_here: int = 0
    _pool: Executor | None = None

    def figures(self, grid: Extent) -> Figures:
        """What is counted on one grid.

        Raises:
            AxisError: the model does not take such a clip.
        """
        if grid not in self._known:
            started = time.perf_counter()
            self._known[grid] = count_grid(self.name, grid)
            self._spent_s += time.perf_counter() - started
            self._counted_here += 1
        figures = self._known[grid]
        if isinstance(figures, AxisError):
            raise figures
        return figures

    def announce(self, grids: Iterable[Extent]) -> None:
        """Take note of grids that will be asked for; the first of all is counted here, to see how long one takes."""
        left = [grid for grid in dict.fromkeys(grids) if grid not in self._known]
        if self.stack is None or not left:
            return
        if not self._counted_here:
            with suppress(AxisError):
                self.figures(left.pop(0))
        if self._pool or self._spent_s / self._counted_here * len(left) > WORTH_A_CREW_S:
            self._pool = self._pool or self.stack.enter_context(crew())
            self._known.update(zip(left, self._pool.map(count_grid, repeat(self.name), left), strict=True))


def count_grid(name: str, grid: Extent) -> Figures | AxisError:
    """What is counted on one grid of tokens, or that the model takes no such clip."""
    try:
        counted = tally_cell(_cells(name)(grid))
    except AxisError as error:
        return error
    return Figures(macs=counted.macs, attention_macs=counted.attention_macs)


def _cells(name: str) -> Callable[[Extent], Cell]:
    """From a grid of tokens to the cell that has it; an architecture's clip is the grid times its tubelet."""
    card = card_of(name)
    t, h, w = card.tubelet_size or (1, 1, 1)
    if card.kind == "pattern":
        return lambda grid: Cell(model=name, frames=grid[0], height=grid[1], width=grid[2], unit="tokens")
    return lambda grid: Cell(model=name, frames=grid[0] * t, height=grid[1] * h, width=grid[2] * w)


def _hint(lattice: Extent | None, counter: Counter) -> Callable[[Callable[[Extent], int]], list[Line] | None]:
    """The lattice that the card names, with the degrees that the count shows along it."""

    def lines(count: Callable[[Extent], int]) -> list[Line] | None:
        if lattice is None:
            return None
        base = _triple(-(-size // step) * step for size, step in zip(BASE, lattice, strict=True))
        counter.announce(grid for axis, step in enumerate(lattice) for grid in line_grids(axis, step, base))
        found = [hinted_line(count, axis, step, base) for axis, step in enumerate(lattice)]
        known = [line for line in found if line is not None]
        return known if len(known) == len(found) else None

    return lines


def _triple(sizes: Iterable[int]) -> Extent:
    t, h, w = sizes
    return t, h, w


def _text(sizes: Extent) -> str:
    return "x".join(map(str, sizes))
