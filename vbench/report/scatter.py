"""How a figure of two figures for one thing looks: points about the diagonal, bands of relative error around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from vbench.report.drawing import COLOURS, FAINT, GRID, INK, SETTINGS, save
from vbench.units import tick

SIDE_IN, HEIGHT_IN = 7.6, 7.4
SHADES = ("#cfe3f2", "#e9f2f9")  # of the bands, the narrowest first


@dataclass(frozen=True, slots=True)
class Band:
    """A relative distance from the diagonal, on both sides, and its name."""

    fraction: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """A figure's content; both axes have one unit, and `text` turns a value into a tick's label."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    text: Callable[[float], str]
    x: Sequence[float]
    y: Sequence[float]
    bands: Sequence[Band]
    line_at: float  # on the x axis: left of it nothing is judged
    line_label: str


def draw_scatter(plot: Scatter, path: Path) -> list[Path]:
    """Save the plot as `path`.png and `path`.svg; the same plot gives the same bytes of SVG."""
    with mpl.rc_context(SETTINGS):
        return save(scatter_figure(plot), path)


def scatter_figure(plot: Scatter) -> Figure:
    """The plot as a matplotlib figure."""
    figure = Figure(figsize=(SIDE_IN, HEIGHT_IN))
    axes = figure.add_axes((0.15, 0.09, 0.81, 0.75))
    low, high = min(*plot.x, *plot.y, plot.line_at) / 1.2, max(*plot.x, *plot.y) * 1.2
    _bands(axes, plot, low, high)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=2)
    axes.axvline(plot.line_at, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axes.annotate(plot.line_label, (plot.line_at, low), (4, 6), textcoords="offset points", size=9, color=FAINT)
    axes.scatter(plot.x, plot.y, s=28, color=COLOURS[1], edgecolor="white", linewidth=0.6, zorder=3)
    _scale(axes, plot, low, high)
    figure.text(0.02, 1 - 0.16 / HEIGHT_IN, plot.title, size=14, weight="bold", color=INK, va="top", parse_math=False)
    figure.text(0.02, 1 - 0.50 / HEIGHT_IN, plot.subtitle, size=10, color=FAINT, va="top", parse_math=False)
    return figure


def _bands(axes: Axes, plot: Scatter, low: float, high: float) -> None:
    """The widest band first, so that the narrower ones lie on it."""
    shades = list(zip(plot.bands, SHADES, strict=False))
    for band, shade in reversed(shades):
        below, above = ([edge * (1 + side * band.fraction) for edge in (low, high)] for side in (-1, 1))
        axes.fill_between([low, high], below, above, color=shade, linewidth=0, zorder=1, label=band.label)
    axes.legend(loc="upper left", frameon=False, fontsize=10, reverse=True)


def _scale(axes: Axes, plot: Scatter, low: float, high: float) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=2, numticks=12))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick(plot.text(value))))
    axes.set_xlabel(plot.x_label, color=INK)
    axes.annotate(plot.y_label, (0, 1), (0, 8), textcoords="offset points", xycoords="axes fraction", color=INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
