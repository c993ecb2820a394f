"""The page: whole, offline, and nothing in it that a name could start."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
import rich.console

from vbench import units
from vbench.report.document import write_report
from vbench.report.page import FIGURES_BYTES, inlined
from vbench.report.tables import CONVENTION, console_table, markdown_text

EVIL = "<script>alert(1)</script>"


class Outline(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.text, self.ids, self.rows = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data):
        self.text.append(data)
        if self.rows:
            self.rows[-1] += data


@pytest.fixture
def page(make, sweep_directory):
    def of(records):
        directory = sweep_directory(records)
        write_report(directory)
        return (directory / "index.html").read_text(encoding="utf-8")

    return of


def test_a_model_named_like_a_script_is_shown_as_text(make, page):
    subject = make.subject(is_default_clip=True, title=EVIL, family=EVIL)
    html = page([make.measured(make.cell(EVIL, t), subject=subject) for t in (4, 8)])
    outline = Outline(html)
    assert "script" not in outline.tags
    assert any(EVIL in text for text in outline.text)
    assert "<script" not in html.lower()


def test_reasons_and_environments_are_text_too(make, page):
    outline = Outline(page([make.failed(make.cell(), reason="<img src=x onerror=alert(1)>")]))
    assert "img" not in outline.tags
    assert any("<img src=x onerror=alert(1)>" in text for text in outline.text)


def test_the_page_asks_the_network_for_nothing(make, page):
    html = page(make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10))
    outline = Outline(html)
    assert outline.addresses
    assert all(address.startswith(("#", "data:image/svg+xml;base64,")) for address in outline.addresses)
    assert not re.search(r"https?://|@import|url\(", html)
    assert not {"script", "link", "iframe", "object"} & set(outline.tags)


def test_links_inside_the_page_lead_somewhere(make, page):
    outline = Outline(page([*make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10), make.skipped(make.cell("n"))]))
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)


def test_every_row_of_a_cell_shows_its_id(make, page):
    records = make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10)
    lost = make.failed(make.cell("lost"))
    rows = Outline(page([*records, lost])).rows
    for record in (*records, lost):
        assert any(record.cell.id in row for row in rows)
    assert len(rows) > 3


def test_machine_date_commit_torch_and_the_convention_stand_on_the_page(make, page):
    text = " ".join(Outline(page([make.measured(make.cell())])).text)
    for word in ("Test CPU", "2026-11-20", "abc1234", "2.13.0", CONVENTION, "fingerprint"):
        assert word in text


def test_the_page_follows_dark_mode_and_narrow_screens(make, page):
    html = page([make.measured(make.cell())])
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "overflow-x: auto" in html


def test_a_large_sweep_stays_under_3_mb(make, page):
    models = [f"network_{number:02d}" for number in range(12)]
    clips = [(t, 224) for t in (4, 8, 16, 32, 64)] + [(8, s) for s in (112, 160, 320)]
    html = page([record for name in models for record in make.sweep(name, clips, lambda t, s: 1e-6 * t * s * s)])
    assert len(html.encode()) < 3_000_000


def test_figures_that_do_not_fit_are_named_instead(tmp_path):
    small, large = tmp_path / "small.svg", tmp_path / "large.svg"
    small.write_text("<svg/>")
    large.write_text("x" * FIGURES_BYTES)
    pictures, too_large = inlined([large, small])
    assert [picture.name for picture in pictures] == ["small"]
    assert too_large == ["large"]


def test_a_name_cannot_end_a_markdown_cell_or_start_markup():
    assert markdown_text("a|b\nc<d>") == "a\\|b c&lt;d&gt;"


def test_the_terminal_table_has_measured_cells_first_and_counted_models_below(make):
    counted = make.counted(make.cell("only_counted"), subject=make.subject(is_default_clip=True))
    other_clip = make.counted(make.cell("only_counted", 16))
    frame = make.frame([counted, other_clip, make.measured(make.cell("[bold]m"), 0.1), make.failed(make.cell("lost"))])
    table = console_table(frame)
    columns = {column.header: [str(cell) for cell in column.cells] for column in table.columns}
    assert columns["model"] == ["[bold]m", "only_counted"]
    console = rich.console.Console(width=160, file=io.StringIO())
    console.print(table)
    assert "[bold]m" in console.file.getvalue()  # a name is no markup
    assert columns["latency"][0].startswith("100 ms [")
    assert columns["latency"][1] == "-"
    assert columns["GMACs"] == ["196", "196"]
    assert columns["clips/s"] == ["10.0", "-"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.tick("1.00 GiB"), "1 GiB"),
        (units.tick("12.50 ms"), "12.5 ms"),
        (units.tick("100 ms"), "100 ms"),
        (units.seconds_interval(0.0123, 0.0121, 0.0126), "12.3 ms [12.1, 12.6]"),
        (units.seconds_interval(0.0123, float("nan"), float("nan")), "12.3 ms"),
        (units.exponent(1.984, 1.95, 2.013), "1.98 [1.95, 2.01]"),
        (units.accuracy(78.0), "78.0"),
        (units.accuracy(73.27), "73.27"),
        (units.accuracy(float("nan")), "-"),
        (units.as_printed(2380.0), "2380"),
        (units.count(195_830_280_192), "195,830,280,192"),
        (units.signed_percent(-0.0114), "-1.1 %"),
    ],
)
def test_numbers_read_as_a_person_writes_them(text, expected):
    assert text == expected
