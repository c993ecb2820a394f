"""Predicted process peaks in records, in the table and in the figure; nothing here needs torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vbench.analysis.frame import records_frame
from vbench.report.process_peaks import JUDGED_BYTES, process_peaks_plot
from vbench.report.scatter import draw_scatter, scatter_figure
from vbench.results import record_from_json, record_to_json

MIB = 2**20


def frame_of(make, floor_bytes: int, *workspaces: int | None):
    """One measured cell for each workspace: 600 MiB of tensors predicted, 800 MiB of process measured."""
    records = [
        make.measured(make.cell(frames=2 * n), counts=make.counts(workspace_bytes=workspace))
        for n, workspace in enumerate(workspaces, start=1)
    ]
    return records_frame(records, {"e1": make.environment(floor_bytes=floor_bytes)})


def test_the_predicted_process_is_floor_and_tensors_and_workspace(make) -> None:
    frame = frame_of(make, 150 * MIB, 50 * MIB, 0)
    assert frame["predicted_process_peak_bytes"].tolist() == [800 * MIB, 750 * MIB]


@pytest.mark.parametrize(("floor_bytes", "workspace_bytes"), [(0, 50 * MIB), (150 * MIB, None)])
def test_what_was_not_measured_or_counted_leaves_the_column_empty(make, floor_bytes, workspace_bytes) -> None:
    frame = frame_of(make, floor_bytes, workspace_bytes)
    assert frame["predicted_process_peak_bytes"].isna().all()
    assert process_peaks_plot(frame) is None


def test_a_record_of_before_the_workspace_was_counted_can_be_read(make) -> None:
    record = make.measured(make.cell(), counts=make.counts(workspace_bytes=5))
    document = record_to_json(record)
    del document["counts"]["workspace_bytes"]
    assert record_from_json(document) == replace(record, counts=make.counts(workspace_bytes=None))


def test_the_figure_says_median_and_worst_of_the_cells_over_256_mb(make) -> None:
    frame = frame_of(make, 150 * MIB, 50 * MIB, 90 * MIB, 130 * MIB, 0)
    frame.loc[3, "peak_memory_bytes"] = JUDGED_BYTES  # not over it, and 3 times as much predicted
    plot = process_peaks_plot(frame)
    assert plot is not None
    assert len(plot.x) == 4
    assert plot.subtitle.startswith("3 cells over 256 MB: median error 5.0 %, worst 10.0 %")


def test_the_figure_shows_every_point_the_bands_and_the_line(make, tmp_path: Path) -> None:
    plot = process_peaks_plot(frame_of(make, 150 * MIB, 50 * MIB, 90 * MIB))
    (axes,) = scatter_figure(plot).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["within 5 %", "within 15 %"]
    assert axes.collections[-1].get_offsets().tolist() == list(map(list, zip(plot.x, plot.y, strict=True)))
    assert any(line.get_xdata()[0] == JUDGED_BYTES == line.get_xdata()[1] for line in axes.lines)
    assert [path.suffix for path in draw_scatter(plot, tmp_path / "peaks")] == [".png", ".svg"]


def test_what_ran_on_cuda_is_not_in_the_figure(make) -> None:
    frame = frame_of(make, 150 * MIB, 50 * MIB)
    frame["device"] = "cuda"
    assert process_peaks_plot(frame) is None
