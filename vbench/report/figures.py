"""Figures of a report: cost against frames, resolution and tokens, one line a model, as PNG and SVG.

A figure compares what may be compared: one setting, one machine, and one held size, the one that most models share.
Rings show the clip lengths at which two models change places, with numbers where they are few and where the cheapest
of all changes. Bars are 95 % intervals over processes. Colours are Okabe and Ito's ("Color Universal Design", 2008),
which every common colour vision tells apart; markers and strokes differ too. A figure without data is not written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vbench import units
from vbench.analysis.comparison import published_frame
from vbench.analysis.crossover import METRICS, Crossover, crossovers
from vbench.analysis.frame import in_tokens
from vbench.analysis.scaling import MEASURED, Axis, Series, comparable
from vbench.analysis.trade_off import trade_off_frame
from vbench.report.accuracy_cost import draw_trade_offs
from vbench.report.drawing import Line, Mark, Plot, draw
from vbench.report.process_peaks import NAME as PROCESS_PEAKS
from vbench.report.process_peaks import process_peaks_plot
from vbench.report.scatter import draw_scatter

AXES: dict[Axis, tuple[str, str]] = {
    "frames": ("frames", "frames of the clip"),
    "resolution": ("resolution", "height of the clip (pixels)"),
    "time": ("tokens in time", "tokens T x H x W"),
    "space": ("tokens in space", "tokens T x H x W"),
}


MOST_NAMED = 6  # of crossings in a figure; of more only those of the cheapest models are named
LEAST_APART = 0.25  # octaves of frames between two numbers


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the records, its title, and how its values and its axis read."""

    column: str
    title: str
    label: str
    text: Callable[[float], str]
    base: int = 10


LATENCY = Metric("latency_median_s", "Latency", "latency of one forward (s)", units.seconds)
MACS = Metric("macs", "Multiply-adds", "multiply-adds of one forward (MACs)", units.macs)
PEAK = Metric("peak_memory_bytes", "Measured peak memory", "peak memory of the process (bytes)", units.size, 2)
PREDICTED = Metric("predicted_peak_bytes", "Predicted peak memory", "predicted peak of tensors (bytes)", units.size, 2)
ATTENTION = Metric("attention_macs", "Attention multiply-adds", "attention cores (MACs)", units.macs)

FIGURES: dict[str, tuple[Metric, Axis]] = {
    "latency_frames": (LATENCY, "frames"),
    "latency_resolution": (LATENCY, "resolution"),
    "macs_frames": (MACS, "frames"),
    "macs_resolution": (MACS, "resolution"),
    "peak_memory_frames": (PEAK, "frames"),
    "peak_memory_resolution": (PEAK, "resolution"),
    "predicted_peak_frames": (PREDICTED, "frames"),
    "predicted_peak_resolution": (PREDICTED, "resolution"),
    "patterns_attention_macs_time": (ATTENTION, "time"),
    "patterns_attention_macs_space": (ATTENTION, "space"),
    "patterns_latency_time": (LATENCY, "time"),
    "patterns_latency_space": (LATENCY, "space"),
}


def write_figures(frame: pd.DataFrame, directory: Path) -> list[Path]:
    """Every figure that has data as `NAME.png` and `NAME.svg`; returns the paths.

    Published accuracies come from the project's own table of them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, (metric, axis) in FIGURES.items():
        plot = plot_of(frame, metric, axis)
        if plot is not None:
            paths += draw(plot, directory / name)
    peaks = process_peaks_plot(frame)
    if peaks is not None:
        paths += draw_scatter(peaks, directory / PROCESS_PEAKS)
    return paths + draw_trade_offs(trade_off_frame(frame, published_frame()), directory)


def plot_of(frame: pd.DataFrame, metric: Metric, axis: Axis) -> Plot | None:
    """What a figure shows of the frame; None where no model has two sizes."""
    chosen = comparable(frame, metric.column, axis)
    if not chosen:
        return None
    models = sorted(set(frame.loc[in_tokens(frame) == (axis in ("time", "space")), "model"]))
    lines = [_line(series, metric, models.index(series.model)) for series in chosen]
    title, label = AXES[axis]
    return Plot(
        title=f"{metric.title} against {title}",
        subtitle=_subtitle(chosen, metric, axis),
        x_label=label,
        y_label=metric.label,
        y_text=metric.text,
        y_base=metric.base,
        lines=lines,
        marks=_marks(_crossings(chosen, metric, axis)),
    )


def _crossings(chosen: Sequence[Series], metric: Metric, axis: Axis) -> list[Crossover]:
    """Where the lines of a figure over clip length cross, in the costs that a model is chosen by."""
    return crossovers(chosen, metric.column) if axis == "frames" and metric.column in METRICS else []


def _marks(crossings: Sequence[Crossover]) -> list[Mark]:
    """A ring for each, and numbers where they have room."""
    named = _named(crossings)
    return [
        Mark(
            x=crossing.frames,
            y=crossing.cost,
            low=crossing.low if crossing.metric in MEASURED else crossing.frames,
            high=crossing.high if crossing.metric in MEASURED else crossing.frames,
            is_faint=not crossing.is_decided,
            is_named=crossing in named,
        )
        for crossing in crossings
    ]


def _named(crossings: Sequence[Crossover]) -> list[Crossover]:
    """The decided crossings that do not crowd one another, those of the cheapest first; of many only these."""
    named: list[Crossover] = []
    for crossing in sorted(crossings, key=lambda each: not each.cheapest):
        has_room = all(abs(math.log2(crossing.frames / other.frames)) > LEAST_APART for other in named)
        if crossing.is_decided and has_room and (crossing.cheapest or len(crossings) <= MOST_NAMED):
            named.append(crossing)
    return named


def _line(series: Series, metric: Metric, style: int) -> Line:
    rows = series.rows.astype({metric.column: "float64"})
    bounds = rows[["latency_low_s", "latency_high_s"]] if metric is LATENCY else None
    return Line(
        label=series.model,
        x=_positions(series),
        y=rows[metric.column].tolist(),
        low=bounds["latency_low_s"].tolist() if bounds is not None else None,
        high=bounds["latency_high_s"].tolist() if bounds is not None else None,
        style=style,
    )


def _positions(series: Series) -> list[int]:
    """Frames, height in pixels, or all tokens of the grid."""
    rows = series.rows
    if series.axis in ("frames", "resolution"):
        return [int(size) for size in rows["frames" if series.axis == "frames" else "height"]]
    sizes = zip(rows["frames"], rows["height"], rows["width"], strict=True)
    return [int(t) * int(h) * int(w) for t, h, w in sizes]


def _subtitle(chosen: Sequence[Series], metric: Metric, axis: Axis) -> str:
    row = chosen[0].rows.iloc[0]
    held = f"{chosen[0].held}, {row['precision']}, {row['mode']}, batch {row['batch']}"
    crossings = _crossings(chosen, metric, axis)
    rings = "; rings: two models change places" if crossings else ""
    rings += ", faint where intervals do not decide it" if any(not each.is_decided for each in crossings) else ""
    if metric.column not in MEASURED:
        return f"{held}\ncounted, the same on every machine{rings}"
    bars = "; bars: 95 % intervals over processes" if metric is LATENCY else ""
    machine = f"{row['hardware']}, {row['threads']} threads{bars}{rings}"
    return f"{held}, {row['backend']}, {row['kernel']} attention\n{machine}"
