"""The figure of published accuracy against the cost of the protocol that earned it, with the front.

The accuracy axis is linear, the cost axis logarithmic. Points are coloured by pre-training: what was seen before
Kinetics-400 moves the accuracy as much as the architecture does. Latencies have their 95 % intervals. Dotted lines lead
from compressed variants to their full model; a hollow point is a variant that the catalog lacks, at its quoted cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vbench import units
from vbench.report.drawing import COLOURS, FAINT, GRID, INK, MARKERS, SETTINGS, save

WIDTH_IN, HEIGHT_IN = 10.0, 6.6
LABEL = 8.5  # points
PLACES = (  # about a point, best first
    ((7, -3), "left"), ((-7, -3), "right"), ((0, 7), "center"), ((0, -13), "center"), ((-5, 5), "right"),
    ((5, -11), "left"),
)  # fmt: skip
LEAST_POINTS = 2
NOT_SAID = "not said"


@dataclass(frozen=True, slots=True)
class Cost:
    """One cost of a protocol: its column, its name on the axis, and how it reads."""

    column: str
    label: str
    text: Callable[[float], str]


COSTS = {
    "accuracy_macs": Cost("macs", "multiply-adds of all views (MACs)", units.macs),
    "accuracy_latency": Cost("latency_s", "latency of all views, one after another (s)", units.seconds),
}


def draw_trade_offs(trade_off: pd.DataFrame, directory: Path) -> list[Path]:
    """A figure for each cost that two rows of `trade_off_frame` or more have, as PNG and SVG."""
    paths = []
    for name, cost in COSTS.items():
        rows = trade_off.dropna(subset=[cost.column])
        if len(rows) >= LEAST_POINTS:
            with mpl.rc_context(SETTINGS):
                paths += save(trade_off_figure(rows, cost), directory / name)
    return paths


def trade_off_figure(rows: pd.DataFrame, cost: Cost) -> Figure:
    """The rows as a matplotlib figure."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
    axes = figure.add_axes((0.07, 0.1, 0.9, 0.71))
    front = rows[rows[f"front_{cost.column}"]].sort_values(cost.column)
    axes.step(front[cost.column], front["top1"], where="post", color=FAINT, linewidth=1.4, zorder=2, label="_front")
    for variant, full in family_lines(rows):
        ends = rows.loc[[variant, full]]
        axes.plot(
            ends[cost.column], ends["top1"], color=FAINT, linewidth=1, linestyle=(0, (1, 2)), zorder=1, label="_family"
        )
    for style, (pretrain, group) in enumerate(rows.groupby(rows["pretrain"].replace("", NOT_SAID))):
        _points(axes, group, cost, str(pretrain), style)
    _scale(axes, rows, cost)
    figure.canvas.draw()  # what a text's extent depends on
    _names(axes, rows, cost)
    axes.legend(loc="lower right", frameon=False, fontsize=9.5, title="pre-training", title_fontsize=9.5)
    _caption(figure, rows, cost)
    return figure


def family_lines(rows: pd.DataFrame) -> list[tuple[Any, Any]]:
    """The index of every variant whose full model is among the rows, with that of its full model's row.

    Of several rows of the full model it is the one of the same pre-training, if there is one.
    """
    lines = []
    for place, row in rows[rows["variant_of"] != ""].iterrows():
        full = rows[rows["key"] == row["variant_of"]]
        alike = full[full["pretrain"] == row["pretrain"]]
        lines += [(place, end) for end in (alike if len(alike) else full).index[:1]]
    return lines


def _points(axes: Axes, group: pd.DataFrame, cost: Cost, pretrain: str, style: int) -> None:
    colour, marker = COLOURS[style % len(COLOURS)], MARKERS[style % len(MARKERS)]
    is_quoted = group["basis"] == "quoted"
    for rows, face, edge in ((group[~is_quoted], colour, "white"), (group[is_quoted], "white", colour)):
        axes.scatter(
            rows[cost.column], rows["top1"], s=46, color=face, marker=marker, edgecolor=edge, linewidth=0.7, zorder=4,
            label="_quoted" if face == "white" else pretrain,
        )  # fmt: skip
    if cost.column == "latency_s":
        low, high = group["latency_low_s"], group["latency_high_s"]
        axes.hlines(group["top1"], low, high, color=colour, linewidth=5, alpha=0.3, zorder=3)


def _scale(axes: Axes, rows: pd.DataFrame, cost: Cost) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.1)
    few = rows[cost.column].max() / rows[cost.column].min() < 10**2.5
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(cost.text(value))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(cost.label, color=INK)
    axes.annotate(
        "top-1 on Kinetics-400 (%)", (0, 1), (0, 10), textcoords="offset points", xycoords="axes fraction", color=INK
    )
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, which="major", length=4)
    axes.tick_params(which="minor", length=0)


def _names(axes: Axes, rows: pd.DataFrame, cost: Cost) -> None:
    """Each point's name beside it where there is room; the front first, in bold."""
    taken: list[Sequence[float]] = [
        _marker_box(axes, x, y) for x, y in zip(rows[cost.column], rows["top1"], strict=True)
    ]
    column = f"front_{cost.column}"
    taken += _stairs(axes, rows[rows[column]].sort_values(cost.column)[[cost.column, "top1"]].to_numpy().tolist())
    for row in rows.sort_values([column, "top1"], ascending=False).to_dict("records"):
        weight = "bold" if row[column] else "normal"
        _name(axes, (row[cost.column], row["top1"]), row["key"], weight, taken)


def _name(axes: Axes, point: tuple[float, float], name: str, weight: str, taken: list[Sequence[float]]) -> None:
    """The name beside its point, at the first place that is free; none where no place is."""
    right_edge = axes.get_window_extent().x1 + 20
    for offset, side in PLACES:
        text = axes.annotate(
            name, point, offset, textcoords="offset points", ha=side, size=LABEL, weight=weight, color=INK, zorder=5,
            parse_math=False,
        )  # fmt: skip
        extent = text.get_window_extent()
        box = (extent.x0, extent.y0, extent.x1, extent.y1)
        if not any(_touch(box, other) for other in taken) and box[0] > 0 and box[2] < right_edge:
            taken.append(box)
            return
        text.remove()


def _marker_box(axes: Axes, x: float, y: float) -> tuple[float, float, float, float]:
    """What a point's marker covers, in pixels of the canvas."""
    left, low = axes.transData.transform((x, y)) - 5.0
    return left, low, left + 10.0, low + 10.0


def _stairs(axes: Axes, front: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """What the steps of the front cover, in pixels: no name is struck through by them."""
    boxes: list[Sequence[float]] = []
    for here, there in pairwise(front):
        (left, low), (right, high) = axes.transData.transform([here, there])
        boxes += [(left, low - 1.5, right, low + 1.5), (right - 1.5, low, right + 1.5, high)]
    return boxes


def _touch(box: Sequence[float], other: Sequence[float]) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _caption(figure: Figure, rows: pd.DataFrame, cost: Cost) -> None:
    hardware = ", ".join(dict.fromkeys(rows["hardware"]))
    measured = f"one view is measured, fp32, batch 1: {hardware}; bars: 95 % intervals over processes"
    counted = "one view is counted, the same on every machine"
    subtitle = "accuracies are quoted, each at its own clip and views; line and bold names: the front"
    subtitle += "; dotted: to a variant's full model" if family_lines(rows) else ""
    hollow = "; hollow: quoted" if (rows["basis"] == "quoted").any() else ""
    subtitle += "\n" + (measured if cost.column == "latency_s" else counted) + hollow
    top = 1 - 0.16 / HEIGHT_IN
    title = "Published accuracy against the cost of the views that earned it"
    figure.text(0.02, top, title, size=15, weight="bold", color=INK, va="top")
    words = figure.text(0.02, top - 0.34 / HEIGHT_IN, subtitle, size=10, color=FAINT, va="top")
    words.set_parse_math(False)
