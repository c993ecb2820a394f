"""Claims on which architecture to take for short, medium and long clips: cost and fit are decided, accuracy is quoted.

The rows are those of the selection guide (`vbench.analysis.selection`). Nobody published the accuracy of most models at
most lengths: there it stays undecided, and no accuracy on another data set stands in for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from vbench import units
from vbench.analysis.claims.claim import Claim, Evidence, Judged, joined, undecided, verdict_on
from vbench.analysis.comparison import k400_rows, published_frame
from vbench.analysis.selection import ADVISED, REMEMBERING, read_advice
from vbench.analysis.trade_off import on_front

METHOD = "advice"


def _advice(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the advised models are the cheaper ones at each length, who fits, and what accuracy is known."""
    rows = evidence.selection
    rows = rows[(rows["id"] == claim.id) & (rows["advice"] != "")] if len(rows) else rows
    if rows.empty:
        return undecided(claim, f"the costs of {joined(claim.keys)} at their lengths")
    lengths = [_Length(frames, list(group.itertuples())) for frames, group in rows.groupby("frames")]
    derived = "; ".join(f"{length.frames} frames: {_costs(length)}" for length in lengths)
    evidence_text = "; ".join(says(length) for says in (_verdict, _fit, _accuracy, _front) for length in lengths)
    verdict = _worst([length.models[0].cost_verdict for length in lengths])
    first = claim.keys[0]
    again = f"vbench claims; vbench count {first} --frames {REMEMBERING.get(first, lengths[0].frames)}"
    return verdict_on(claim, verdict, derived, evidence_text, again)


class _Length(NamedTuple):
    """The models that an advice speaks of, at one number of frames: rows of the selection guide."""

    frames: Any
    models: list[Any]


def _worst(words: Sequence[str]) -> str:
    """Contradicted by one length, it is contradicted; undecided at one, it is not yet right."""
    return next(word for word in ("contradicted", "undecided", "agrees") if word in words)


def _costs(length: _Length) -> str:
    return ", ".join(f"{model.model} ({model.advice}) {_cost(model)}" for model in length.models)


def _cost(model: Any) -> str:
    counted = units.macs(model.macs)
    if math.isnan(model.latency_s):
        return counted
    return f"{units.seconds_interval(model.latency_s, model.latency_low_s, model.latency_high_s)} and {counted}"


def _verdict(length: _Length) -> str:
    first = length.models[0]
    return f"cost at {length.frames} frames {first.cost_verdict}: {first.cost_reason}"


def _fit(length: _Length) -> str:
    """The memory that holds each, by predicted peak."""
    largest = max(length.models, key=lambda model: float(model.predicted_peak_bytes))
    memory, peak = largest.fits_gib, units.size(largest.predicted_peak_bytes)
    holds = f"all within {memory:g} GiB" if math.isfinite(memory) else "not all in the memory of one accelerator"
    return f"fit at {length.frames} frames: {holds}, the largest {largest.model} with {peak}"


def _accuracy(length: _Length) -> str:
    known = [f"{model.model} {model.top1:.1f} %" for model in length.models if model.accuracy == "quoted"]
    unknown = [model.model for model in length.models if model.accuracy == "undecided"]
    quoted = [f"quoted for {joined(known)}"] if known else []
    left = [f"undecided for {joined(unknown)}, published by nobody at this clip"] if unknown else []
    return f"accuracy at {length.frames} frames {joined([*quoted, *left])}"


def _front(length: _Length) -> str:
    """The front of everybody's published accuracy at this length against the published cost of all its views."""
    rows = k400_rows(published_frame())
    rows = rows[rows["frames"] == length.frames].dropna(subset=["views_spatial", "views_temporal"])
    costs = rows["gmacs_per_view"] * rows["views_spatial"] * rows["views_temporal"]
    front = rows[on_front(costs, rows["metric"])].assign(cost=costs).sort_values("cost")
    names = [f"{row['key']} {row['metric']:.1f} %" for _, row in front.iterrows()]
    advised = [model.model for model in length.models if model.advice == ADVISED and model.model in set(front["key"])]
    says = f"of the advised {joined(advised) or 'none'} is on it"
    return f"published front at {length.frames} frames, by multiply-adds of all views: {joined(names)}; {says}"


def clips_to_count(claims: Iterable[Claim]) -> list[tuple[str, int]]:
    """The models and frames whose cost the advice of these claims needs, each once; one that remembers at its clip."""
    asked = {claim.id for claim in claims if claim.method == METHOD}
    clips = [
        (model, min(REMEMBERING.get(model, advice.frames), advice.frames))
        for advice in read_advice()
        if advice.claim in asked
        for model in (*advice.advised, *advice.rivals)
    ]
    return list(dict.fromkeys(clips))


ADVICE_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {METHOD: _advice}
