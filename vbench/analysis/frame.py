"""Records to one table, one row a cell: what `records.csv` holds.

Where a cell has several records, the row shows the last clean attempt: a measured record goes before one of another
status, a clean one, by a machine at its own pace, before a noisy one, a later one before an earlier one. What nothing
has measured is empty, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import pandas as pd

from vbench.analysis.derived import latency_columns, process_columns, process_peak_bytes, rates, scaling_efficiency
from vbench.analysis.drift import drifts
from vbench.analysis.pace import Pace
from vbench.analysis.roofline import roofline_columns
from vbench.results import Counts, Environment, Measured, Record

COLUMNS = (
    "cell", "model", "kind", "family", "batch", "frames", "height", "width", "tokens", "precision", "mode", "backend",
    "kernel", "kernel_ran", "device", "hardware", "threads", "ranks", "checkpointing", "accumulation", "views",
    "status", "reason", "params", "macs", "flops", "attention_macs", "mixing_extra_macs", "op_bytes",
    "predicted_peak_bytes", "tensor_peak_bytes", "predicted_process_peak_bytes", "peak_memory_bytes",
    "latency_median_s", "latency_low_s", "latency_high_s", "samples", "processes", "stop_reason", "quality",
    "forward_median_s", "compile_s", "serialized_bytes", "logit_error", "backward_dtypes", "batch_norm",
    "clips_per_second", "frames_per_second", "scaling_efficiency", "flops_per_second", "mfu", "matmul_peak_fraction",
    "flops_per_byte", "roofline_bound", "roofline_fraction", "environment",
)  # fmt: skip

TEXT = (
    "cell", "model", "kind", "family", "precision", "mode", "backend", "kernel", "kernel_ran", "device", "hardware",
    "status", "reason", "stop_reason", "quality", "backward_dtypes", "batch_norm", "roofline_bound", "environment",
)  # fmt: skip
WHOLE = (
    "batch", "frames", "height", "width", "tokens", "threads", "ranks", "accumulation", "views", "params", "macs",
    "flops", "attention_macs", "mixing_extra_macs", "op_bytes", "predicted_peak_bytes", "tensor_peak_bytes",
    "predicted_process_peak_bytes", "peak_memory_bytes", "samples", "processes", "serialized_bytes",
)  # fmt: skip


class Unchanging(dict[str, Any]):
    """What rides along with a frame. pandas copies it for every slice, half of the time of a guide."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Unchanging:
        """Itself: nothing changes it."""
        return self


class DefaultClip(TypedDict):
    """A model's own clip: frames, height and width in pixels, stride in source frames, and the model's title."""

    frames: int
    height: int
    width: int
    stride: int
    title: str


def records_frame(records: Iterable[Record], environments: Mapping[str, Environment]) -> pd.DataFrame:
    """One row per cell id with exactly `COLUMNS`, in the order in which cells first appear.

    Times in seconds, memory in bytes, 1 multiply-add = 1 MAC = 2 FLOPs. `threads` is what the cell asked for, else
    what each of its ranks, or its environment, had. Costs and memory are of one rank, clips and FLOPs a second of all;
    `scaling_efficiency` is against the same cell on one rank of the same environment. `frame.attrs["default_clips"]`
    maps each model to its `DefaultClip`, which no column holds; see `default_clips`.
    """
    records = list(records)
    drift, pace = drifts(records), Pace(records)
    shown = last_clean_attempts(records, pace)
    rows = [_row(record, environments, drift.get(record.environment, 0.0), pace) for record in shown]
    _add_efficiency(shown, rows)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, "float64") | dict.fromkeys(WHOLE, "Int64")
    frame = frame.astype(kinds | dict.fromkeys(TEXT, "object") | {"checkpointing": "bool"})
    frame.attrs["default_clips"] = Unchanging(_default_clips(records))
    frame.attrs["strides"] = Unchanging({record.cell.model: record.subject.stride for record in records})
    return frame


def default_clips(frame: pd.DataFrame) -> dict[str, DefaultClip]:
    """The default clip of every model with a record at that clip; empty for a frame read back from CSV."""
    clips: dict[str, DefaultClip] = frame.attrs.get("default_clips", {})
    return clips


def strides(frame: pd.DataFrame) -> dict[str, int]:
    """Source frames between two frames of a clip, of every model; empty for a frame read back from CSV."""
    known: dict[str, int] = frame.attrs.get("strides", {})
    return known


def in_tokens(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows count their extent in tokens of a grid instead of frames and pixels."""
    return frame["cell"].str.contains(r"/g\d+x\d+x\d+/b\d+/", regex=True).astype(bool)


def at_default_clip(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are at the default clip of their model."""
    clips = default_clips(frame)
    extents = zip(frame["model"], frame["frames"], frame["height"], frame["width"], strict=True)
    own = [model in clips and _extent(clips[model]) == tuple(extent) for model, *extent in extents]
    return pd.Series(own, index=frame.index, dtype=bool)


def last_clean_attempts(records: Iterable[Record], pace: Pace) -> list[Record]:
    """The record that stands for each cell id, in the order in which cells first appear."""
    best: dict[str, Record] = {}
    for record in records:
        known = best.get(record.cell.id)
        if known is None or _rank(record, pace) >= _rank(known, pace):
            best[record.cell.id] = record
    return list(best.values())


def _rank(record: Record, pace: Pace) -> tuple[bool, bool]:
    return isinstance(record, Measured), isinstance(record, Measured) and pace.is_clean(record)


def _extent(clip: DefaultClip) -> tuple[int, int, int]:
    return clip["frames"], clip["height"], clip["width"]


def _default_clips(records: Iterable[Record]) -> dict[str, DefaultClip]:
    return {
        record.cell.model: DefaultClip(
            frames=record.cell.frames,
            height=record.cell.height,
            width=record.cell.width,
            stride=record.subject.stride,
            title=record.subject.title,
        )
        for record in records
        if record.subject.is_default_clip
    }


def _row(record: Record, environments: Mapping[str, Environment], drift: float, pace: Pace) -> dict[str, Any]:
    cell, environment = record.cell, environments.get(record.environment)
    row: dict[str, Any] = {
        "cell": cell.id,
        "kind": record.subject.kind,
        "family": record.subject.family,
        "hardware": environment.hardware if environment else "",
        "status": record.status,
        "environment": record.environment,
        **dict.fromkeys(("kernel_ran", "reason", *_TOLD), ""),
        **{axis: getattr(cell, axis) for axis in _AXES},
        "threads": cell.threads or _ranks_threads(record) or (environment.threads if environment else None),
    }
    if record.counts is not None:
        row |= _count_columns(record.counts)
        row["predicted_process_peak_bytes"] = process_peak_bytes(record.counts, environment)
    if isinstance(record, Measured):
        latency = latency_columns(record.processes, drift)
        row |= process_columns(record.processes) | latency | {"stop_reason": record.stop_reason}
        row["quality"] = pace.quality(record, row["quality"])
        row |= rates(cell, record.counts, latency["latency_median_s"])
        achieved = row["flops_per_second"]
        row |= roofline_columns(cell, record.counts, achieved, latency["latency_median_s"], environment)
    else:
        row["reason"] = getattr(record, "reason", "")
    return row


def _ranks_threads(record: Record) -> int | None:
    return record.processes[0].threads if isinstance(record, Measured) else None


def _add_efficiency(records: Sequence[Record], rows: Sequence[dict[str, Any]]) -> None:
    """Set the cells of several ranks beside those that differ from them in nothing else."""
    rates_of = {(row["cell"], row["environment"]): row.get("clips_per_second") for row in rows}
    for record, row in zip(records, rows, strict=True):
        of_one = rates_of.get((replace(record.cell, ranks=1).id, record.environment))
        if record.cell.ranks > 1 and of_one and "clips_per_second" in row:
            row["scaling_efficiency"] = scaling_efficiency(record.cell.ranks, row["clips_per_second"], of_one)


_TOLD = ("stop_reason", "quality", "backward_dtypes", "batch_norm", "roofline_bound")
_AXES = (
    "model", "batch", "frames", "height", "width", "precision", "mode", "backend", "kernel", "device", "ranks",
    "checkpointing", "accumulation", "views",
)  # fmt: skip


def _count_columns(counts: Counts) -> dict[str, Any]:
    grid = counts.tokens
    return {
        "tokens": None if grid is None else grid[0] * grid[1] * grid[2],
        "flops": 2 * counts.macs,
        **{name: getattr(counts, name) for name in _COUNTS},
    }


_COUNTS = ("params", "macs", "attention_macs", "mixing_extra_macs", "op_bytes", "predicted_peak_bytes")
