"""Certificates and judged claims as text: for the terminal, and one Markdown page a pattern."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import rich.box
import rich.table
from rich.text import Text
from tabulate import tabulate

from vbench import units
from vbench.analysis.certificate import Certificate
from vbench.analysis.claims import Judged, read_claims
from vbench.analysis.latency_law import FittedPoint, LatencyLaw
from vbench.analysis.mechanisms import mechanisms_frame
from vbench.report.columns import CERTIFICATE_COLUMNS, MECHANISM_COLUMNS
from vbench.report.drawing import Line, Plot, draw
from vbench.report.tables import CONVENTION, Table, markdown_text


def certificate_text(certificate: Certificate) -> str:
    """The certificate for a terminal."""
    return "\n".join(f"{head + ':':<19}{text}" for head, text in _rows(certificate)) + "\n"


def _rows(certificate: Certificate) -> Iterator[tuple[str, str]]:
    yield "name", certificate.name
    yield "units", f"T, H, W in {certificate.units}; {CONVENTION}"
    yield "attention core", certificate.attention_macs or "no polynomial"
    if certificate.dominant:
        yield "  dominant", certificate.dominant
    yield "  LaTeX", certificate.latex
    yield "whole", certificate.macs or "no polynomial"
    if certificate.lattice and certificate.domain:
        lattice, domain = (units.extent(*sizes) for sizes in (certificate.lattice, certificate.domain))
        yield (
            "holds on",
            f"multiples of {lattice}, from {domain} on; {certificate.held_out_checked} held-out grids agree",
        )
    if certificate.largest_excess > 0:
        yield "  off it", f"up to {units.percent(certificate.largest_excess)} more: padding"
    yield "claimed", certificate.claimed or "nothing"
    yield "verdict", f"{certificate.verdict}{f' ({certificate.reason})' if certificate.reason else ''}"
    shares = (f"{units.percent(share)} at {grid}" for grid, share in certificate.attention_share.items())
    yield "attention's share", ", ".join(shares) or "-"
    for part in certificate.memory:
        bias = " and a bias" if part.bias else ""
        yield f"memory, {part.held}", f"{part.kernel} attention{bias}: {_regimes(part.regimes, part.axis)}"

    if certificate.latency is not None:
        yield from _latency(certificate.latency)


def _latency(law: LatencyLaw) -> Iterator[tuple[str, str]]:
    yield (
        "time",
        f"{law.verdict}{f' ({law.reason})' if law.reason else ''}; fit within {units.percent(law.largest_error)}",
    )
    for point in law.points:
        taken = units.seconds_interval(point.measured_s, point.low_s, point.high_s)
        peak = units.size(point.peak_memory_bytes)
        yield f"at {units.extent(*point.grid)}", f"{taken}, fitted {units.seconds(point.fitted_s)}, process peak {peak}"
    for part in law.exponents:
        between = f"{units.extent(*part.smaller)} to {units.extent(*part.larger)}"
        measured = units.exponent(part.measured, part.low, part.high)
        share = f"leading term {units.percent(part.share)} of the time"
        verdict = f"{part.verdict}{f': {part.reason}' if part.reason else ''}"
        yield f"time, {part.axis}", f"exponent {measured}, formula {part.formula:.2f}, {between}; {share}; {verdict}"


def _regimes(regimes: Sequence[object], axis: str) -> str:
    words = []
    for regime in regimes:
        smallest, largest, expression = (getattr(regime, name) for name in ("smallest", "largest", "expression"))
        span = f"{axis} = {smallest}" if smallest == largest else f"{axis} {smallest} to {largest}"
        words.append(f"{expression} bytes, {span}" if expression else f"no law, {span}")
    return "; ".join(words)


def write_certificates(certificates: Sequence[Certificate], directory: Path) -> list[Path]:
    """`certificates.json`, and a Markdown page for each; those of other names that are there already stay."""
    directory.mkdir(parents=True, exist_ok=True)
    document = directory / "certificates.json"
    entries = _documents(document) | {entry.name: entry.to_json() for entry in certificates}
    document.write_text(json.dumps(list(entries.values()), indent=2) + "\n", encoding="utf-8")
    paths = [document]
    for certificate in certificates:
        path = directory / f"{_file_name(certificate.name)}.md"
        path.write_text(certificate_markdown(certificate), encoding="utf-8")
        figures = draw(latency_plot(certificate), path.with_suffix("")) if certificate.latency else []
        paths += [path, *figures]
    return paths


def latency_plot(certificate: Certificate) -> Plot:
    """Measured times over the formula's multiply-adds, and the fitted law through them."""
    law = certificate.latency
    assert law is not None, "there is nothing to draw without --latency"
    points = sorted(law.points, key=lambda point: point.macs)
    of_time = [point for point in points if point.grid[0] > point.grid[1] * point.grid[2]]
    of_space = [point for point in points if point not in of_time]
    lines = [
        Line(label="fitted law", x=[p.macs for p in points], y=[p.fitted_s for p in points], style=6),
        *(
            _measured(name, part, style)
            for name, part, style in (("T > HW", of_time, 0), ("T <= HW", of_space, 1))
            if part
        ),
    ]
    return Plot(
        title=f"Time over the formula: {certificate.name}",
        subtitle=f"{certificate.attention_macs} MACs: {law.verdict}\nbars: 95 % intervals over processes",
        x_label="multiply-adds of the attention core (MACs)",
        y_label="latency of one forward (s)",
        y_text=units.seconds,
        y_base=10,
        lines=lines,
        x_text=units.macs,
    )


def _measured(name: str, points: Sequence[FittedPoint], style: int) -> Line:
    return Line(
        label=f"measured, {name}", x=[p.macs for p in points], y=[p.measured_s for p in points],
        low=[p.low_s for p in points], high=[p.high_s for p in points], style=style,
    )  # fmt: skip


def certificate_markdown(certificate: Certificate) -> str:
    """The certificate as a page of its own, with the figure of its times where there are any."""
    rows = [
        (head.strip(), f"${text}$" if head.strip() == "LaTeX" else markdown_text(text))
        for head, text in _rows(certificate)
    ]
    figure = (
        f"\n![measured times over the formula]({_file_name(certificate.name)}.png)\n" if certificate.latency else ""
    )
    return f"# Certificate: {markdown_text(certificate.name)}\n\n{tabulate(rows, ('', ''), tablefmt='pipe')}\n{figure}"


def read_certificates(directory: Path) -> dict[str, dict[str, Any]]:
    """The documents of the certificates that lie beside a sweep, by name; none where there are none."""
    return _documents(directory / "certificates" / "certificates.json")


def _documents(path: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {entry["name"]: entry for entry in entries}


def mechanisms_table(certificates: Mapping[str, Mapping[str, Any]], frame: pd.DataFrame) -> Table:
    """The literature's table of mechanisms with what was derived and measured for each."""
    return Table(
        name="mechanisms",
        title="Attention mechanisms: claimed, derived, measured",
        note="The literature's cost of each mechanism against the attention core's multiply-adds, derived exactly from "
        f"counts; d = 64 and 12 heads. {CONVENTION}. Exponents are of measured time, with 95 % intervals, beside the "
        "formula's own between the same grids; the latency is the bare core's, fp32, batch 1.",
        data=mechanisms_frame(read_claims(), certificates, frame),
        columns=MECHANISM_COLUMNS,
    )


def certificates_table(certificates: Mapping[str, Mapping[str, Any]], directory: Path) -> Table | None:
    """The certificates that lie beside a sweep in `directory`, for its report; None where there are none."""
    if not certificates:
        return None
    rows = [
        {
            "name": entry["name"],
            "attention_macs": entry["attention_macs"] or "no polynomial",
            "claimed": entry["claimed"] or "-",
            "verdict": entry["verdict"],
            "time": (entry["latency"] or {"verdict": "not measured"})["verdict"],
            "page": _page(directory, entry["name"]),
        }
        for entry in certificates.values()
    ]
    return Table(
        name="certificates",
        title="Certificates",
        note="The attention core's multiply-adds, derived exactly from counts, against the claimed formula and, where "
        "it was measured, time. Each has a page of its own.",
        data=pd.DataFrame(rows),
        columns=CERTIFICATE_COLUMNS,
    )


def _page(directory: Path, name: str) -> str:
    """The address of a certificate's own page beside the sweep; empty where there is none."""
    page = f"certificates/{_file_name(name)}.md"
    return page if (directory / page).exists() else ""


def claims_table(judged: Iterable[Judged]) -> rich.table.Table:
    """Every claim with its verdict, for a terminal."""
    table = rich.table.Table("id", "claim", "verdict", "derived", "evidence", box=rich.box.SIMPLE_HEAD)
    for entry in judged:
        cells = (entry.id, entry.statement, entry.verdict, entry.derived, entry.evidence)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def claims_markdown(judged: Iterable[Judged]) -> str:
    """Every claim with its verdict, evidence, source and the command that makes it again."""
    heads = ("id", "claim", "claimed", "verdict", "derived", "evidence", "source", "again with")
    rows = [
        [markdown_text(text) for text in (
            entry.id, entry.statement, entry.claimed, entry.verdict, entry.derived, entry.evidence, entry.source,
            entry.reproduce,
        )]
        for entry in judged
    ]  # fmt: skip
    grid = tabulate(rows, heads, tablefmt="pipe", disable_numparse=True)
    return f"# Claims of the literature\n\n{CONVENTION}.\n\n{grid}\n"


def _file_name(name: str) -> str:
    """The name in letters that every file system takes; what had to be replaced is told apart by a hash."""
    plain = "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in name)
    return plain if plain == name else f"{plain.strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
