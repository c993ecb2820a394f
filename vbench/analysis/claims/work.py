"""Claims on the work inside a network: how fast it is done, in which order, by which layers, and what is left out.

Multiply-adds are counted; latencies are those of records (`vbench.analysis.ratio`), without which a claim on time is
undecided, beside what was counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vbench import units
from vbench.analysis.claims.band import AGREES, CONTRADICTED, UNDECIDED, times, worst
from vbench.analysis.claims.claim import Claim, Evidence, Judged, data, joined, undecided, verdict_on
from vbench.analysis.claims.ratios import MEASURE, MORE, in_pairs
from vbench.analysis.comparison import at_clip, default_setting
from vbench.analysis.ratio import Timed, exact_ratio, latency_ratio, latency_ratios, pairs
from vbench.cell import Cell
from vbench.stats import Interval

PEAK, ORDER, STEM, GATE = "fraction of peak", "order of attentions", "convolutional stem", "gated frames"
CLIP = {"frames": 16, "height": 224, "width": 224}  # at which a stem is counted, and both orders
FORMS = ("core:", "", "backbone:")  # bare attention, with its projections, in a network
MASKED = "vbench.measure.sketches:build_pattern_masked_gate"
FOLLOWS = 1.1  # a cost follows the kept fraction where it is at most so many times that fraction

Row = Any


def _fraction_of_peak(claim: Claim, evidence: Evidence) -> Judged:
    """The rates of two patterns on one grid: both are fractions of the same peak, so that their ratio needs no peak.

    The barest form that was measured decides: around it, projections run at the same rate in both.
    """
    slow, quick = claim.keys
    by_form = [
        latency_ratios(evidence.costs, {"model": form + slow}, {"model": form + quick}, evidence.paired)
        for form in FORMS
    ]
    deciding, *beside = [found for found in by_form if found] or [[]]
    if not deciding:
        return undecided(claim, f"latencies of {slow} and {quick} on one grid in one environment", MEASURE)
    rates = [_rate_ratio(one) for one in deciding]
    word = worst(AGREES if rate.high < 1 else CONTRADICTED if rate.low > 1 else UNDECIDED for rate in rates)
    derived = "; ".join(f"{_grid(one.first)}: {_rate(one.first)} against {_rate(one.second)}" for one in deciding)
    said = f"its rate over the other's: {_rates(deciding)}"
    said += "".join(f"; with what stands around it: {_rates(found)}" for found in beside)
    more = f"; would be decided by {MORE}" if word == UNDECIDED else ""
    return verdict_on(claim, word, derived, f"{said}{more}", MEASURE)


def _rates(timed: Sequence[Timed]) -> str:
    return joined(f"{_grid(one.first)} {times(_rate_ratio(one))}" for one in timed)


def _rate_ratio(timed: Timed) -> Interval:
    """FLOP/s of the first over FLOP/s of the second."""
    work = timed.first.flops / timed.second.flops
    return Interval(work / timed.ratio.estimate, work / timed.ratio.high, work / timed.ratio.low)


def _grid(row: Row) -> str:
    return f"{row.model} {units.extent(row.frames, row.height, row.width)}"


def _rate(row: Row) -> str:
    of_peak = f" ({units.percent(row.matmul_peak_fraction)} of the matrix peak)" if row.matmul_peak_fraction > 0 else ""
    return f"{units.rate(row.flops_per_second)}{of_peak}"


def _order_of_attentions(claim: Claim, evidence: Evidence) -> Judged:
    """What the source says of the order, which no cost decides; and what both orders cost."""
    readings = data("readings.csv")
    (reading,) = readings[readings["id"] == claim.id].to_dict("records")
    counted = [_macs(evidence, key) for key in claim.keys]
    if any(map(math.isnan, counted)):
        return undecided(claim, f"the multiply-adds of {joined(claim.keys)}", _count(claim.keys))
    first, second = claim.keys
    derived = "; ".join(f"{key} {units.macs(macs)}" for key, macs in zip(claim.keys, counted, strict=True))
    timed = latency_ratios(evidence.costs, {"model": first}, {"model": second}, evidence.paired)
    cost = f"{first} over {second} in time: {_all(timed)}"
    found = f"{reading['found']} ({reading['source']}); accuracy is quoted, not measured; {cost}"
    return verdict_on(claim, str(reading["verdict"]), derived, found, _count(claim.keys))


def _count(keys: Iterable[str]) -> str:
    return "; ".join(f"vbench count {key} --frames {CLIP['frames']}" for key in keys)


def _all(timed: Sequence[Timed]) -> str:
    return joined(_at(one) for one in timed) or f"not measured, {MEASURE}"


def _at(timed: Timed) -> str:
    row = timed.first
    return (
        f"{times(timed.ratio)} at {units.extent(row.frames, row.height, row.width)} on {row.hardware}{in_pairs(timed)}"
    )


def _macs(evidence: Evidence, key: str) -> float:
    """Multiply-adds of one clip in the default setting; NaN where nobody counted it."""
    cells = at_clip(default_setting(evidence.costs), key, CLIP)
    return next((float(macs) for macs in cells["macs"].dropna()), math.nan)


def _convolutional_stem(claim: Claim, evidence: Evidence) -> Judged:
    """A CNN on every frame before the transformer over time, against a transformer on every frame before it."""
    hybrid, pure = claim.keys
    of_macs, again = exact_ratio(*(_macs(evidence, key) for key in claim.keys)), f"{_count(claim.keys)}; {MEASURE}"
    if math.isnan(of_macs.estimate):
        return undecided(claim, f"the multiply-adds of {hybrid} and {pure} at one clip", again)
    timed = latency_ratios(default_setting(evidence.costs), {"model": hybrid}, {"model": pure}, evidence.paired)
    derived = f"{hybrid} over {pure}: {times(of_macs)} in multiply-adds at {units.extent(*CLIP.values())}"
    derived += f"; in time {joined(_at(one) for one in timed)}" if timed else ""
    word = worst(_below_one(ratio) for ratio in (of_macs, *(one.ratio for one in timed)))
    if word == AGREES and not timed:
        return verdict_on(claim, UNDECIDED, derived, f"would be decided by latencies of {hybrid} and {pure}", again)
    more = f"; would be decided by {MORE}" if word == UNDECIDED else ""
    reason = f"both carry one token of 768 channels a frame over time{more}"
    return verdict_on(claim, word, derived, reason, again)


def _below_one(ratio: Interval) -> str:
    return AGREES if ratio.high < 1 else CONTRADICTED if ratio.low >= 1 else UNDECIDED


def clips_inside(claims: Iterable[Claim]) -> list[Cell]:
    """The cells whose multiply-adds the claims on orders and stems need, each once."""
    keys = dict.fromkeys(key for claim in claims if claim.method in (ORDER, STEM) for key in claim.keys)
    return [Cell(model=key, frames=CLIP["frames"], height=CLIP["height"], width=CLIP["width"]) for key in keys]


def _gated_frames(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the cost of the printed form, which multiplies by a mask, follows the frames that it lets through."""
    counts = evidence.gated_macs
    if not counts:
        return undecided(claim, "the multiply-adds of both forms of the gate, by kept fraction")
    low, high = min(counts["masked"]), max(counts["masked"])
    left = {form: by_fraction[low] / by_fraction[high] for form, by_fraction in counts.items()}
    derived = "; ".join(
        f"{form}: {units.macs(kept[low])} where {units.percent(low)} of the frames are kept, "
        f"{units.macs(kept[high])} where {units.percent(high)} are"
        for form, kept in counts.items()
    )
    follow = [form for form, share in left.items() if share <= FOLLOWS * low / high]
    reason = f"the cost follows the kept frames where they are {joined(follow) or 'neither masked nor gathered'}"
    timed = _on_one_machine(evidence, claim.keys[0], MASKED)
    reason += f"; the printed sketch masks; gathered over masked in time, half of the frames kept: {_all(timed)}"
    word = AGREES if "masked" in follow else CONTRADICTED
    return verdict_on(claim, word, derived, reason, f"vbench claims; {MEASURE}")


def _on_one_machine(evidence: Evidence, first: str, second: str) -> list[Timed]:
    """Pairs of latencies of one machine: code outside the catalog has an environment of its own."""
    cells = evidence.costs
    found = pairs(cells[cells["status"] == "measured"], {"model": first}, {"model": second})
    return [
        evidence.paired.timed(one, other) or Timed(one, other, latency_ratio(one, other))
        for one, other in found
        if (one.hardware, str(one.threads)) == (other.hardware, str(other.threads))
    ]


WORK_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    PEAK: _fraction_of_peak,
    ORDER: _order_of_attentions,
    STEM: _convolutional_stem,
    GATE: _gated_frames,
}
