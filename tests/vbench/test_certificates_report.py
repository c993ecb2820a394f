"""Certificates and judged claims as text: nothing is left out, and what a user named starts no markup."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rich.console

from vbench.analysis.certificate import NO_CLAIM, Certificate, MemoryRegimes
from vbench.analysis.claims import Judged
from vbench.analysis.latency_law import FittedPoint, LatencyLaw
from vbench.analysis.regimes import Regime
from vbench.cell import Cell
from vbench.report.certificates import (
    certificate_markdown,
    certificate_text,
    certificates_table,
    claims_markdown,
    claims_table,
    mechanisms_table,
    read_certificates,
    write_certificates,
)

MEMORY = (
    MemoryRegimes(
        axis="T",
        held="Tx14x14",
        kernel="fused",
        bias=True,
        regimes=(Regime(1, 6, "T + 77", 1), Regime(8, 8, "", None), Regime(12, 32, "5*T**2", 2)),
    ),
)
FOUND = Certificate(
    name="divided", units="tokens", macs="6*H**2*T*W**2 + 11*H*T*W", attention_macs="6*H**2*T*W**2", lattice=(8, 7, 7),
    domain=(16, 14, 21), claimed="T*H*W", verdict="under-states", reason="it grows along H", held_out_checked=9,
    largest_excess=0.25, attention_share={"8x14x14": 0.125}, memory=MEMORY,
)  # fmt: skip
NOTHING = replace(
    FOUND, name="s4", macs=None, attention_macs=None, lattice=None, domain=None, claimed=None, verdict=NO_CLAIM,
    reason="", held_out_checked=0, largest_excess=0.0, attention_share={}, memory=(),
)  # fmt: skip
JUDGED = Judged(
    id="F01", statement="all tokens", claimed="(T*H*W)**2", verdict="exact", derived="1536 MACs", evidence="a count",
    reproduce="vbench certify joint", source="survey 1.1",
)  # fmt: skip


def rows(text: str) -> dict[str, str]:
    """What stands behind each head of a certificate's text."""
    heads_and_texts = (line.partition(": ") for line in text.splitlines())  # a head ends in a colon and a space
    return {head.strip(): body.strip() for head, _, body in heads_and_texts}


def cells(markdown: str) -> list[list[str]]:
    """The rows of a Markdown table, heads and rule left out."""
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


def shown(cell: str) -> str:
    """What a reader sees of a cell in Markdown: code as it is, escapes without their backslash."""
    return re.sub(r"\\([\W_])", r"\1", cell).replace("`", "")


def test_the_text_tells_formulas_lattice_verdict_and_shares() -> None:
    told = rows(certificate_text(FOUND))
    assert told["name"] == "divided"
    assert "tokens" in told["units"]
    assert told["attention core"] == told["dominant"] == "6*H**2*T*W**2"
    assert told["whole"] == "6*H**2*T*W**2 + 11*H*T*W"
    assert told["LaTeX"] == FOUND.latex
    assert "multiples of 8x7x7" in told["holds on"].replace(" x ", "x")
    assert "from 16x14x21 on; 9 held-out grids" in told["holds on"].replace(" x ", "x")
    assert "25" in told["off it"]
    assert (told["claimed"], told["verdict"]) == ("T*H*W", "under-states (it grows along H)")
    assert re.fullmatch(r"12\.5\s?% at 8x14x14", told["attention's share"])


def test_the_text_tells_every_regime_of_memory_and_where_there_is_no_law() -> None:
    told = rows(certificate_text(FOUND))["memory, Tx14x14"]
    assert told.startswith("fused attention and a bias")
    assert told.endswith("T + 77 bytes, T 1 to 6; no law, T = 8; 5*T**2 bytes, T 12 to 32")


def test_the_text_says_what_there_is_not() -> None:
    told = rows(certificate_text(NOTHING))
    assert told["attention core"] == told["whole"] == "no polynomial"
    assert (told["claimed"], told["verdict"], told["attention's share"]) == ("nothing", NO_CLAIM, "-")
    assert not told.keys() & {"holds on", "off it", "dominant"}


def test_the_json_document_parses_back_and_every_certificate_has_a_page(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "certificates"
    found = [FOUND, NOTHING]
    document, *pages = write_certificates(found, directory)
    assert json.loads(document.read_text()) == json.loads(json.dumps([entry.to_json() for entry in found]))
    assert document == directory / "certificates.json"
    assert [page.read_text() for page in pages] == [certificate_markdown(entry) for entry in found]
    assert sorted(directory.iterdir()) == sorted([document, *pages])


@pytest.mark.parametrize("name", ["../mine.py:build_pattern", "/etc/x:build", "core:joint", "a b<c>|d"])
def test_a_page_lies_in_the_directory_whatever_the_name(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    _, page = write_certificates([replace(FOUND, name=name)], directory)
    assert page.parent == directory
    assert page.suffix == ".md"
    assert re.fullmatch(r"[\w-]+", page.stem)


def test_a_page_has_the_rows_of_the_text() -> None:
    told = rows(certificate_text(FOUND))
    page = dict(cells(certificate_markdown(FOUND)))
    assert page.keys() == told.keys()
    assert page["LaTeX"] == f"${FOUND.latex}$"
    assert page["verdict"] == told["verdict"]


def test_a_name_with_markup_is_shown_and_not_obeyed() -> None:
    page = certificate_markdown(replace(FOUND, name="<b>x</b>|y\nz"))
    assert "<b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;\\|y z" in page.splitlines()[0]
    assert all(len(row) == 2 for row in cells(page))


def test_a_formula_in_a_page_is_shown_and_starts_no_emphasis() -> None:
    page = dict(cells(certificate_markdown(FOUND)))
    assert shown(page["whole"]) == FOUND.macs
    outside_code = re.sub(r"`[^`]*`", "", page["whole"])
    assert re.search(r"(?<!\\)\*", outside_code) is None


def test_every_claim_has_a_row_with_all_that_is_known_of_it() -> None:
    judged = [replace(JUDGED, id=f"F{number:02}") for number in range(1, 4)]
    table = cells(claims_markdown(judged))
    assert [row[0] for row in table] == ["F01", "F02", "F03"]
    for row in table:
        assert {shown(cell) for cell in row} >= {
            "all tokens", "(T*H*W)**2", "exact", "1536 MACs", "a count", "vbench certify joint", "survey 1.1",
        }  # fmt: skip


def test_no_claim_breaks_its_row() -> None:
    (row,) = cells(claims_markdown([replace(JUDGED, statement="a|b\n<i>c", claimed="")]))
    assert len(row) == 8
    assert row[1] == "a\\|b &lt;i&gt;c"


def test_the_terminal_shows_every_claim_and_obeys_no_markup() -> None:
    console = rich.console.Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(claims_table([JUDGED, replace(JUDGED, id="F02", statement="[bold]x[/bold]")]))
    text = capture.get()
    assert all(word in text for word in ("F01", "F02", "[bold]x[/bold]", "exact"))


LAW = LatencyLaw(
    coefficients_s={"H**2*T*W**2": 1e-9}, condition=3.0, largest_error=0.1, exponents=(), verdict="consistent",
    reason="along T up to 1024x2x2",
    points=tuple(
        FittedPoint(
            grid=(t, 2, 2), macs=96.0 * t, measured_s=t * 1e-6, low_s=t * 0.9e-6, high_s=t * 1.1e-6, fitted_s=t * 1e-6,
            peak_memory_bytes=300 * 2**20,
        )
        for t in (256, 512, 1024)
    ),
)  # fmt: skip


def test_measured_times_have_a_figure_and_a_row_for_each_grid(tmp_path: Path) -> None:
    paths = write_certificates([replace(FOUND, latency=LAW)], tmp_path)
    assert {path.name for path in paths} == {"certificates.json", "divided.md", "divided.png", "divided.svg"}
    page = (tmp_path / "divided.md").read_text()
    assert "(divided.png)" in page
    assert [row[1] for row in cells(page) if row[0] == "at 512x2x2"] == [
        "512 µs [461, 563], fitted 512 µs, process peak 300 MiB"
    ]


def test_certificates_beside_a_sweep_are_a_table_of_its_report(tmp_path: Path) -> None:
    assert certificates_table(read_certificates(tmp_path), tmp_path) is None
    write_certificates([replace(FOUND, latency=LAW), NOTHING], tmp_path / "certificates")
    table = certificates_table(read_certificates(tmp_path), tmp_path)
    assert table is not None
    shown_rows = [row[:5] for row in table.cells()]
    assert shown_rows == [
        ["divided", "6*H**2*T*W**2", "T*H*W", "under-states", "consistent"],
        ["s4", "no polynomial", "-", "no claim", "not measured"],
    ]


def test_mechanisms_show_claim_core_verdict_and_time_of_each_pattern(make: Any) -> None:
    timed = replace(FOUND, name="axial", attention_macs="1536*T*H*W*(T + H + W)", latency=LAW).to_json()
    grid = Cell(model="core:axial", frames=8, height=14, width=14, unit="tokens")
    table = mechanisms_table({"axial": timed}, make.frame([make.measured(grid, 0.25)]))
    shown = {row[2]: row for row in table.cells()}
    assert {"joint", "divided", "axial", "strided", "pooling"} <= set(shown)
    assert shown["joint"][4:7] == ["not derived", "-", "not measured"]
    assert shown["axial"][4:7] == ["1536*T*H*W*(T + H + W)", "exact", "consistent"]
    assert shown["axial"][9].startswith("250 ms")
    assert shown["joint"][9] == "-"


def test_certificates_of_other_names_stay(tmp_path: Path) -> None:
    write_certificates([FOUND, NOTHING], tmp_path)
    write_certificates([replace(FOUND, verdict="exact")], tmp_path)
    entries = json.loads((tmp_path / "certificates.json").read_text())
    assert [(entry["name"], entry["verdict"]) for entry in entries] == [("divided", "exact"), ("s4", NO_CLAIM)]
