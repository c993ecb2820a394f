"""Claims on how much faster or dearer one architecture is than another.

Multiply-adds are counted, and their ratios exact. Which is faster is for records to say, by the latencies of both in
one environment (`vbench.analysis.ratio`): without them such a claim is undecided, beside what was counted and what the
paper prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vbench import units
from vbench.analysis.claims.band import UNDECIDED, best, times, word_on, worst
from vbench.analysis.claims.claim import Claim, Evidence, Judged, joined, undecided, verdict_on
from vbench.analysis.comparison import at_clip, default_setting, k400_rows, published_frame
from vbench.analysis.ratio import PairedRatios, Timed, exact_ratio, latency_ratios, scaled
from vbench.cell import Cell
from vbench.stats import Interval

SPEED_UP, LONGER, OF_VIDEO = "factorised speed-up", "cost of longer clips", "speed-up a video"
CROP = 224
LENGTHS = {SPEED_UP: (16, 32, 64), LONGER: (8, 16, 32, 128)}  # frames whose multiply-adds each method looks at
GROWTHS = ((8, 32), (16, 32), (32, 128))  # the first is the claim's: four times the frames
PRINTED_S = {"vivit_b_16x2": 58.9e-3, "vivit_b_16x2_fe": 17.4e-3}  # ViViT paper, Table 2, 32 frames on a TPU-v3
PRINTED_FLOPS = (0.59e12, 1.97e12)  # of a video: TimeSformer and SlowFast R50, TimeSformer paper, Table 2
MEASURE = "vbench sweep --preset claims; vbench claims --records reports/claims --pairs 30m"
MORE = "interleaved pairs (--pairs), or a longer measurement on a quieter machine"


def _factorised_speed_up(claim: Claim, evidence: Evidence) -> Judged:
    """How many times as long the second model takes as the first, at every length that was measured."""
    fast, slow = claim.keys
    plain = default_setting(evidence.costs)
    counted = growing_ratio(plain, slow, fast, LENGTHS[SPEED_UP])
    beside = (
        f"multiply-adds: {by_frames(counted)}; "
        f"the paper prints {units.seconds(PRINTED_S[slow])} and {units.seconds(PRINTED_S[fast])} at 32 frames, "
        f"{times(exact_ratio(PRINTED_S[slow], PRINTED_S[fast]))}"
    )
    timed = latency_ratios(plain, {"model": slow}, {"model": fast}, evidence.paired)
    return by_time(claim, timed, f"latency over that of {fast}", beside)


def by_time(claim: Claim, timed: Sequence[Timed], what: str, beside: str) -> Judged:
    """The claim held against every ratio of latencies, of which `what` says what they are.

    What was counted or printed stands `beside`.
    """
    if not timed:
        return _not_timed(claim, beside)
    word = worst(word_on(claim.claimed, one.ratio) for one in timed)
    derived = f"{what}: " + "; ".join(f"{where(one)} {times(one.ratio)}" for one in timed)
    return verdict_on(claim, word, derived, f"{beside}{_open(word)}", MEASURE)


def _not_timed(claim: Claim, beside: str) -> Judged:
    missing = f"latencies of {joined(claim.keys)} in one environment: {MEASURE}"
    return replace(undecided(claim, missing, MEASURE), derived=beside)


def where(timed: Timed) -> str:
    """The first cell's model, its clip and the machine of two latencies."""
    row = timed.first
    return f"{row.model} {units.extent(row.frames, row.height, row.width)} on {row.hardware}{in_pairs(timed)}"


def in_pairs(timed: Timed) -> str:
    """How the ratio came about, where it is more than two latencies."""
    return f" in {timed.pairs} interleaved pairs" if timed.pairs else ""


def _open(word: str) -> str:
    return f"; would be decided by {MORE}" if word == UNDECIDED else ""


def growing_ratio(plain: pd.DataFrame, first: str, second: str, lengths: Iterable[int]) -> dict[int, Interval]:
    """How many times as many multiply-adds the first model needs, by frames; without lengths not counted."""
    ratios = {n: exact_ratio(_macs(plain, first, n), _macs(plain, second, n)) for n in lengths}
    return {n: ratio for n, ratio in ratios.items() if math.isfinite(ratio.estimate)}


def _macs(plain: pd.DataFrame, key: str, frames: int) -> float:
    return _macs_at(plain, key, {"frames": frames, "height": CROP, "width": CROP})


def _macs_at(plain: pd.DataFrame, key: str, clip: Mapping[str, Any]) -> float:
    """Multiply-adds of one clip; NaN where they are not known."""
    return next((float(macs) for macs in at_clip(plain, key, clip)["macs"].dropna()), math.nan)


def by_frames(ratios: Mapping[int, Interval]) -> str:
    """The ratios in words."""
    return joined(f"{times(ratio)} at {frames} frames" for frames, ratio in ratios.items()) or "not counted"


def _cost_of_longer_clips(claim: Claim, evidence: Evidence) -> Judged:
    """How many times more four times the frames cost, in multiply-adds, and in latency where it was measured."""
    plain = default_setting(evidence.costs)
    grown = {key: [_growth(plain, key, *lengths) for lengths in GROWTHS] for key in claim.keys}
    timed = {key: _longer_over_shorter(plain, key, evidence.paired) for key in claim.keys}
    known = [key for key in claim.keys if math.isfinite(grown[key][0].estimate)]
    again = f"{count(claim.keys[0], GROWTHS[0][1])}; {MEASURE}"
    if not known:
        return undecided(claim, f"multiply-adds of {joined(claim.keys)}", again)
    words = {
        key: worst(word_on(claim.claimed, ratio) for ratio in (grown[key][0], *(one.ratio for one in timed[key])))
        for key in known
    }
    derived = "; ".join(f"{key}: {_growth_text(grown[key])}" for key in known)
    said = "; ".join(f"{where(one)} {times(one.ratio)}" for key in known for one in timed[key])
    each = joined(f"{key} {word}" for key, word in words.items())
    reason = f"from {GROWTHS[0][0]} to {GROWTHS[0][1]} frames: {each}; latency: {said or f'not measured, {MEASURE}'}"
    return verdict_on(claim, worst(words.values()), derived, reason, again)


def _growth(plain: pd.DataFrame, key: str, short: int, long: int) -> Interval:
    return exact_ratio(_macs(plain, key, long), _macs(plain, key, short))


def _longer_over_shorter(plain: pd.DataFrame, key: str, paired: PairedRatios) -> list[Timed]:
    short, long = GROWTHS[0]
    return latency_ratios(plain[plain["model"] == key], {"frames": long}, {"frames": short}, paired)


def _growth_text(ratios: Sequence[Interval]) -> str:
    known = zip(GROWTHS, ratios, strict=True)
    return joined(f"{a} to {b} frames {times(ratio)}" for (a, b), ratio in known if math.isfinite(ratio.estimate))


def count(key: str, frames: int) -> str:
    """The command that counts one clip."""
    return f"vbench count {key} --frames {frames}"


def _speed_up_a_video(claim: Claim, evidence: Evidence) -> Judged:
    """How many times as long its rivals take for a video by their published views; the claim names none of them."""
    ours, *rivals = (protocol_of(key) for key in claim.keys)
    plain = default_setting(evidence.costs)
    views = {rival["key"]: _views(rival) / _views(ours) for rival in rivals}
    macs = {one["key"]: _macs_at(plain, one["key"], one) for one in (ours, *rivals)}
    counted = {key: exact_ratio(macs[key], macs[ours["key"]]) for key in views}
    timed = {rival["key"]: latency_ratios(plain, axes_of(rival), axes_of(ours), evidence.paired) for rival in rivals}
    beside = f"multiply-adds over those of {ours['key']}: {_by_rival(counted, views)}; {_printed_flops()}"
    measured = [(key, one) for key, found in timed.items() for one in found]
    if not measured:
        return _not_timed(claim, beside)
    word = best(word_on(claim.claimed, scaled(one.ratio, views[key])) for key, one in measured)
    told = "; ".join(
        f"{_of_views(key, one.ratio, views[key])}, on {one.first.hardware}{in_pairs(one)}" for key, one in measured
    )
    derived = f"latency over that of {ours['key']}: {told}"
    return verdict_on(claim, word, derived, f"{beside}{_open(word)}", MEASURE)


def protocol_of(key: str) -> dict[str, Any]:
    """The first published row of a model on Kinetics-400: its clip, and its views where they are known."""
    rows = k400_rows(published_frame())
    return {str(name): value for name, value in rows[rows["key"] == key].iloc[0].items()}


def _views(protocol: Mapping[str, Any]) -> float:
    return float(protocol["views_spatial"] * protocol["views_temporal"])


def axes_of(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The axes of a cell that the protocol's clip gives."""
    return {"model": protocol["key"], **{axis: int(protocol[axis]) for axis in ("frames", "height", "width")}}


def _by_rival(ratios: Mapping[str, Interval], views: Mapping[str, float]) -> str:
    known = {key: ratio for key, ratio in ratios.items() if math.isfinite(ratio.estimate)}
    return joined(_of_views(key, ratio, views[key]) for key, ratio in known.items()) or "not counted"


def _printed_flops() -> str:
    ours, theirs = (f"{flops / 1e12:g}" for flops in PRINTED_FLOPS)
    ratio = exact_ratio(*reversed(PRINTED_FLOPS))
    return f"the paper prints {ours} and {theirs} TFLOPs a video, {times(ratio)} with SlowFast R50"


def _of_views(rival: str, ratio: Interval, views: float) -> str:
    return f"{rival} {times(ratio)} a view, {times(scaled(ratio, views))} a video of {views:g} times the views"


def clips_compared(claims: Iterable[Claim]) -> list[Cell]:
    """The cells whose multiply-adds these claims need, each once."""
    cells: list[Cell] = []
    for claim in claims:
        lengths = LENGTHS.get(claim.method, ())
        cells += [Cell(model=key, frames=n, height=CROP, width=CROP) for key in claim.keys for n in lengths]
        if claim.method == OF_VIDEO:
            cells += [Cell(**axes_of(protocol_of(key))) for key in claim.keys]
    return list(dict.fromkeys(cells))


RATIO_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    SPEED_UP: _factorised_speed_up,
    LONGER: _cost_of_longer_clips,
    OF_VIDEO: _speed_up_a_video,
}
