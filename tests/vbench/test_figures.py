"""Figures: what they show, what they leave out, and that they can be told apart."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib.colors
import numpy as np
import pytest

from vbench.report.drawing import COLOURS, MARKERS, STROKES, Line, Plot, draw, figure_of, spread
from vbench.report.figures import ATTENTION, FIGURES, LATENCY, MACS, plot_of, write_figures
from vbench.units import seconds

FRAMES = [(t, 224) for t in (4, 8, 16)]
SIZES = [(8, s) for s in (112, 224, 448)]


def linear(t, s):
    return 1e-6 * t * s**2


def plot(*lines):
    return Plot(title="T", subtitle="s", x_label="x", y_label="y (s)", y_text=seconds, y_base=10, lines=lines)


def test_a_figure_with_data_is_a_png_and_an_svg_and_one_without_is_not_written(make, tmp_path):
    paths = write_figures(make.frame(make.sweep("m", FRAMES, linear)), tmp_path / "figures")
    expected = {name for name in FIGURES if name.endswith("_frames")}
    assert {path.stem for path in paths} == expected
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {path.name for path in paths}
    assert {path.suffix for path in paths} == {".png", ".svg"}
    assert all(path.stat().st_size > 1000 for path in paths)


def test_every_figure_is_drawn_from_a_sweep_of_frames_sizes_and_grids(make, tmp_path):
    grids = [(4, 14), (8, 14), (8, 7)]
    patterns = [
        make.measured(make.cell("joint", t, s, unit="tokens"), subject=make.subject(kind="pattern")) for t, s in grids
    ]
    records = [*make.sweep("m", [*FRAMES, *SIZES[::2]], linear), *patterns]
    assert {path.stem for path in write_figures(make.frame(records), tmp_path)} == set(FIGURES)


def test_nothing_is_drawn_from_an_empty_frame_or_from_single_clips(make, tmp_path):
    assert write_figures(make.frame([]), tmp_path) == []
    assert write_figures(make.frame([make.measured(make.cell())]), tmp_path) == []


def test_a_line_holds_the_records_own_figures(make):
    frame = make.frame(make.sweep("m", FRAMES[::-1], linear))
    (line,) = plot_of(frame, LATENCY, "frames").lines
    assert list(line.x) == [4, 8, 16]
    assert list(line.y) == pytest.approx([linear(t, 224) for t, _ in FRAMES])
    assert all(low < y < high for low, y, high in zip(line.low, line.y, line.high, strict=True))


def test_patterns_stand_over_all_their_tokens(make):
    cells = [make.cell("joint", t, 14, unit="tokens") for t in (4, 8)]
    frame = make.frame([make.counted(cell, subject=make.subject(kind="pattern")) for cell in cells])
    (line,) = plot_of(frame, ATTENTION, "time").lines
    assert line.x == [4 * 196, 8 * 196]
    assert plot_of(frame, MACS, "frames") is None


def test_a_figure_compares_one_setting_the_one_that_most_models_share(make):
    lone = [make.measured(make.cell("lone", t, precision="bf16"), 0.001) for t, _ in FRAMES]
    shared = [record for name in ("a", "b") for record in make.sweep(name, FRAMES, linear)]
    chosen = plot_of(make.frame([*lone, *shared]), LATENCY, "frames")
    assert [line.label for line in chosen.lines] == ["a", "b"]
    assert "fp32" in chosen.subtitle


def test_latencies_of_two_machines_never_share_a_figure(make):
    here = make.sweep("a", FRAMES, linear)
    there = [make.measured(make.cell("b", t), 1.0, environment="gone") for t, _ in FRAMES[:2]]
    assert [line.label for line in plot_of(make.frame([*here, *there]), LATENCY, "frames").lines] == ["a"]
    assert len(plot_of(make.frame([*here, *there]), MACS, "frames").lines) == 2


def test_a_model_looks_the_same_in_every_figure(make):
    frame = make.frame([*make.sweep("b", FRAMES, linear), *make.sweep("a", [FRAMES[1], *SIZES], linear)])
    of_frames, of_sizes = plot_of(frame, LATENCY, "frames"), plot_of(frame, LATENCY, "resolution")
    assert [(line.label, line.style) for line in of_frames.lines] == [("b", 1)]
    assert [(line.label, line.style) for line in of_sizes.lines] == [("a", 0)]


def test_28_models_differ_in_colour_or_stroke_and_colours_stand_out_from_white():
    looks = {(COLOURS[i % len(COLOURS)], STROKES[i // len(COLOURS) % len(STROKES)]) for i in range(28)}
    assert len(looks) == 28
    assert len(set(MARKERS)) == len(MARKERS)
    for colour in COLOURS:
        linear_light = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)
        ]
        luminance = np.dot([0.2126, 0.7152, 0.0722], linear_light)
        assert 1.05 / (luminance + 0.05) > 2.2


def test_labels_do_not_touch_and_stay_inside(make):
    gap = 0.05
    for wanted in ([0.5] * 8, [0.0, 0.01, 0.02], [0.97, 0.98, 1.0], [0.1, 0.4, 0.8], []):
        placed = spread(wanted, gap)
        assert all(above - below >= gap - 1e-9 for below, above in pairwise(placed))
        assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)
    assert spread([0.1, 0.4, 0.8], gap) == [0.1, 0.4, 0.8]


def test_every_line_is_named_inside_the_picture_even_with_long_names():
    names = [
        "m",
        "backbone:factorized_dot_product",
        "some/very/long/path/to/a/users/own/network.py:build",
        "$x_{1}$ & <b>",
    ]
    lines = [Line(label=name, x=[4, 8], y=[1.0, 2.0 + i], style=i) for i, name in enumerate(names)]
    figure = figure_of(plot(*lines))
    figure.savefig(io.BytesIO(), format="png")
    texts = figure.axes[0].texts
    shown = {text.get_text() for text in texts}
    assert {names[0], names[1], names[3]} <= shown
    assert any(text.endswith("network.py:build") and text.startswith("…") for text in shown)
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in texts)


def test_a_process_without_interval_has_a_point_and_no_bar():
    line = Line(label="m", x=[4, 8], y=[1.0, 2.0], low=[float("nan"), 1.9], high=[float("nan"), 2.1])
    drawn = [artist for artist in figure_of(plot(line)).axes[0].lines if list(artist.get_xdata()) in ([4, 4], [8, 8])]
    assert [list(bar.get_ydata()) for bar in drawn] == [[1.9, 2.1]]


def test_the_same_plot_gives_the_same_svg(tmp_path):
    one = plot(Line(label="m", x=[4, 8], y=[1.0, 2.0]))
    first, second = (draw(one, tmp_path / name)[1].read_bytes() for name in ("a", "b"))
    assert first == second
