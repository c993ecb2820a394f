"""What claims and tables need beyond records: certified, counted and sketched now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vbench.analysis.claims import (
    KEPT_FRACTIONS,
    TIMED_METHODS,
    Blindness,
    Claim,
    Evidence,
    Judged,
    Quantised,
    Stream,
    cells_to_count,
    cells_trained,
    clips_to_count,
    judge_claims,
    keys_to_certify,
    keys_to_count,
    keys_to_quantise,
    keys_to_stream,
    keys_to_walk,
    limits_to_search,
    read_claims,
)
from vbench.analysis.comparison import published_frame
from vbench.analysis.frame import records_frame
from vbench.analysis.mechanisms import mechanism_claims
from vbench.analysis.ratio import PairedRatios
from vbench.analysis.selection import selection_frame
from vbench.cell import Cell
from vbench.measure.catalog_counts import default_cell
from vbench.measure.count import tally_cell
from vbench.measure.receptive import receptive_frames
from vbench.measure.sketches import (
    blind_class_token,
    core_by_fraction,
    full_temporal_macs,
    gated_by_fraction,
    masked_strided_macs,
    mvit_stages,
    strided_macs,
    swin_window,
)
from vbench.measure.streams import stream_costs
from vbench.measure.subject import subject_of
from vbench.measure.techniques import AUTOCAST, backward_dtypes, quantised_block
from vbench.measure.turns import can_take_turns
from vbench.measure.worker import counts_of
from vbench.proof.certification import certify_each
from vbench.proof.crew import crew
from vbench.proof.ratios import longest, quantised_networks, training_peaks
from vbench.results import Counted, Environment, PairedCells, Record
from vbench_models.catalog import ARCHITECTURES


def judge_by_counts(
    claims: Iterable[Claim], records: Sequence[Record] = (), environments: Mapping[str, Environment] | None = None,
    paired: Iterable[PairedCells] = (),
) -> list[Judged]:  # fmt: skip
    """Every claim with its verdict; certifies and counts the systems that the claims speak of.

    `records`, from `environments`, add what was measured to the claims on what to choose, and cells that ran in
    interleaved pairs what time says of ratios.
    """
    claims = list(claims)
    known, environments = [*records, *_counted(_cells_lacking(claims, records))], environments or {}
    evidence = Evidence(
        certificates={certificate.name: certificate for certificate in certify_each(keys_to_certify(claims))},
        counted=records_frame(counted_records(keys_to_count(claims)), {}),
        selection=selection_frame(records_frame(known, environments), published_frame()),
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
        costs=_in_each_environment(known, environments),
        paired=PairedRatios(paired),
        longest=longest(limits_to_search(claims)),
        training_peaks=training_peaks(cells_trained(claims)),
        quantised_networks=quantised_networks(keys_to_quantise(claims)),
        receptive_frames={name: receptive_frames(name) for name in keys_to_walk(claims)},
        gated_macs=gated_by_fraction(KEPT_FRACTIONS),
    )
    return judge_claims(claims, evidence)


def pairs_wanted(
    claims: Iterable[Claim], records: Sequence[Record], environments: Mapping[str, Environment]
) -> list[tuple[Cell, Cell]]:
    """The measured cells that the claims set against each other in time, and that interleaved pairs can run.

    The cheapest come first, so that a budget reaches most of them.
    """
    claims = [claim for claim in claims if claim.method in TIMED_METHODS]
    known = [*records, *_counted(_cells_lacking(claims, records))]
    gated = gated_by_fraction(KEPT_FRACTIONS)
    evidence = Evidence(costs=_in_each_environment(known, environments), gated_macs=gated)
    judge_claims(claims, evidence)
    cells = {record.cell.id: record.cell for record in records}
    macs = {record.cell.id: record.counts.macs for record in records if record.counts}
    wanted = sorted(evidence.paired.wanted, key=lambda both: macs[both[0]] + macs[both[1]])
    return [(cells[one], cells[other]) for one, other in wanted if can_take_turns(cells[one], cells[other])]


def counted_records(keys: Sequence[str]) -> list[Counted]:
    """The networks at their default clips, counted now, a process for each core."""
    return _counted([default_cell(key) for key in keys])


def _cells_lacking(claims: Sequence[Claim], records: Sequence[Record]) -> list[Cell]:
    """What claims on choices and on ratios need counted beyond the records, each cell once."""
    return list(dict.fromkeys([*_missing_clips(claims, records), *_not_held(cells_to_count(claims), records)]))


def _in_each_environment(records: Sequence[Record], environments: Mapping[str, Environment]) -> pd.DataFrame:
    """A row for each cell in each environment: two latencies are set against each other within one alone."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.environment].append(record)
    frames = [records_frame(group, environments) for group in groups.values()]
    return pd.concat(frames, ignore_index=True) if frames else records_frame([], {})


def _missing_clips(claims: Iterable[Claim], records: Iterable[Record]) -> list[Cell]:
    """The cells that the claims on what to choose need and of which the records hold no counts."""
    return _not_held([replace(default_cell(key), frames=frames) for key, frames in clips_to_count(claims)], records)


def _not_held(cells: Iterable[Cell], records: Iterable[Record]) -> list[Cell]:
    held = {record.cell.id for record in records if record.counts is not None}
    return [cell for cell in cells if cell.id not in held]


def _counted(cells: Sequence[Cell]) -> list[Counted]:
    if not cells:
        return []
    with crew() as pool:
        counts = list(pool.map(counts_of, cells))
    return [
        Counted(cell=cell, subject=subject_of(cell), environment="", counts=count)
        for cell, count in zip(cells, counts, strict=True)
    ]


def complete_frame(records: Sequence[Record], environments: Mapping[str, Environment]) -> pd.DataFrame:
    """The records as a table; what they hold nothing of is counted now.

    That is every architecture at its default clip, and the clips of the selection guide.
    """
    held = {record.cell.model for record in records if record.subject.is_default_clip}
    missing = [default_cell(key) for key in ARCHITECTURES if key not in held]
    missing += [cell for cell in _missing_clips(read_claims(), records) if cell not in missing]
    return records_frame([*records, *_counted(missing)], environments)


def complete_certificates(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The documents of the certificates that the table of mechanisms needs: those known, the others derived now."""
    needed = keys_to_certify(mechanism_claims(read_claims()))
    derived = certify_each([key for key in needed if key not in known])
    return {**known, **{certificate.name: certificate.to_json() for certificate in derived}}


def attending_modules(name: str) -> int:
    """How many modules of a network hold products of attention, at its default clip."""
    products = tally_cell(default_cell(name)).products
    return len({product.module for product in products if product.kind == "attention"})
