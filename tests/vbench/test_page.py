"""The page: whole, offline, and nothing in it that a name could start."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
import rich.console

from vbench import units
from vbench.analysis.certificate import Certificate
from vbench.analysis.claims import Judged
from vbench.report.carried import Places, carried_samples, carried_table
from vbench.report.certificates import certificates_table, read_certificates, write_certificates
from vbench.report.claims import judged_table, read_judged, write_judged
from vbench.report.document import write_report
from vbench.report.page import FIGURES_BYTES, inlined
from vbench.report.tables import CONVENTION, console_table, latency_table, markdown_text

EVIL = "<script>alert(1)</script>"
LINE_SEPARATOR = "a\u2028b"
JUDGED = Judged(
    id="F01", statement="all tokens", claimed="(T*H*W)**2", verdict="exact", derived="1536 MACs", evidence="a count",
    reproduce="vbench certify joint", source="survey 1.1",
)  # fmt: skip

CERTIFICATE = Certificate(
    name="divided", units="tokens", macs="6*T*H*W", attention_macs="6*T*H*W", lattice=(1, 1, 1), domain=(1, 1, 1),
    claimed="T*H*W", verdict="exact", reason="", held_out_checked=9, largest_excess=0.0, attention_share={}, memory=(),
)  # fmt: skip


class Outline(HTMLParser):
    """Tags, addresses, text and data of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.addresses, self.text, self.ids, self.data, self.code = [], [], [], [], {}, {}
        self.policy, self._inside = "", ("", None)
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "srcset", "data")]
        self.ids += [value for name, value in attrs if name == "id"]
        self._inside = (tag, attributes.get("id"))
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]

    def handle_endtag(self, _tag):
        self._inside = ("", None)

    def handle_data(self, data):
        tag, name = self._inside
        if tag == "script" and name:
            self.data[name.removeprefix("data-")] = json.loads(data)
        elif tag in ("script", "style"):
            self.code[tag] = data
        else:
            self.text.append(data)

    def cell_ids(self):
        """The ids of all cells, put together from their parts."""
        cells = self.data["cells"]
        parts = (cells["models"], cells["extents"], cells["settings"])
        return ["/".join(words[place][0] for words, place in zip(parts, row, strict=False)) for row in cells["rows"]]

    def table(self, name):
        """A table's columns by head, each as the texts of its rows; a cell's id is put together."""
        ids = self.cell_ids()
        columns = next(table for table in self.data["tables"] if table["name"] == name)["columns"]
        return {column["head"]: texts(column, ids) for column in columns}


def texts(column, ids):
    if "cells" in column:
        return ["-" if place is None else ids[place] for place in column["cells"]]
    return column.get("texts") or [column["words"][place] for place in column["at"]]


@pytest.fixture
def page(make, sweep_directory):
    def of(records):
        directory = sweep_directory(records)
        write_report(directory)
        return (directory / "index.html").read_text(encoding="utf-8")

    return of


def test_names_that_are_markup_stay_text_and_no_element_of_the_page_ends_early(make, page):
    names = [EVIL, LINE_SEPARATOR, "</script><!--", "'\"&"]
    subject = make.subject(is_default_clip=True, title=EVIL, family=EVIL)
    html = page([make.measured(make.cell(name), subject=subject) for name in names])
    plain = page([make.measured(make.cell("m"), subject=subject)])
    assert Outline(html).tags.count("script") == Outline(plain).tags.count("script")
    assert [name for name, _ in Outline(html).data["cells"]["models"]] == names
    assert set(Outline(html).table("latency")["model"]) == set(names)
    assert EVIL not in html
    assert "\u2028" not in html


def test_reasons_and_environments_are_text_too(make, page):
    outline = Outline(page([make.failed(make.cell(), reason="<img src=x onerror=alert(1)>")]))
    assert "img" not in outline.tags
    assert outline.table("unfinished")["reason"] == ["<img src=x onerror=alert(1)>"]


def test_the_page_asks_the_network_for_nothing(make, page):
    html = page(make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10))
    outline = Outline(html)
    assert outline.addresses
    assert all(re.match(r"#|data:image/svg\+xml;base64,|tables/", address) for address in outline.addresses)
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket", outline.code["style"] + outline.code["script"]
    )
    assert not {"link", "iframe", "object"} & set(outline.tags)


def test_the_policy_admits_the_pages_own_style_and_script_alone(make, page):
    outline = Outline(page([make.measured(make.cell())]))
    digests = {tag: hashlib.sha256(code.encode()).digest() for tag, code in outline.code.items()}
    wanted = {tag: f"'sha256-{base64.b64encode(digest).decode()}'" for tag, digest in digests.items()}
    rules = dict(rule.split(" ", 1) for rule in outline.policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules == {"script-src": wanted["script"], "style-src": wanted["style"], "img-src": "data:"}


def test_links_inside_the_page_lead_somewhere(make, page):
    outline = Outline(page([*make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10), make.skipped(make.cell("n"))]))
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)


def test_files_that_the_page_links_to_lie_beside_it(make, sweep_directory):
    directory = sweep_directory([make.measured(make.cell()), make.failed(make.cell("lost"))])
    write_report(directory)
    outline = Outline((directory / "index.html").read_text(encoding="utf-8"))
    beside = [address for address in outline.addresses if not address.startswith(("#", "data:"))]
    assert {"tables/latency.tex", "tables/unfinished.csv", "tables/latency.md"} <= set(beside)
    assert all((directory / address).exists() for address in beside)


def test_every_row_of_a_cell_shows_its_id_and_every_cell_the_command_that_makes_it_again(make, page):
    records = make.sweep("m", [(4, 224), (8, 224)], lambda t, _: t / 10)
    lost = make.failed(make.cell("a b", batch=2))
    outline = Outline(page([*records, lost]))
    assert outline.cell_ids() == [record.cell.id for record in (*records, lost)]
    assert outline.table("latency")["cell"] == [record.cell.id for record in records]
    assert outline.table("unfinished")["cell"] == [lost.cell.id]
    cells = outline.data["cells"]
    parts = (cells["models"], cells["extents"], cells["settings"])
    last = "".join(words[place][1] for words, place in zip(parts, cells["rows"][-1], strict=False))
    assert last == "vbench sweep --models 'a b' --frames 8 --sizes 224 --batch 2"


def test_a_table_is_carried_with_all_its_texts_and_the_numbers_behind_them(make):
    frame = make.frame([make.measured(make.cell("m", t), 0.01 * t) for t in (8, 64, 16, 4)])
    table = latency_table(frame)
    columns = carried_table(table, Places(frame["cell"]))["columns"]
    ids = list(frame["cell"])
    assert [list(row) for row in zip(*(texts(column, ids) for column in columns), strict=True)] == table.cells()
    latency = next(column for column in columns if column["head"] == "latency")
    assert latency["values"] == pytest.approx(list(table.data["latency_median_s"]), rel=1e-5)


def test_samples_are_carried_to_four_digits(make):
    runs = [make.process((1.23456e-5, 2e-5, 9.87654e-5)), make.process((0.123456, 0.2))]
    records = [make.measured(make.cell(), processes=[run]) for run in runs] + [make.counted(make.cell())]
    carried, left_out = carried_samples(records, room_bytes=10_000)
    assert (carried[2], left_out) == (None, 0)
    for run, (power, samples) in zip(runs, carried[:2], strict=True):
        assert [sample / 10**power for sample in samples] == pytest.approx(run.latency_s, rel=5e-4)


def test_samples_that_do_not_fit_are_left_out_and_counted(make, page):
    many = make.measured(make.cell("many"), processes=[make.process((0.1,) * 1000)])
    few = make.measured(make.cell("few"))
    carried, left_out = carried_samples([few, many, few], room_bytes=200)
    assert [samples is None for samples in carried] == [False, True, False]
    assert left_out == 1


def test_claims_judged_beside_a_sweep_stand_on_its_page(make, sweep_directory):
    directory = sweep_directory([make.measured(make.cell())])
    assert read_judged(directory) == []
    (directory / "claims").mkdir()
    write_judged([JUDGED], directory / "claims")
    assert read_judged(directory) == [JUDGED]
    write_report(directory)
    outline = Outline((directory / "index.html").read_text(encoding="utf-8"))
    assert [column[0] for column in outline.table("claims").values()] == judged_table([JUDGED]).cells()[0]
    assert "exact" in (directory / "tables" / "claims.tex").read_text()


def test_a_certificate_names_its_page_where_it_has_one(tmp_path):
    write_certificates([CERTIFICATE], tmp_path / "certificates")
    entries = read_certificates(tmp_path)
    assert certificates_table(entries, tmp_path).cells()[0][-1] == "certificates/divided.md"
    (tmp_path / "certificates" / "divided.md").unlink()
    assert certificates_table(entries, tmp_path).cells()[0][-1] == "-"


def test_machine_date_commit_torch_and_the_convention_stand_on_the_page(make, page):
    text = " ".join(Outline(page([make.measured(make.cell())])).text)
    for word in ("Test CPU", "2026-11-20", "abc1234", "2.13.0", CONVENTION, "fingerprint"):
        assert word in text


def test_a_large_sweep_stays_under_3_mb(make, page):
    models = [f"network_{number:02d}" for number in range(12)]
    clips = [(t, 224) for t in (4, 8, 16, 32, 64)] + [(8, s) for s in (112, 160, 320)]
    html = page([record for name in models for record in make.sweep(name, clips, lambda t, s: 1e-6 * t * s * s)])
    assert len(html.encode()) < 3_000_000


def test_a_latex_table_has_a_row_for_each_row_and_no_letter_of_a_name_acts(make):
    names = ["a_b&c%d$e#f{g}h~i^j\\k", "plain"]
    table = latency_table(make.frame([make.measured(make.cell(name)) for name in names]))
    lines = table.latex().splitlines()
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert len(body) == len(names)
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns) - 1
        assert not re.search(r"(?<!\\)[_%$#]", line)
    assert lines[0].startswith("% Measured cells")


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
    assert "setting" not in columns


def test_the_terminal_table_says_in_what_the_settings_of_its_rows_differ(make):
    cells = [
        make.cell(mode="train"),
        make.cell(mode="train", batch=2, ranks=2),
        make.cell("my/net.py:build", mode="train", checkpointing=True, video="a/b.mp4"),
    ]
    table = console_table(make.frame([make.measured(cell) for cell in cells]), 200)
    columns = {column.header: [str(cell) for cell in column.cells] for column in table.columns}
    said = dict(zip(columns["model"], columns["setting"], strict=True))
    assert columns["setting"][1:] == ["b1", "b2 ranks=2"]
    assert said["my/net.py:build"] == "b1 checkpointing=on video=a/b.mp4"


@pytest.mark.parametrize("width", [80, 140, 200])
def test_a_terminal_shows_every_latency_whatever_its_width(make, width):
    cells = [make.cell(mode="train"), make.cell(mode="train", ranks=2, checkpointing=True, accumulation=4)]
    console = rich.console.Console(width=width, file=io.StringIO())
    console.print(console_table(make.frame([make.measured(cell) for cell in cells]), width))
    lines = console.file.getvalue().splitlines()
    assert sum("100 ms" in line for line in lines) == 2
    assert "accumulation=4" in console.file.getvalue()


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
