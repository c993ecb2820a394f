"""The conduct of a certification: asks `measure` for counts and predicted peaks, and `analysis` for what follows.

Knows both, which do not know each other.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbench.analysis.certificate import Certificate, Figures, certificate
from vbench.analysis.claims import (
    KEPT_FRACTIONS,
    Blindness,
    Claim,
    Evidence,
    Judged,
    Quantised,
    Stream,
    judge_claims,
    keys_to_certify,
    keys_to_count,
    keys_to_stream,
    read_claims,
)
from vbench.analysis.frame import records_frame
from vbench.analysis.latency_law import LatencyLaw, Point, latency_grids, latency_law
from vbench.analysis.mechanisms import mechanism_claims
from vbench.analysis.polynomial import BASE, Extent, Line, hinted_line
from vbench.analysis.verdict import parse_claim
from vbench.cell import Cell
from vbench.console import listener
from vbench.errors import AxisError
from vbench.grid import Block, Grid
from vbench.measure.catalog_counts import default_cell
from vbench.measure.count import check_pattern, tally_cell
from vbench.measure.environment import usable_cores
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.runner import without_main
from vbench.measure.sketches import (
    blind_class_token,
    core_by_fraction,
    full_temporal_macs,
    masked_strided_macs,
    mvit_stages,
    strided_macs,
    swin_window,
)
from vbench.measure.streams import stream_costs
from vbench.measure.subject import card_of, subject_of
from vbench.measure.techniques import AUTOCAST, backward_dtypes, quantised_block
from vbench.measure.user_models import is_users
from vbench.measure.worker import counts_of, end_with_parent
from vbench.results import Counted, Environment, Measured, Record
from vbench.stats import median
from vbench.store import Store
from vbench.sweep import Listener, Sweep
from vbench_models.catalog import ARCHITECTURES
from vbench_models.loading import CORE

if TYPE_CHECKING:
    import pandas as pd

TOKENS, PIXELS = "tokens", "frames and pixels"


def certify(name: str, claim: str | None = None) -> Certificate:
    """The certificate of a catalog key or a user's own code; `claim` stands in for the card's own formula.

    Raises:
        AxisError: the claim cannot be parsed, or the model's clip is fixed.
        UncountedOperatorError: an operator without a known cost.
    """
    card = card_of(name)
    cell_of = _cells(name)
    if is_users(name) and card.kind == "pattern":
        check_pattern(cell_of(BASE))
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


def certify_each(names: Sequence[str], claim: str | None = None) -> Iterator[Certificate]:
    """A certificate for each name, in their order; several are derived side by side, a process for each core."""
    if len(names) == 1:
        yield certify(names[0], claim)
        return
    with _pool() as pool:
        yield from pool.map(certify, names, repeat(claim))


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """A process for each core, with everything imported; they end with this one, however it ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with (
        without_main(),
        ProcessPoolExecutor(usable_cores(), mp_context=context, initializer=end_with_parent) as pool,
    ):
        yield pool


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
    Sweep(grid_of(name, grids), directory, told).run()
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
    """The sweep of one pattern over grids of tokens."""
    return Grid(title="certify", blocks=(Block(models=(name,), grids=tuple(grids)),))


def _extent(cell: Cell) -> Extent:
    return cell.frames, cell.height, cell.width


def judge_by_counts(claims: Iterable[Claim]) -> list[Judged]:
    """Every claim with its verdict; certifies and counts the systems that the claims speak of."""
    claims = list(claims)
    evidence = Evidence(
        certificates={certificate.name: certificate for certificate in certify_each(keys_to_certify(claims))},
        counted=records_frame(counted_records(keys_to_count(claims)), {}),
        core_by_fraction=core_by_fraction(KEPT_FRACTIONS),
        masked_strided_macs=masked_strided_macs(),
        full_macs=full_temporal_macs(),
        strided_macs=strided_macs(),
        window=swin_window(),
        attending_modules={"pcsa": attending_modules("pcsa")},
        stages=mvit_stages(),
        streams={name: Stream(*stream_costs(name)) for name in keys_to_stream(claims)},
        class_token=Blindness(*blind_class_token()),
        backward_dtypes=backward_dtypes(),
        autocast_dtype=str(AUTOCAST).removeprefix("torch."),
        quantised=Quantised(*quantised_block()),
    )
    return judge_claims(claims, evidence)


def counted_records(keys: Sequence[str]) -> list[Counted]:
    """The networks at their default clips, counted now, a process for each core."""
    cells = [default_cell(key) for key in keys]
    with _pool() as pool:
        counts = list(pool.map(counts_of, cells))
    return [
        Counted(cell=cell, subject=subject_of(cell), environment="", counts=count)
        for cell, count in zip(cells, counts, strict=True)
    ]


def complete_frame(records: Sequence[Record], environments: Mapping[str, Environment]) -> pd.DataFrame:
    """The records as a table, and every architecture of which they hold nothing at its default clip, counted now."""
    held = {record.cell.model for record in records if record.subject.is_default_clip}
    missing = [key for key in ARCHITECTURES if key not in held]
    return records_frame([*records, *counted_records(missing)], environments)


def complete_certificates(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The documents of the certificates that the table of mechanisms needs: those known, the others derived now."""
    needed = keys_to_certify(mechanism_claims(read_claims()))
    derived = certify_each([key for key in needed if key not in known])
    return {**known, **{certificate.name: certificate.to_json() for certificate in derived}}


def attending_modules(name: str) -> int:
    """How many modules of a network hold products of attention, at its default clip."""
    products = tally_cell(default_cell(name)).products
    return len({product.module for product in products if product.kind == "attention"})


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
        base = _triple(-(-size // step) * step for size, step in zip(BASE, lattice, strict=True))
        found = [hinted_line(count, axis, step, base) for axis, step in enumerate(lattice)]
        known = [line for line in found if line is not None]
        return known if len(known) == len(found) else None

    return lines


def _triple(sizes: Iterable[int]) -> Extent:
    t, h, w = sizes
    return t, h, w


def _text(sizes: Extent) -> str:
    return "x".join(map(str, sizes))
