"""The claim that divided attention scales better than joint, which becomes prohibitively expensive.

Joint attention's multiply-adds over those of divided attention must rise with the clip and pass 1. Where they do, and
where latencies do, is a crossover (`vbench.analysis.crossover`): of the networks, of one block with its projections,
and of the bare core, which are three different lengths. What is prohibitive is for the reader to say: the longest clips
that memories of accelerators hold stand beside, with fused attention and with the n x n scores of the unfused one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from vbench import units
from vbench.analysis.claims.band import AGREES, CONTRADICTED
from vbench.analysis.claims.claim import MEMORIES_BYTES, Claim, Evidence, Judged, Limit, joined, undecided, verdict_on
from vbench.analysis.claims.ratios import CROP, MEASURE, by_frames, count, growing_ratio
from vbench.analysis.comparison import default_setting
from vbench.analysis.crossover import crossovers
from vbench.analysis.frame import in_tokens
from vbench.analysis.scaling import Axis, comparable
from vbench.cell import Cell

SCALING = "scales better"
LENGTHS = (8, 16, 32, 64)
BLOCKS, CORES = ("joint", "divided"), ("core:joint", "core:divided")
COUNTED, TIMED = "macs", "latency_median_s"
WORDS: dict[Axis, str] = {"frames": "frames", "time": "tokens in time"}


def _scales_better(claim: Claim, evidence: Evidence) -> Judged:
    """Whether joint attention over divided attention rises with the clip and passes 1, in multiply-adds."""
    divided, joint = claim.keys
    plain = default_setting(evidence.costs)
    again = f"{count(divided, 16)}; {count(joint, 16)}; {MEASURE}"
    ratios = growing_ratio(plain, joint, divided, LENGTHS)
    known = [ratio.estimate for ratio in ratios.values()]
    if len(known) < 2:
        return undecided(claim, f"multiply-adds of {joint} and {divided} at two lengths or more", again)
    holds = known == sorted(known) and known[0] < known[-1] > 1
    networks = plain[(plain["height"] == CROP) & (plain["width"] == CROP)]
    derived = f"{joint} over {divided}, multiply-adds: {by_frames(ratios)}; {_changes(networks, COUNTED, claim.keys)}"
    tokens = evidence.costs[in_tokens(evidence.costs)]
    reasons = (
        f"latency of the networks: {_changes(networks, TIMED, claim.keys)}",
        f"of one block: {_changes(tokens, TIMED, BLOCKS, 'time')}",
        f"of the bare core: {_changes(tokens, TIMED, CORES, 'time')}",
        _longest(claim, evidence),
    )
    return verdict_on(claim, AGREES if holds else CONTRADICTED, derived, "; ".join(reasons), again)


def _changes(cells: pd.DataFrame, metric: str, models: Sequence[str], axis: Axis = "frames") -> str:
    """Where the two models change places in one metric, with the lengths or the interval that bound it."""
    latest = cells[cells["model"].isin(models)].drop_duplicates("cell", keep="last")
    series = comparable(latest, metric, axis)
    if len(series) < 2:
        return f"not known at several lengths, {MEASURE}"
    found = [
        f"{one.long} is the cheaper from {one.frames:.1f} {WORDS[axis]} {units.open_interval(one.low, one.high)}"
        for one in crossovers(series, metric)
    ]
    looked_at = f"{series[0].x[0]} to {series[0].x[-1]} {WORDS[axis]} of {series[0].held}"
    return f"{joined(found) or 'no crossover'} ({looked_at})"


def _longest(claim: Claim, evidence: Evidence) -> str:
    """The longest clips that memories hold, by predicted tensors."""
    frames: dict[str, list[str]] = {}
    for limit in limits_of(claim):
        if limit in evidence.longest:
            frames.setdefault(f"{limit.model}, {limit.kernel}", []).append(str(evidence.longest[limit]))
    sizes = joined(f"{memory / 1e9:g}" for memory in MEMORIES_BYTES)
    told = "; ".join(f"{form}: {joined(lengths)}" for form, lengths in frames.items())
    return f"longest clip in {sizes} GB, predicted, in frames: {told or 'not predicted'}"


def limits_of(claim: Claim) -> list[Limit]:
    """The longest clips that the claim asks for: of both models, and of joint attention without fusion."""
    if claim.method != SCALING:
        return []
    forms = [(key, "fused") for key in claim.keys] + [(claim.keys[1], "math")]
    return [Limit(model=key, memory_bytes=memory, kernel=kernel) for key, kernel in forms for memory in MEMORIES_BYTES]


def clips_crossing(claims: Iterable[Claim]) -> list[Cell]:
    """The cells whose multiply-adds the claim needs."""
    keys = [key for claim in claims if claim.method == SCALING for key in claim.keys]
    return [Cell(model=key, frames=frames, height=CROP, width=CROP) for key in keys for frames in LENGTHS]


GROWTH_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {SCALING: _scales_better}
