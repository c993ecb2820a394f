"""A sweep's progress: plain lines in a log, and a bar that is drawn when a cell ends and never in between."""

import io
import threading

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from vbench.console import Bar, LogLines, listener


def test_a_log_gets_a_line_for_every_measured_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with listener() as told:
        told.progress(1, 2, 65.0, "measured core:joint/g1x2x2")
        told.progress(2, 2, 0.0, "measured core:joint/g2x2x2")
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] measured core:joint/g1x2x2; about 1 min 05 s left",
        "[2/2] measured core:joint/g2x2x2; about 0 s left",
    ]


def test_a_log_is_not_buried_under_counts(capsys: pytest.CaptureFixture[str]) -> None:
    log = LogLines()
    for done in range(1, 101):
        log.progress(done, 100, 1.0, f"counted cell {done}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 10
    assert lines[-1].startswith("[100/100]")


def test_a_bar_shows_the_time_left_and_runs_no_thread() -> None:
    page = io.StringIO()
    console = Console(file=page, force_terminal=True, width=100)
    threads = threading.active_count()
    with Progress(TextColumn("{task.fields[left]} left"), console=console, auto_refresh=False) as progress:
        bar = Bar(progress)
        bar.say("a remark")
        bar.progress(1, 4, 90.0, "measured core:joint")
        assert threading.active_count() == threads
    assert "1 min 30 s left" in page.getvalue()
    assert "a remark" in page.getvalue()
