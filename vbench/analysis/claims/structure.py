"""Claims on what models are and do: their shapes, their streams, sketches of them, and what a paper says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vbench.analysis.claims.claim import Claim, Evidence, Judged, Stream, data, joined, undecided, verdict_on

STREAM_METHOD = "memory stream"
SAME = 1e-5  # relative change of logits that rounding explains


def _memory_stream(claim: Claim, evidence: Evidence) -> Judged:
    """Whether each clip of a stream costs the same once memory is full: then a video's cost is linear in its length."""
    streams = {key: evidence.streams[key] for key in claim.keys if key in evidence.streams}
    if not streams:
        return undecided(claim, f"the cost of {joined(claim.keys)} along a stream")
    linear = {key: len(set(_second_half(stream.macs))) == 1 for key, stream in streams.items()}
    bounded = {key: len(set(_second_half(stream.memory_bytes))) == 1 for key, stream in streams.items()}
    derived = "; ".join(f"{key}: {_growth(stream)}" for key, stream in streams.items())
    quadratic = [key for key, same in linear.items() if not same]
    growing = [key for key, same in bounded.items() if not same]
    reason = f"cost a clip levels off for {joined(key for key in streams if linear[key]) or 'none'}"
    reason += f"; still grows with every clip for {joined(quadratic)}" if quadratic else ""
    reason += f"; memory is not bounded for {joined(growing)}" if growing else ""
    return verdict_on(claim, "contradicted" if quadratic else "agrees", derived, reason, "vbench claims")


def _second_half(values: Sequence[int]) -> Sequence[int]:
    return values[len(values) // 2 :]


def _growth(stream: Stream) -> str:
    first, middle, last = (stream.macs[index] / 1e9 for index in (0, len(stream.macs) // 2, -1))
    remembered = stream.memory_bytes[-1] / 2**20
    return (
        f"{first:.2f}, {middle:.2f}, {last:.2f} GMACs for clips 1, {len(stream.macs) // 2 + 1} and {len(stream.macs)}, "
        f"then {remembered:.0f} MiB of memory"
    )


def _masked_sketch(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the masked sketch costs less than the same attention without a mask."""
    masked, full, skipping = evidence.masked_strided_macs, evidence.full_macs, evidence.strided_macs
    derived = f"without a mask {full:,} MACs, masked {masked:,}, skipping {skipping:,}, of attention at 8x14x14"
    saves = masked < full
    reason = "the mask saves products" if saves else "the mask comes after the product that it should have saved"
    return verdict_on(claim, "agrees" if saves else "contradicted", derived, reason, "vbench claims")


def _window_shift(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the shift is half of a window or half of the video."""
    size, shift, video = evidence.window
    derived = f"windows of {size} tokens are shifted by {shift} in a video of {video} tokens"
    if shift == tuple(extent // 2 for extent in size):
        verdict, reason = "contradicted", "half of the window, rounded down, whatever the video's T, H and W"
    elif shift == tuple(extent // 2 for extent in video):
        verdict, reason = "agrees", "half of the video"
    else:
        verdict, reason = "undecided", "neither half of the window nor half of the video"
    return verdict_on(claim, verdict, derived, reason, "vbench show video_swin_t")


def _stage_pooling(claim: Claim, evidence: Evidence) -> Judged:
    """Which axes the real model halves between its stages, and what becomes of its channels."""
    if not evidence.stages:
        return undecided(claim, "the stages of mvit_b_16x4")
    pairs = list(zip(evidence.stages, evidence.stages[1:], strict=False))
    halved = [
        joined(axis for axis, a, b in zip("THW", before, after, strict=False) if a == 2 * b) for before, after in pairs
    ]
    doubled = [2 * before[3] == after[3] for before, after in pairs]
    derived = " -> ".join("x".join(map(str, stage[:3])) + f" of {stage[3]}" for stage in evidence.stages)
    holds = all(axes == "T, H, W" for axes in halved) and all(doubled)
    reason = (
        f"between stages {joined(dict.fromkeys(halved))} are halved"
        f" and channels are {'doubled' if all(doubled) else 'not always doubled'}"
    )
    return verdict_on(claim, "agrees" if holds else "contradicted", derived, reason, "vbench show mvit_b_16x4")


def _blind_class_token(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the class token of the printed sketch knows anything of the video."""
    found = evidence.class_token
    if found is None:
        return undecided(claim, "the sketch's logits on two videos")
    derived = (
        f"logits of two videos differ by {found.logits_change:.1e}, gradient to the video {found.input_gradient:.1e}"
    )
    blind = found.logits_change < SAME and found.input_gradient == 0
    reason = "the output ignores the video" if blind else "the output depends on the video"
    return verdict_on(claim, "contradicted" if blind else "agrees", derived, reason, "vbench claims")


def _backward_precision(claim: Claim, evidence: Evidence) -> Judged:
    """The types in which the products of a backward pass run under autocast."""
    if not evidence.backward_dtypes:
        return undecided(claim, "the types of a backward pass under autocast")
    kinds = sorted(set(evidence.backward_dtypes))
    holds = kinds == ["float32"]
    reason = f"under autocast to {evidence.autocast_dtype} the backward products run in {joined(kinds)}"
    verdict = "agrees" if holds else "contradicted"
    return verdict_on(claim, verdict, f"{len(evidence.backward_dtypes)} products", reason, "vbench claims")


def _quantised_block(claim: Claim, evidence: Evidence) -> Judged:
    """What dynamic INT8 does to a block whose attention is nn.MultiheadAttention."""
    found = evidence.quantised
    if found is None:
        return undecided(claim, "a quantised block on disk")
    ratio = found.fp32_bytes / found.int8_bytes
    derived = f"{found.fp32_bytes:,} bytes become {found.int8_bytes:,}: {ratio:.2f} times smaller"
    left = f"left in fp32: {joined(found.untouched)}" if found.untouched else "every product's weight was quantised"
    holds = not found.untouched and ratio >= 0.95 * 4
    return verdict_on(claim, "agrees" if holds else "contradicted", derived, left, "vbench claims")


def _reading(claim: Claim, _evidence: Evidence) -> Judged:
    """What a source says, as somebody read it: nothing here is computed."""
    readings = data("readings.csv")
    (reading,) = readings[readings["id"] == claim.id].to_dict("records")
    found = f"{reading['found']} ({reading['source']})"
    return verdict_on(claim, str(reading["verdict"]), "read, not computed", found, "vbench claims")


STRUCTURE_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    STREAM_METHOD: _memory_stream,
    "masked sketch": _masked_sketch,
    "window shift": _window_shift,
    "stage pooling": _stage_pooling,
    "class token": _blind_class_token,
    "backward precision": _backward_precision,
    "quantised block": _quantised_block,
    "reading": _reading,
}
