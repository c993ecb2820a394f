"""What the guide is asked and what it answers: the question, the choices, what was ruled out, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vbench.errors import AxisError, unknown_name

DEVICES = ("cpu", "cuda")
LONGEST_FRAMES = 10**9  # a year of video at 30 frames a second: more is a slip of the keyboard


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A video of `source_frames` at `fps` and the limits on its cost: seconds, bytes, percent; None: no limit."""

    source_frames: int
    fps: float
    single: bool = False
    size: int | None = None
    device: str | None = None
    max_latency_s: float | None = None
    max_memory_bytes: int | None = None
    min_top1: float | None = None

    @property
    def seconds(self) -> float:
        """The length of the video."""
        return self.source_frames / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A model that can do it. Times in seconds, memory in bytes, `top1` in percent; None: not published, not measured.

    `top1_row` names the published row by architecture and variant. `latency_s` is one view; `latency_video_s` as many
    views as the video takes, `coverage_s` the seconds of video that they span; `latency_published_s` the protocol that
    earned the accuracy, whatever the video. Bounds are 95 % intervals over processes. `predicted_peak_bytes` is the
    process's where that could be predicted, else the tensors'.
    """

    name: str
    top1: float | None
    top1_source: str
    top1_clip: str
    top1_views: str
    pretrain: str
    latency_s: float | None
    latency_video_s: float | None
    coverage_s: float
    peak_memory_bytes: int | None
    basis: str
    top1_row: str
    views: int
    views_published: int | None
    latency_video_low_s: float | None
    latency_video_high_s: float | None
    latency_published_s: float | None
    latency_published_low_s: float | None
    latency_published_high_s: float | None
    macs_video: int | None
    predicted_peak_bytes: int | None
    quality: str
    doubts: tuple[str, ...]
    cell: str
    reproduce: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RuledOut:
    """A model that cannot, or is not known to, and the limit that it does not meet.

    `kind` is latency, memory, top-1, not measured or failed; the figures are those that are known of it.
    """

    name: str
    limit: str
    kind: str
    top1: float | None = None
    latency_video_s: float | None = None
    peak_memory_bytes: int | None = None
    reproduce: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undecided:
    """Two neighbours of the ranking whose costs the measurements do not tell apart, and why.

    `order_rests_on_it`: their order is by cost and may be the other way round; otherwise it is by published accuracy.
    """

    first: str
    second: str
    reason: str
    order_rests_on_it: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """The answer: choices best first, what was ruled out and why, and the names of the Pareto front.

    `front_published` is the front where each accuracy is set against the cost of the views that earned it. `ranked_by`
    is latency or macs. `front_undecided` are the models that the intervals leave on the front or off it.
    """

    ranking: tuple[Choice, ...]
    ruled_out: tuple[RuledOut, ...]
    front: tuple[str, ...]
    front_published: tuple[str, ...]
    question: Question
    hardware: str
    ranked_by: str
    undecided: tuple[Undecided, ...] = ()
    front_undecided: tuple[str, ...] = ()
    explanation: str = ""

    def to_json(self) -> dict[str, Any]:
        """The guide as one JSON object."""
        return asdict(self)


def asked(
    *,
    seconds: float | None,
    fps: float,
    frames: int | None,
    single: bool,
    size: int | None,
    device: str | None,
    max_latency_s: float | None,
    max_memory_bytes: int | None,
    min_top1: float | None,
) -> Question:
    """The question, if it can be one.

    Raises:
        AxisError: not exactly one length is given, or a value cannot be.
        UnknownNameError: no such device.
    """
    if device is not None and device not in DEVICES:
        raise unknown_name("device", device, DEVICES)
    if size is not None and size < 1:
        raise AxisError(f"size is a crop in pixels, at least 1; got {size}")
    if min_top1 is not None and not 1 < min_top1 <= 100:
        raise AxisError(f"min_top1 is an accuracy in percent, as in 80; got {min_top1:g}")
    return Question(
        source_frames=_source_frames(seconds, fps, frames), fps=fps, single=single, size=size, device=device,
        max_latency_s=max_latency_s, max_memory_bytes=max_memory_bytes, min_top1=min_top1,
    )  # fmt: skip


def _source_frames(seconds: float | None, fps: float, frames: int | None) -> int:
    if (seconds is None) == (frames is None):
        given = "neither" if seconds is None else "both"
        raise AxisError(f"say how long the video is by --seconds (with --fps, 30 if not said) or --frames; got {given}")
    if not (math.isfinite(fps) and fps > 0):
        raise AxisError(f"fps must be more than 0 frames a second; got {fps:g}")
    if seconds is not None and not 0 < seconds < math.inf:
        raise AxisError(f"a video lasts more than 0 seconds; got {seconds:g}")
    count = frames if frames is not None else _rounded_up((seconds or 0.0) * fps)
    if not 1 <= count <= LONGEST_FRAMES:
        got = f"{frames:,}" if frames is not None else f"{seconds:g} s at {fps:g} a second"
        raise AxisError(f"a video has 1 to {LONGEST_FRAMES:,} frames; got {got}")
    return count


def _rounded_up(frames: float) -> int:
    return math.ceil(round(min(frames, 2.0 * LONGEST_FRAMES), 6))
