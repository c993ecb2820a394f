"""Claims on how far models see, and what it costs them: accuracy and views, longest clips, receptive fields, frames.

Costs are counted, each at its model's own clip, and longest clips predicted: nothing here needs a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from vbench import units
from vbench.analysis.claims.band import AGREES, CONTRADICTED, band_of
from vbench.analysis.claims.claim import MEMORIES_BYTES, Claim, Evidence, Judged, Limit, joined, undecided, verdict_on
from vbench.analysis.comparison import k400_rows, published_frame
from vbench.analysis.frame import DefaultClip, at_default_clip, default_clips
from vbench.analysis.views import FPS, views_frame

LIKE_ACCURACY, MULTI_CROP, LENGTH, FIELD, FRAME_COST, SECONDS = (
    "cost at like accuracy", "views of a video", "practical length", "receptive field", "cost of a frame",
    "sampled seconds",
)  # fmt: skip
COUNTED = (LIKE_ACCURACY, MULTI_CROP, FIELD, FRAME_COST, SECONDS)  # that need the default clips of their keys
LIKE = 1.0  # points of top-1
WITHIN = 0.02  # of a ratio of printed figures
ABOUT = 2.0  # times as long is no longer "about"
CONVOLUTIONAL = ("c3d", "i3d", "slowfast")  # families
MODES = ("infer", "train")

Row = Any


def _cost_at_like_accuracy(claim: Claim, evidence: Evidence) -> Judged:
    """The ratio of two models' costs, and whether the accuracies that these costs were published with are alike."""
    rows, again = _protocols(claim, evidence), "; ".join(f"vbench count {key}" for key in claim.keys)
    if len(rows) < len(claim.keys):
        return undecided(claim, f"the multiply-adds of {joined(claim.keys)} at their published clips", again)
    cheap, dear, *others = rows
    a_view = dear.macs / cheap.macs
    derived = (
        f"{_view(cheap)}; {_view(dear)}: {units.three_digits(a_view)} times a view, "
        f"{units.three_digits(dear.macs_protocol / cheap.macs_protocol)} times a video"
    )
    as_claimed, gap = abs(a_view / float(claim.claimed) - 1) <= WITHIN, dear.top1 - cheap.top1
    said = "as claimed" if as_claimed else "not as claimed"
    reason = f"the ratio of views is {said}; the accuracies lie {gap:.1f} points apart"
    for other in others:
        reason += (
            f"; {_view(other)}, {dear.top1 - other.top1:.1f} points apart, is "
            f"{units.three_digits(dear.macs / other.macs)} times cheaper a view and "
            f"{units.three_digits(dear.macs_protocol / other.macs_protocol)} times a video"
        )
    holds = as_claimed and abs(gap) <= LIKE
    return verdict_on(claim, AGREES if holds else CONTRADICTED, derived, f"{reason}; top-1 is quoted", again)


def _view(row: Row) -> str:
    return f"{row.model} {units.macs(row.macs)} a view, {row.protocol} views, {row.top1:.1f} %"


def _protocols(claim: Claim, evidence: Evidence) -> list[Row]:
    """Each model's published protocol of the best top-1 with its counted cost, in the claim's order, where known."""
    rows = views_frame(evidence.counted, published_frame())
    best = rows[rows["protocol"] != ""].sort_values("top1", ascending=False).drop_duplicates("model")
    known = {row.model: row for row in best.itertuples()}
    return [known[key] for key in claim.keys if key in known]


def _views_of_a_video(claim: Claim, evidence: Evidence) -> Judged:
    """What a video costs by each published protocol, over what a view costs."""
    rows = _protocols(claim, evidence)
    if not rows:
        return undecided(claim, f"the cost of a view of {joined(claim.keys)}", f"vbench count {claim.keys[0]}")
    ratios = {row.model: row.macs_protocol / row.macs for row in rows}
    derived = "; ".join(f"{row.model}: {row.protocol}, a video costs {ratios[row.model]:g} views" for row in rows)
    same = [model for model, ratio in ratios.items() if ratio == float(claim.claimed)]
    word = AGREES if len(same) == len(ratios) else CONTRADICTED
    reason = f"{claim.claimed} views for {joined(same) or 'none'}, {len(same)} of {len(ratios)} published protocols"
    return verdict_on(claim, word, derived, f"{reason}; views run one after another", "vbench claims; vbench tables")


def _practical_length(claim: Claim, evidence: Evidence) -> Judged:
    """The longest clips that memories hold, for inference and for training, against the claimed lengths."""
    usual, most = (int(part) for part in claim.claimed.split("; "))
    asked, again = limits_reached(claim), f"vbench fit {claim.keys[0]} --memory 16GB"
    if any(limit not in evidence.longest for limit in asked):
        return undecided(claim, f"the longest clips of {joined(claim.keys)} by predicted peaks", again)
    longest = {limit: evidence.longest[limit] for limit in asked}
    derived = "; ".join(
        f"{key}: {joined(str(longest[limit]) for limit in asked if (limit.model, limit.mode) == (key, mode))} ({mode})"
        for key in claim.keys
        for mode in MODES
    )
    beyond = [limit for limit, frames in longest.items() if frames > most]
    holds = max(longest.values()) <= ABOUT * usual
    sizes = ", ".join(f"{memory / 1e9:g}" for memory in MEMORIES_BYTES)
    reason = (
        f"frames in {sizes} GB, predicted, at the model's own crop; more than {most}: {_named(beyond) or 'none'}; "
        f"the longest clip published on Kinetics-400 has {k400_rows(published_frame())['frames'].max():.0f} frames"
    )
    return verdict_on(claim, AGREES if holds else CONTRADICTED, derived, reason, again)


def _named(limits: Iterable[Limit]) -> str:
    """The models and modes of the limits, each with its least memory."""
    least: dict[tuple[str, str], int] = {}
    for limit in limits:
        least.setdefault((limit.model, limit.mode), limit.memory_bytes)
    return joined(f"{model} ({mode}) from {memory / 1e9:g} GB on" for (model, mode), memory in least.items())


def limits_reached(claim: Claim) -> list[Limit]:
    """The longest clips that a claim on practical lengths asks for, by model and mode, smallest memory first."""
    if claim.method != LENGTH:
        return []
    each = product(claim.keys, MODES, MEMORIES_BYTES)
    return [Limit(model=key, mode=mode, memory_bytes=memory) for key, mode, memory in each]


def _receptive_field(claim: Claim, evidence: Evidence) -> Judged:
    """How many frames of its own clip one position of a convolutional network's last features can see."""
    clips = _clips(claim, evidence)
    fields = {key: evidence.receptive_frames[key] for key in claim.keys if key in evidence.receptive_frames}
    if not fields or len(clips) < len(fields):
        return undecided(claim, f"the receptive fields of {joined(claim.keys)} along time", "vbench claims")
    low, high = band_of(claim.claimed)
    seen = {key: min(frames, clips[key]["frames"]) for key, frames in fields.items()}
    beyond = [key for key, frames in seen.items() if not low <= frames <= high]
    derived = "; ".join(
        f"{key}: field of {frames} frames, clip of {clips[key]['frames']} at stride {clips[key]['stride']}"
        for key, frames in fields.items()
    )
    short = [key for key, frames in fields.items() if frames < clips[key]["frames"]]
    limited = (
        f"the kernels for {joined(short)}, by the clip for the others" if short else "its clip, not by the kernels"
    )
    reason = (
        f"one position sees {joined(f'{frames} ({key})' for key, frames in seen.items())} frames of the clip, outside "
        f"{claim.claimed} for {joined(beyond) or 'none'}; it is limited by {limited}, and the mean before the "
        "classifier sees the whole clip"
    )
    return verdict_on(claim, CONTRADICTED if beyond else AGREES, derived, reason, "vbench claims")


def _clips(claim: Claim, evidence: Evidence) -> dict[str, DefaultClip]:
    known = default_clips(evidence.counted)
    return {key: known[key] for key in claim.keys if key in known}


def _cost_of_a_frame(claim: Claim, evidence: Evidence) -> Judged:
    """Multiply-adds a frame of every convolutional network against those of every transformer, each at its own clip."""
    cells = evidence.counted[at_default_clip(evidence.counted) & evidence.counted["model"].isin(claim.keys)]
    cells = cells.drop_duplicates("model")
    cells = cells.assign(a_frame=cells["macs"].astype("float64") / cells["frames"].astype("float64"))
    is_convolutional = cells["family"].isin(CONVOLUTIONAL)
    convolutional, others = cells[is_convolutional], cells[~is_convolutional]
    again = "; ".join(f"vbench count {key}" for key in claim.keys)
    if convolutional.empty or others.empty:
        return undecided(claim, "the multiply-adds of convolutional networks and of transformers", again)
    derived = "; ".join(
        f"{row['model']} {units.macs(row['a_frame'])} a frame of {row['height']} x {row['width']}"
        for row in cells.to_dict("records")
    )
    dearer = sum(int((others["a_frame"] < cost).sum()) for cost in convolutional["a_frame"])
    of = len(convolutional) * len(others)
    reason = f"the convolutional network is the dearer one in {dearer} of {of} pairs, frame by frame; accuracies differ"
    return verdict_on(claim, AGREES if 2 * dearer > of else CONTRADICTED, derived, reason, again)


def _sampled_seconds(claim: Claim, evidence: Evidence) -> Judged:
    """What a clip covers: at least from its first frame to its last, at most with the stride behind the last one."""
    clips = _clips(claim, evidence)
    if not clips:
        return undecided(claim, f"the clip of {joined(claim.keys)}", f"vbench show {claim.keys[0]}")
    ((key, clip),) = clips.items()
    most = clip["frames"] * clip["stride"] / FPS
    least = (clip["frames"] - 1) * clip["stride"] / FPS
    derived = (
        f"{clip['frames']} frames at stride {clip['stride']}: {least:.1f} s from the first to the last, "
        f"{most:.1f} s with the stride behind it"
    )
    word = AGREES if least <= float(claim.claimed) <= most else CONTRADICTED
    return verdict_on(claim, word, derived, f"at {FPS:g} source frames a second", f"vbench show {key}")


REACH_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    LIKE_ACCURACY: _cost_at_like_accuracy,
    MULTI_CROP: _views_of_a_video,
    LENGTH: _practical_length,
    FIELD: _receptive_field,
    FRAME_COST: _cost_of_a_frame,
    SECONDS: _sampled_seconds,
}
