"""`Comparison`: what the pairs of two sides say, with their counts and memory; a document for people and programs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vbench.analysis.sequential import (
    REPLAYS,
    Bounds,
    Look,
    Verdict,
    minimum_detectable_effect,
    ratio_of,
    replayed_error_rate,
)
from vbench.comparing.course import Course
from vbench.measure.pairs import Pair
from vbench.measure.turns import Side
from vbench.results import Counts
from vbench.stats import median


@dataclass(frozen=True, kw_only=True, slots=True)
class SideFigures:
    """What was found of one side."""

    name: str
    cell: str
    extent: tuple[int, int, int]  # frames, height and width: of a clip in pixels, of a pattern's grid in tokens
    latency_s: float  # median over pairs, of a forward's own time: without waiting for a core that others had
    wall_s: float  # the same with it
    peak_memory_bytes: int  # of the process, median over pairs
    params: int
    macs: int
    attention_macs: int
    predicted_peak_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two sides, and what their pairs say: `ratio` is time of B / time of A, `slower` means that B is."""

    ratio: float
    low: float
    high: float
    verdict: Verdict
    pairs: int
    minimum_detectable_effect: float  # a slow-down, as a fraction, found with 80 % chance at the pairs done
    margin: float
    alpha: float  # the chance, over all looks, that equal sides are called different
    level: float  # of the last look: the interval's confidence is 1 - level
    looks: tuple[int, ...]  # pairs at which there was one
    kept_pairs: int  # by which the last look judged: the others were disturbed
    planned_pairs: int
    aa_rate: float  # how often these pairs, made into equal sides by random signs, would have been called different
    aa_replays: int
    stop_reason: str
    elapsed_s: float
    a: SideFigures
    b: SideFigures
    measured: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON document; a figure that is not known is null."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def comparison_of(
    sides: tuple[Side, Side], counts: tuple[Counts, Counts], course: Course, elapsed_s: float
) -> Comparison:
    """What a course that has come to its end says."""
    last = course.last if course.looks else _no_look(course.log_ratios)
    return Comparison(
        ratio=ratio_of(last.bounds.estimate), low=ratio_of(last.bounds.low), high=ratio_of(last.bounds.high),
        verdict=course.verdict, pairs=len(course.done),
        minimum_detectable_effect=minimum_detectable_effect(last.bounds),
        margin=course.margin, alpha=course.alpha, level=last.level,
        looks=tuple(look.pairs for look in course.looks), kept_pairs=len(last.kept), planned_pairs=course.planned,
        aa_rate=replayed_error_rate(course.log_ratios, course.looks), aa_replays=REPLAYS,
        stop_reason=course.stop_reason, elapsed_s=elapsed_s,
        a=_figures(sides[0], counts[0], course.done, 0), b=_figures(sides[1], counts[1], course.done, 1),
        measured=tuple(course.done),
    )  # fmt: skip


def _no_look(log_ratios: list[float]) -> Look:
    """What stands for a look where there were too few pairs for one."""
    seen = Bounds(median(log_ratios), -math.inf, math.inf, math.nan, math.nan, math.nan)
    return Look(pairs=len(log_ratios), kept=(), level=math.nan, bounds=seen)


def _figures(side: Side, counts: Counts, pairs: list[Pair], index: int) -> SideFigures:
    return SideFigures(
        name=side.label, cell=side.cell.id, extent=(side.cell.frames, side.cell.height, side.cell.width),
        latency_s=median([pair.latency_s[index] for pair in pairs]),
        wall_s=median([pair.wall_s[index] for pair in pairs]),
        peak_memory_bytes=round(median([pair.peak_memory_bytes[index] for pair in pairs])),
        params=counts.params, macs=counts.macs, attention_macs=counts.attention_macs,
        predicted_peak_bytes=counts.predicted_peak_bytes,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """Without what JSON has no word for."""
    match value:
        case dict():
            return {key: _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case float() if not math.isfinite(value):
            return None
    return value
