"""The guide's answer in a terminal: it fits 80 columns, and says what its marks mean."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from vbench.analysis.comparison import default_setting, published_frame
from vbench.analysis.frame import records_frame
from vbench.analysis.guide import guide
from vbench.report.guide_text import guide_answer
from vbench.store import Store

REFERENCE = Path(__file__).parents[2] / "reports" / "reference" / "epyc-2-cores"


def shown(answer, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(guide_answer(answer, width))
    return console.export_text()


@pytest.fixture
def answer(make):
    subjects = {name: make.subject(stride=2, is_default_clip=True) for name in ("video_swin_t", "video_swin_s")}
    records = [make.measured(make.cell(name, 32), 1.0, subject=subject) for name, subject in subjects.items()]
    own = make.subject(family="user", title="a/long/path/to/mine.py:build", is_default_clip=True)
    records += [make.measured(make.cell("a/long/path/to/mine.py:build"), 1.0, subject=own)]
    records += [make.counted(make.cell("c3d", 16, 112), subject=make.subject(is_default_clip=True))]
    return guide(make.frame(records), published_frame(), seconds=10.0)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_answer_fits_the_terminal_and_says_everything(answer, width):
    text = shown(answer, width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for words in ("take video_swin_s", "80.6", "78.8", "Not measured here (1): c3d.", "vbench sweep --models c3d"):
        assert words in flat


def test_every_mark_in_the_table_is_explained_below_it(answer):
    text = shown(answer, 80)
    assert "1 * video_swin_s" in " ".join(text.split())
    for legend in ("* no other", "- no Kinetics-400 top-1 published"):
        assert legend in " ".join(text.split())
    assert "~ may cost" not in text  # their order rests on accuracy


def test_a_model_named_like_markup_is_shown_as_it_is(make):
    name = "[red]mine[/red].py:build"
    subject = make.subject(family="user", title=name, is_default_clip=True)
    records = [make.measured(make.cell(name), 1.0, subject=subject)]
    assert name in shown(guide(make.frame(records), published_frame(), seconds=1.0), 160)


def test_the_committed_records_answer_or_say_what_is_missing():
    store = Store(REFERENCE)
    frame = records_frame(store.records(), store.environments())
    answer = guide(frame, published_frame(), seconds=10.0, fps=16.0, device="cpu")
    known = {choice.name for choice in answer.ranking} | {out.name for out in answer.ruled_out}
    networks = set(default_setting(frame[frame["kind"] == "architecture"])["model"])
    assert known == {name for name in networks if not name.startswith("backbone")}  # which no own clip was measured of
    text = " ".join(shown(answer, 80).split())
    assert text.startswith("For 10 s of video (160 frames at 16 a second)")
