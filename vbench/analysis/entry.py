"""One model's entry in the guide: what it costs here by its protocol, and what was published of its accuracy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from vbench import units
from vbench.analysis.certainty import CLEAN
from vbench.analysis.choice import Choice, Question
from vbench.analysis.comparison import k400_rows
from vbench.analysis.protocol import Protocol, clip_text

LATENCY, MACS = "latency_median_s", "macs"


def entry(
    name: str, protocol: Protocol, published: pd.DataFrame, question: Question, *, by_latency: bool, command: str
) -> Choice:
    """The entry of one model; `by_latency`: its cost is measured time, else counted multiply-adds.

    `command` is the sweep that measures its cell.
    """
    clip, views = protocol.clip, protocol.views
    measured = protocol.cheapest(LATENCY) if by_latency else None
    counted = protocol.cheapest(MACS)
    view_s, low_s, high_s = _latencies(measured)
    accuracy, published_views = _accuracy(published, name, protocol)
    memory = protocol.cells["peak_memory_bytes"].dropna() if by_latency else ()
    says = "latency measured" if by_latency else "latency not measured, ranked by counted MACs"
    choice = Choice(
        name=name,
        latency_s=view_s,
        latency_video_s=_times(view_s, views),
        coverage_s=views * clip["frames"] * clip["stride"] / question.fps,
        peak_memory_bytes=int(max(memory)) if len(memory) else None,
        basis=f"{protocol.name}: {views} x {clip_text(clip)}; {says}",
        views=views,
        views_published=published_views,
        latency_video_low_s=_times(low_s, views),
        latency_video_high_s=_times(high_s, views),
        latency_published_s=_times(view_s, published_views),
        latency_published_low_s=_times(low_s, published_views),
        latency_published_high_s=_times(high_s, published_views),
        macs_video=None if counted is None else views * int(counted[MACS]),
        predicted_peak_bytes=_predicted_peak(protocol),
        quality="" if measured is None else str(measured["quality"]),
        doubts=(),
        cell=str(next((cell["cell"] for cell in (measured, counted) if cell is not None), "")),
        reproduce=command,
        **accuracy,
    )
    return replace(choice, doubts=_doubts(choice, question))


def _latencies(cell: pd.Series[Any] | None) -> tuple[float | None, float | None, float | None]:
    """The latency of one view and the bounds of its interval; None where there is none."""
    if cell is None:
        return None, None, None
    estimate, low, high = (float(cell[f"latency_{part}_s"]) for part in ("median", "low", "high"))
    return (estimate, low, high) if math.isfinite(low) and math.isfinite(high) else (estimate, None, None)


def _times(value: float | None, views: int | None) -> float | None:
    return None if value is None or views is None else views * value


def _predicted_peak(protocol: Protocol) -> int | None:
    """The process's predicted peak, else that of its tensors alone."""
    for column in ("predicted_process_peak_bytes", "predicted_peak_bytes"):
        known = protocol.cells[column].dropna()
        if not known.empty:
            return int(known.max())
    return None


def _accuracy(published: pd.DataFrame, name: str, protocol: Protocol) -> tuple[dict[str, Any], int | None]:
    """The best published top-1 at exactly the protocol's clip, and its views; a stretched single view has none."""
    clip, rows = protocol.clip, _with_accuracy(k400_rows(published), name)
    same = rows[(rows["frames"] == clip["frames"]) & (rows["height"] == clip["height"])]
    if protocol.name == "single" or same.empty:
        unknown = dict.fromkeys(("top1_row", "top1_source", "top1_clip", "top1_views", "pretrain"), "")
        source = f"not published at this clip{_published_elsewhere(published, name)}"
        return {"top1": None} | unknown | {"top1_source": source}, None
    best = same.sort_values("metric", ascending=False, kind="stable").iloc[0]
    spatial, temporal = best["views_spatial"], best["views_temporal"]
    has_views = pd.notna(spatial) and pd.notna(temporal)
    return {
        "top1": float(best["metric"]),
        "top1_row": f"{best['architecture']} {best['variant']}",
        "top1_source": best["source"],
        "top1_clip": clip_text(clip),
        "top1_views": f"{spatial:.0f}x{temporal:.0f}" if has_views else "",
        "pretrain": best["pretrain"],
    }, int(spatial * temporal) if has_views else None


def best_top1(published: pd.DataFrame, name: str) -> float | None:
    """The best top-1 on Kinetics-400 that was published of the model at any clip, in percent."""
    best = _with_accuracy(k400_rows(published), name)["metric"].max()
    return float(best) if pd.notna(best) else None


def _published_elsewhere(published: pd.DataFrame, name: str) -> str:
    """What was published of the model on other data sets and tasks: no figure of it is a top-1 on Kinetics-400."""
    rows = _with_accuracy(published[published["dataset"] != "K400"], name)
    figures = [f"{row['metric']:g} {row['metric_name']} on {row['dataset']}" for _, row in rows.iterrows()]
    return f"; of another kind: {', '.join(figures)}" if figures else ""


def _with_accuracy(published: pd.DataFrame, name: str) -> pd.DataFrame:
    return published[(published["key"] == name) & published["metric"].notna()]


def _doubts(choice: Choice, question: Question) -> tuple[str, ...]:
    """What makes the entry less sure than it looks."""
    limit, high, taken = question.max_latency_s, choice.latency_video_high_s, choice.latency_video_s
    doubts = []
    if choice.quality not in ("", CLEAN):
        doubts.append(f"measured while the machine was not quiet ({choice.quality.partition(';')[0]})")
    if taken is not None and high is None:
        doubts.append("measured in one process: no interval")
    if limit is not None and taken is not None and high is not None and taken <= limit < high:
        doubts.append(f"its interval reaches to {units.seconds(high)}, beyond the limit of {units.seconds(limit)}")
    if choice.peak_memory_bytes is None and question.max_memory_bytes is not None:
        doubts.append("its peak memory is predicted, not measured")
    return tuple(doubts)
