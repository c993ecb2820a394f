"""How a figure looks: log axes, direct labels in the margin, and nothing that needs a display or a global setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from vbench.units import count, tick

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # without the pale yellow
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
STROKES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
INK, FAINT, GRID = "#1a1a1a", "#5c5c5c", "#dddddd"
WIDTH_IN, LABEL_HEIGHT_IN, CHARACTER_IN, LONGEST_LABEL = 10.0, 0.27, 0.084, 40
MOST_SIZES_NAMED = 9  # on the x axis; more would overlap, and round numbers stand instead
SETTINGS: dict[Any, Any] = {"font.size": 11, "svg.hashsalt": "vbench", "svg.fonttype": "path", "axes.edgecolor": FAINT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One model's points in rising x, with an interval at each where there is one (NaN or None: none)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A crossing of two lines, with its interval in x where it has one; a ring that is `faint` is not for certain."""

    x: float
    y: float
    low: float
    high: float
    is_faint: bool = False
    is_named: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A figure's content; `y_text` and `x_text` turn a value into a tick's label."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    y_text: Callable[[float], str]
    y_base: int
    lines: Sequence[Line]
    x_text: Callable[[float], str] = count
    marks: Sequence[Mark] = ()


def draw(plot: Plot, path: Path) -> list[Path]:
    """Save the plot as `path`.png (2000 pixels wide) and `path`.svg; the same plot gives the same bytes of SVG."""
    with mpl.rc_context(SETTINGS):
        return save(figure_of(plot), path)


def save(figure: Figure, path: Path) -> list[Path]:
    """Save a figure as `path`.png and `path`.svg, without the date; to be called within `SETTINGS`."""
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    figure.savefig(png, dpi=200)
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def figure_of(plot: Plot) -> Figure:
    """The plot as a matplotlib figure, 10 inches wide and as high as its labels need."""
    height = max(5.6, 1.6 + LABEL_HEIGHT_IN * len(plot.lines))
    figure = Figure(figsize=(WIDTH_IN, height))
    right_in = 0.7 + CHARACTER_IN * max(len(_short(line.label)) for line in plot.lines)
    axes = figure.add_axes((0.115, 0.72 / height, 0.885 - right_in / WIDTH_IN, 1 - 2.05 / height))
    for line in plot.lines:
        _add(axes, line)
    _scale(axes, plot)
    for mark in plot.marks:
        _ring(axes, mark, plot.x_text)
    _caption(figure, plot, height)
    _label_lines(axes, plot.lines)
    return figure


def _look(style: int) -> dict[str, object]:
    turn = style // len(COLOURS)
    return {
        "color": COLOURS[style % len(COLOURS)],
        "marker": MARKERS[style % len(MARKERS)],
        "linestyle": STROKES[turn % len(STROKES)],
        "linewidth": 1.8,
        "markersize": 6,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }


def _add(axes: Axes, line: Line) -> None:
    axes.plot(line.x, line.y, zorder=3, **_look(line.style))  # type: ignore[arg-type]
    if line.low is None or line.high is None:
        return
    bars = [bar for bar in zip(line.x, line.low, line.high, strict=True) if all(map(math.isfinite, bar))]
    for x, low, high in bars:
        axes.plot([x, x], [low, high], color=COLOURS[line.style % len(COLOURS)], linewidth=5, alpha=0.3, zorder=2)


def _ring(axes: Axes, mark: Mark, text: Callable[[float], str]) -> None:
    """A ring about a crossing, the interval of its place as a bar, and, of one that matters most, the place itself."""
    alpha = 0.35 if mark.is_faint else 1.0
    axes.plot([mark.x], [mark.y], "o", markersize=10, fillstyle="none", color=INK, alpha=alpha, zorder=4)
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        axes.plot([mark.low, mark.high], [mark.y, mark.y], color=INK, linewidth=4, alpha=0.25 * alpha, zorder=2)
    if mark.is_named:
        name = axes.annotate(text(mark.x), (mark.x, mark.y), (0, -17), textcoords="offset points", zorder=5)
        name.set(color=INK, size=9.5, weight="bold", ha="center")
        name.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5})


def _scale(axes: Axes, plot: Plot) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=plot.y_base)
    sizes = sorted({x for line in plot.lines for x in line.x})
    few = len(sizes) <= MOST_SIZES_NAMED
    axes.xaxis.set_major_locator(FixedLocator(_spaced(sizes)) if few else LogLocator(base=10, numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(plot.x_text(value))))
    subs = _subdivisions(plot)
    axes.yaxis.set_major_locator(LogLocator(base=plot.y_base, subs=subs, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(plot.y_text(value))))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(plot.x_label, color=INK)
    axes.annotate(plot.y_label, (0, 1), (0, 10), textcoords="offset points", xycoords="axes fraction", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, which="major", length=4)
    axes.tick_params(which="minor", length=0)


def _subdivisions(plot: Plot) -> tuple[float, ...]:
    """Ticks between the powers of the base where the range has few of these."""
    values = [y for line in plot.lines for y in line.y]
    powers = math.log(max(values) / min(values), plot.y_base)
    if plot.y_base == 2:
        return (1.0, 1.5) if powers < 3 else (1.0,)
    return (1.0, 2.0, 5.0) if powers < 2.5 else (1.0, 3.0) if powers < 4 else (1.0,)


def _spaced(values: list[float], least_ratio: float = 1.1) -> list[float]:
    """The values, from the largest down, without those that would crowd the one above."""
    kept: list[float] = []
    for value in reversed(values):
        if not kept or kept[-1] / value >= least_ratio:
            kept.append(value)
    return kept


def _caption(figure: Figure, plot: Plot, height: float) -> None:
    left = 0.02
    title = figure.text(left, 1 - 0.16 / height, plot.title, size=15, weight="bold", color=INK, va="top")
    subtitle = figure.text(left, 1 - 0.50 / height, plot.subtitle, size=10, color=FAINT, va="top")
    title.set_parse_math(False)
    subtitle.set_parse_math(False)


def _label_lines(axes: Axes, lines: Sequence[Line]) -> None:
    """Each line's name in the right margin at the height of its end, apart from its neighbours, with a leader."""
    to_fraction = axes.transData + axes.transAxes.inverted()
    ends = [(to_fraction.transform((line.x[-1], line.y[-1])), line) for line in lines]
    ends.sort(key=lambda end: float(end[0][1]))
    height_in = axes.get_position().height * float(axes.get_figure(root=True).get_figheight())  # type: ignore[union-attr]
    heights = spread([float(end[1]) for end, _ in ends], LABEL_HEIGHT_IN / height_in)
    for (end, line), height in zip(ends, heights, strict=True):
        _label(axes, line, (float(end[0]), float(end[1])), height)


def _label(axes: Axes, line: Line, end: tuple[float, float], height: float) -> None:
    """A leader from the line's end, a sample of its look, and its name; positions in fractions of the axes."""
    inch, left = 1 / (axes.get_position().width * WIDTH_IN), 1.02
    leader = Line2D([end[0] + 0.012, left], [end[1], height], color=FAINT, linewidth=0.6, alpha=0.6)
    sample = Line2D([left, left + inch / 6, left + inch / 3], [height] * 3, markevery=[1])
    sample.set(**_look(line.style))
    for artist in (leader, sample):
        artist.set_transform(axes.transAxes)
        artist.set_clip_on(False)
        axes.add_artist(artist)
    name = axes.text(left + 0.4 * inch, height, _short(line.label), transform=axes.transAxes, size=10.5, va="center")
    name.set(color=INK, parse_math=False)


def _short(label: str) -> str:
    """The label, or the end of a long one: of a path the end tells most."""
    return label if len(label) <= LONGEST_LABEL else "…" + label[1 - LONGEST_LABEL :]


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Rising heights moved apart by at least `gap`, as little as possible and within 0 to 1 where there is room."""
    placed: list[list[float]] = []  # blocks of [wanted bottom, count]: neighbours that touch move as one
    for height in heights:
        placed.append([height, 1])
        while len(placed) > 1 and placed[-2][0] + placed[-2][1] * gap > placed[-1][0]:
            above, below = placed.pop(), placed.pop()
            size = above[1] + below[1]
            bottom = (below[0] * below[1] + (above[0] - below[1] * gap) * above[1]) / size
            placed.append([bottom, size])
    return _within(placed, gap)


def _within(blocks: list[list[float]], gap: float) -> list[float]:
    flat = [bottom + place * gap for bottom, size in blocks for place in range(int(size))]
    shift_up = max(0.0, -flat[0]) if flat else 0.0
    flat = [max(height, place * gap) for place, height in enumerate(flat)] if shift_up else flat
    top = 1.0
    for place in range(len(flat) - 1, -1, -1):
        flat[place] = min(flat[place], top)
        top = flat[place] - gap
    return flat
