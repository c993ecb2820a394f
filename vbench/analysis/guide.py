"""Which architecture for a clip of so many seconds: a pure function of the records and the published figures.

Accuracy is quoted, and belongs to its clip and views, so each model is costed in two ways: `covering`, as many views of
its own clip as the video needs, which carries the published accuracy; `single`, one view stretched over the whole video
(or the model's longest), whose accuracy nobody published. Only measured latencies are ranked as latencies; where
nothing was measured at all, the order is by counted multiply-adds and every entry says so.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from vbench import units
from vbench.analysis.comparison import default_setting, k400_rows
from vbench.analysis.frame import default_clips
from vbench.analysis.protocol import Protocol, at_size, clip_text, covering, single_view, sweep_command
from vbench.errors import AxisError

DEFAULT_FPS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A model that can do it. Times in seconds, memory in bytes, `top1` in percent; None: not published, not measured.

    `latency_s` is one view, `latency_video_s` the whole protocol, `coverage_s` the seconds of video that it spans.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RuledOut:
    """A model that cannot, or is not known to, and the limit that it does not meet."""

    name: str
    limit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """The answer: choices best first, what was ruled out and why, and the names of the Pareto front."""

    ranking: tuple[Choice, ...]
    ruled_out: tuple[RuledOut, ...]
    front: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The guide as one JSON object."""
        return asdict(self)


def guide(
    frame: pd.DataFrame,
    published: pd.DataFrame,
    *,
    seconds: float | None = None,
    fps: float | None = None,
    frames: int | None = None,
    size: int | None = None,
    device: str | None = None,
    max_latency_s: float | None = None,
    max_memory_bytes: int | None = None,
    min_top1: float | None = None,
    single: bool = False,
) -> Guide:
    """The architectures for a video of `seconds` at `fps` (30 if not said), or of `frames` source frames.

    `size` is a square crop in pixels instead of each model's own; `device` is cpu or cuda, else the one with the most
    measured cells. Best published top-1 first, then cheapest; with `min_top1` in percent, cheapest first. A model is
    compared with others on one machine only.

    Raises:
        AxisError: not exactly one of `seconds` and `frames` is given, or a value is not positive.
    """
    rate = DEFAULT_FPS if fps is None else fps
    source_frames = _source_frames(seconds, rate, frames)
    clips = default_clips(frame)
    networks = default_setting(frame[frame["kind"] == "architecture"])
    cells = _on_one_machine(networks, device)
    named = [model for model in dict.fromkeys(networks["model"]) if model in clips]
    plan = single_view if single else covering
    protocols = {name: plan(cells, name, at_size(clips[name], size), source_frames) for name in named}
    by_latency = max_latency_s is not None or any(p.cost("latency_median_s") for p in protocols.values())
    column = "latency_median_s" if by_latency else "macs"
    accuracies = k400_rows(published)
    out, kept, costs = [], [], {}
    for name, protocol in protocols.items():
        choice = _choice(name, protocol, accuracies, rate, column)
        command = sweep_command(name, protocol.clip, clips[name], device)
        limit = _unmeasured(protocol, column, command)
        limit = limit or _broken_limit(choice, max_latency_s, max_memory_bytes, min_top1)
        if limit:
            out.append(RuledOut(name=name, limit=limit))
        else:
            kept.append(choice)
            costs[name] = protocol.cost(column) or math.inf
    kept.sort(key=lambda choice: (0.0 if min_top1 else -(choice.top1 or 0.0), costs[choice.name]))
    return Guide(ranking=tuple(kept), ruled_out=tuple(out), front=_front(kept, costs))


def _source_frames(seconds: float | None, rate: float, frames: int | None) -> int:
    if (seconds is None) == (frames is None):
        raise AxisError("say how long the video is: either --seconds (with --fps, 30 if not said) or --frames")
    count = frames if frames is not None else math.ceil(round((seconds or 0.0) * rate, 6))
    if rate <= 0 or count < 1:
        raise AxisError(f"a video has at least one frame; got seconds={seconds}, fps={rate}, frames={frames}")
    return count


def _on_one_machine(cells: pd.DataFrame, device: str | None) -> pd.DataFrame:
    """The cells of one device, and of those that were measured only the ones of the hardware with the most."""
    measured = cells[cells["status"] == "measured"]
    if device is None and not measured.empty:
        device = str(measured["device"].mode().iloc[0])
    cells = cells if device is None else cells[cells["device"] == device]
    hardware = cells.loc[cells["status"] == "measured", "hardware"].mode()
    elsewhere = (cells["status"] == "measured") & ~cells["hardware"].isin(hardware.head(1))
    return cells[~elsewhere]


def _choice(name: str, protocol: Protocol, accuracies: pd.DataFrame, rate: float, column: str) -> Choice:
    clip, video_s = protocol.clip, protocol.cost("latency_median_s")
    memory = protocol.cells["peak_memory_bytes"].dropna()
    measured = "latency measured" if column == "latency_median_s" else "latency not measured, ranked by counted MACs"
    return Choice(
        name=name,
        latency_s=None if video_s is None else video_s / protocol.views,
        latency_video_s=video_s,
        coverage_s=protocol.views * clip["frames"] * clip["stride"] / rate,
        peak_memory_bytes=None if memory.empty else int(memory.max()),
        basis=f"{protocol.name}: {protocol.views} x {clip_text(clip)}; {measured}",
        **_accuracy(at_key(accuracies, name), protocol),
    )


def at_key(accuracies: pd.DataFrame, name: str) -> pd.DataFrame:
    """The published rows of one catalog key that have an accuracy, best first."""
    mine = accuracies[(accuracies["key"] == name) & accuracies["metric"].notna()]
    return mine.sort_values("metric", ascending=False, kind="stable")


def _accuracy(rows: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """The best published top-1 at exactly the protocol's clip; a stretched single view has none."""
    clip = protocol.clip
    same = rows[(rows["frames"] == clip["frames"]) & (rows["height"] == clip["height"])]
    if protocol.name == "single" or same.empty:
        unknown = dict.fromkeys(("top1_source", "top1_clip", "top1_views", "pretrain"), "")
        return {"top1": None} | unknown | {"top1_source": "not published at this clip"}
    best = same.iloc[0]
    spatial, temporal = best["views_spatial"], best["views_temporal"]
    return {
        "top1": float(best["metric"]),
        "top1_source": best["source"],
        "top1_clip": clip_text(clip),
        "top1_views": f"{spatial:.0f}x{temporal:.0f}" if pd.notna(spatial) and pd.notna(temporal) else "",
        "pretrain": best["pretrain"],
    }


def _unmeasured(protocol: Protocol, column: str, command: str) -> str:
    """Why the protocol has no cost; empty where it has one."""
    statuses = set(protocol.cells["status"])
    if statuses and statuses <= {"failed", "skipped"}:
        last = protocol.cells.iloc[-1]
        return f"{last['status']}: {last['reason']}"
    return "" if protocol.cost(column) is not None else f"not measured; {command}"


def _broken_limit(choice: Choice, latency_s: float | None, memory_bytes: int | None, top1: float | None) -> str:
    """The first limit that the choice breaks, in words; empty where it keeps them all."""
    if latency_s is not None and (choice.latency_video_s or math.inf) > latency_s:
        return f"latency {units.seconds(choice.latency_video_s or math.inf)} > {units.seconds(latency_s)}"
    if memory_bytes is not None and choice.peak_memory_bytes is None:
        return "peak memory not measured"
    if memory_bytes is not None and (choice.peak_memory_bytes or 0) > memory_bytes:
        return f"peak memory {units.size(choice.peak_memory_bytes or 0)} > {units.size(memory_bytes)}"
    if top1 is not None and choice.top1 is None:
        return "top-1 not published at this clip"
    if top1 is not None and (choice.top1 or 0.0) < top1:
        return f"top-1 {units.accuracy(choice.top1 or 0.0)} % < {units.accuracy(top1)} %"
    return ""


def _front(choices: list[Choice], costs: dict[str, float]) -> tuple[str, ...]:
    """The models that no other beats in both top-1 and cost, cheapest first; without accuracies the cheapest."""
    front: list[str] = []
    best = -math.inf
    for choice in sorted(choices, key=lambda choice: (costs[choice.name], -(choice.top1 or 0.0))):
        if not front or (choice.top1 or 0.0) > best:
            front.append(choice.name)
        best = max(best, choice.top1 or 0.0)
    return tuple(front)
