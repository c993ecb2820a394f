"""The guide's figures: rings where lines cross, and accuracy against cost with the front."""

from __future__ import annotations

import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.trade_off import trade_off_frame
from vbench.report.accuracy_cost import COSTS, draw_trade_offs, trade_off_figure
from vbench.report.drawing import figure_of
from vbench.report.figures import LATENCY, MACS, PEAK, plot_of
from vbench.report.tables import crossovers_table, selection_table

PUBLISHED = published_frame()
FRAMES = [(t, 224) for t in (4, 8, 16, 32)]


def crossing(make):
    return [
        *make.sweep("flat", FRAMES, lambda t, _s: 0.01 * t),
        *make.sweep("steep", FRAMES, lambda t, _s: 0.01 * t**2 / 10),
    ]


@pytest.fixture
def swins(make):
    seconds = {"video_swin_t": 1.0, "video_swin_s": 2.0, "video_swin_b": 4.0}
    return make.frame([make.measured(make.cell(name, 32), taken) for name, taken in seconds.items()])


def test_a_ring_stands_where_two_lines_cross_and_nowhere_in_figures_of_other_costs(make):
    frame = make.frame(crossing(make))
    for metric in (LATENCY, MACS):
        (mark,) = plot_of(frame, metric, "frames").marks
        assert mark.x == pytest.approx(10.0, rel=1e-6)
        assert mark.is_named
    assert plot_of(frame, PEAK, "frames").marks == []
    assert plot_of(frame, LATENCY, "resolution") is None


def test_the_number_of_frames_is_written_at_the_crossing_of_the_cheapest(make):
    plot = plot_of(make.frame(crossing(make)), LATENCY, "frames")
    texts = [text.get_text() for text in figure_of(plot).axes[0].texts]
    assert "10" in texts


def test_the_figure_shows_every_row_and_its_front(swins):
    rows = trade_off_frame(swins, PUBLISHED)
    figure = trade_off_figure(rows, COSTS["accuracy_latency"])
    axes = figure.axes[0]
    (front,) = (line for line in axes.get_lines() if line.get_label() == "_front")
    assert list(front.get_ydata()) == [78.8, 80.6, 82.7]
    assert list(front.get_xdata()) == pytest.approx([12.0, 24.0, 48.0])
    assert sum(len(points.get_offsets()) for points in axes.collections if hasattr(points, "get_sizes")) == len(rows)
    labels = {text.get_text() for text in axes.texts}
    assert {"video_swin_t", "video_swin_s", "video_swin_b"} <= labels


def test_names_do_not_lie_on_one_another(swins):
    figure = trade_off_figure(trade_off_frame(swins, PUBLISHED), COSTS["accuracy_macs"])
    names = [
        text for text in figure.axes[0].texts if text.get_text() in {"video_swin_t", "video_swin_s", "video_swin_b"}
    ]
    boxes = [name.get_window_extent() for name in names]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


def test_a_figure_for_each_cost_that_is_known_is_written(swins, make, tmp_path):
    assert {path.name for path in draw_trade_offs(trade_off_frame(swins, PUBLISHED), tmp_path)} == {
        f"accuracy_{cost}.{ending}" for cost in ("macs", "latency") for ending in ("png", "svg")
    }
    counted = make.frame([make.counted(make.cell(name, 32)) for name in ("video_swin_t", "video_swin_s")])
    assert {path.stem for path in draw_trade_offs(trade_off_frame(counted, PUBLISHED), tmp_path)} == {"accuracy_macs"}


def test_both_tables_read_in_every_row(make):
    frame = make.frame([*crossing(make), make.counted(make.cell("timesformer_b", 8))])
    selection, crossovers = selection_table(frame, PUBLISHED), crossovers_table(frame)
    assert "78.0" in selection.markdown()
    assert "undecided" in selection.markdown()
    assert "| flat" in crossovers.markdown()
    assert all(len(row) == len(selection.heads) for row in selection.cells())
