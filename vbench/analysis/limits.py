"""The limits of the guide's question: which one a model breaks first, and by how much.

Memory is held against the measured peak of the process, and where there is none against the predicted one.
"""

from __future__ import annotations

import math

from vbench import units
from vbench.analysis.choice import Choice, Question
from vbench.analysis.protocol import Protocol


def unmeasured(protocol: Protocol, column: str, command: str) -> tuple[str, str] | None:
    """The kind and the words of why the protocol has no cost; None where it has one."""
    statuses = set(protocol.cells["status"])
    if statuses and statuses <= {"failed", "skipped"}:
        last = protocol.cells.iloc[-1]
        return "failed", f"{last['status']}: {last['reason']}"
    return None if protocol.cost(column) is not None else ("not measured", f"not measured; {command}")


def broken_limit(choice: Choice, question: Question) -> tuple[str, str] | None:
    """The kind and the words of the first limit that the choice breaks; None where it keeps them all."""
    return _too_slow(choice, question) or _too_large(choice, question) or _too_inaccurate(choice, question)


def _too_slow(choice: Choice, question: Question) -> tuple[str, str] | None:
    limit, taken, low = question.max_latency_s, choice.latency_video_s or math.inf, choice.latency_video_low_s
    if limit is None or taken <= limit:
        return None
    perhaps = f"; its interval begins at {units.seconds(low)}" if low is not None and low <= limit else ""
    return "latency", f"latency {units.seconds(taken)} > {units.seconds(limit)}{perhaps}"


def _too_large(choice: Choice, question: Question) -> tuple[str, str] | None:
    limit, measured, predicted = question.max_memory_bytes, choice.peak_memory_bytes, choice.predicted_peak_bytes
    needed = predicted if measured is None else measured
    if limit is None:
        return None
    if needed is None:
        return "memory", "peak memory neither measured nor predicted"
    kind = "predicted peak" if measured is None else "peak"
    return ("memory", f"{kind} memory {units.size(needed)} > {units.size(limit)}") if needed > limit else None


def _too_inaccurate(choice: Choice, question: Question) -> tuple[str, str] | None:
    least = question.min_top1
    if least is None:
        return None
    if choice.top1 is None:
        return "top-1", "top-1 not published at this clip"
    if choice.top1 < least:
        return "top-1", f"top-1 {units.accuracy(choice.top1)} % < {units.accuracy(least)} %"
    return None
