"""What follows from a measured record: latency over processes, peaks, and rates. Pure functions of observations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vbench.cell import Cell
from vbench.results import Counts, Environment, ProcessRun
from vbench.stats import UNKNOWN, median, median_interval


def latency_columns(processes: Sequence[ProcessRun], drift: float = 0.0) -> dict[str, float]:
    """The latency in seconds: the median over processes of each process's median, with its 95 % interval.

    The interval is over processes, not samples: what one process says of its own spread tells little about the next
    one. It is widened by the `drift` that the processes of a cell share (`vbench.analysis.drift`). A single process
    has no interval (NaN bounds).
    """
    interval = median_interval([median(run.latency_s) for run in processes], drift=drift)
    return {
        "latency_median_s": interval.estimate,
        "latency_low_s": interval.low,
        "latency_high_s": interval.high,
    }


def process_columns(processes: Sequence[ProcessRun]) -> dict[str, Any]:
    """What a cell's processes observed together: peaks in bytes are the largest, kernels are joined."""
    tensor_peaks = [run.tensor_peak_bytes for run in processes if run.tensor_peak_bytes is not None]
    return {
        "kernel_ran": _joined(run.kernel_ran for run in processes),
        "tensor_peak_bytes": max(tensor_peaks, default=None),
        "peak_memory_bytes": max(run.peak_memory_bytes for run in processes),
        "samples": sum(len(run.latency_s) for run in processes),
        "processes": len(processes),
        "quality": _quality(processes),
        "forward_median_s": _median_of([median(run.forward_s) for run in processes if run.forward_s]),
        "compile_s": _median_of([run.compile_s for run in processes if run.compile_s is not None]),
        "serialized_bytes": next((run.serialized_bytes for run in processes if run.serialized_bytes is not None), None),
        "logit_error": next((run.logit_error for run in processes if run.logit_error is not None), UNKNOWN),
        "backward_dtypes": _joined(dtype for run in processes for dtype in run.backward_dtypes),
        "batch_norm": _joined(run.batch_norm for run in processes),
    }


def _median_of(values: Sequence[float]) -> float:
    """Over processes; unknown where none saw it."""
    return median(values) if values else UNKNOWN


def process_peak_bytes(counts: Counts, environment: Environment | None) -> int | None:
    """Predicted peak of a process that runs the cell: floor + tensor peak + workspace; None where one is not known.

    On CUDA the floor is the context, which a measured peak, what the allocator reserved, does not hold.
    """
    if counts.workspace_bytes is None or environment is None or not environment.floor_bytes:
        return None
    return environment.floor_bytes + counts.predicted_peak_bytes + counts.workspace_bytes


def rates(cell: Cell, counts: Counts, latency_s: float) -> dict[str, float]:
    """Clips, frames of those clips, and FLOPs a second at this latency (1 MAC = 2 FLOPs).

    A step of training takes in its batch as often as it accumulates, on each of its ranks. A grid of tokens has no
    frames: its frames a second stay unknown.
    """
    clips = cell.batch * cell.accumulation * cell.ranks
    frames = cell.frames * clips if cell.unit == "pixels" else UNKNOWN
    return {
        "clips_per_second": clips / latency_s,
        "frames_per_second": frames / latency_s,
        "flops_per_second": 2 * counts.macs * cell.ranks / latency_s,
    }


def scaling_efficiency(ranks: int, clips_per_second: float, clips_per_second_of_one: float) -> float:
    """What `ranks` ranks take in, over as many times what one does: 1 where none slows the others down.

    Scaling is weak: each rank has a batch of the cell's size. Where one rank has all cores of a processor and several
    share them out, their sum cannot reach this; `threads` of the cell makes them equal.
    """
    return clips_per_second / (ranks * clips_per_second_of_one)


def _quality(processes: Sequence[ProcessRun]) -> str:
    """Clean where every process was; else what disturbed the one with most to tell, and how many others there were."""
    noisy = [run.quality for run in processes if run.quality != "clean"]
    if not noisy:
        return "clean"
    others = f" (and {len(noisy) - 1} more of {len(processes)} processes)" if len(noisy) > 1 else ""
    return max(noisy, key=lambda quality: quality.count(";")) + others


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(word for word in words if word))
