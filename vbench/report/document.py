"""A sweep's directory, written whole: `records.csv`, `scaling.csv`, tables, figures, `index.html` and `README.md`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vbench.analysis.comparison import claims_frame, published_frame
from vbench.analysis.explorer import explorer
from vbench.analysis.frame import last_clean_attempts, records_frame
from vbench.analysis.pace import Pace
from vbench.analysis.scaling import scaling_frame
from vbench.errors import StoreError
from vbench.report.along_time import along_time_tables
from vbench.report.certificates import certificates_table, mechanisms_table, read_certificates
from vbench.report.claims import judged_table, read_judged
from vbench.report.compressed import compressed_table
from vbench.report.deployment import deployment_tables
from vbench.report.figures import write_figures
from vbench.report.normalisation import normalisation_table
from vbench.report.page import environment_rows, render_page
from vbench.report.side_by_side import hardware_tables
from vbench.report.tables import (
    CONVENTION,
    Table,
    markdown_text,
    report_tables,
    scaling_table,
    unfinished_table,
    write_tables,
)
from vbench.report.techniques import techniques_table
from vbench.results import Environment, Record
from vbench.store import Store

STATUSES = ("measured", "counted", "failed", "skipped")
LEFT_OUT = "left_out.txt"


def write_report(directory: Path) -> list[Path]:
    """Write everything that follows from the directory's records, and return the paths.

    Raises:
        StoreError: the directory holds no records, records that cannot be read, or cannot be written.
    """
    store = Store(directory)
    records = store.records()
    if not records:
        raise StoreError(f"no records in {directory}; `vbench sweep --out {directory}` makes some")
    try:
        return _write(directory, records, store.environments())
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror}") from None


def _write(directory: Path, records: list[Record], environments: dict[str, Environment]) -> list[Path]:
    used = {key: environments[key] for key in dict.fromkeys(r.environment for r in records) if key in environments}
    frame = records_frame(records, environments)
    scaling = scaling_frame(frame)
    tables = _tables(directory, frame, scaling)
    paths = [_write_csv(frame, directory / "records.csv"), _write_csv(scaling, directory / "scaling.csv")]
    paths += write_tables(tables, directory / "tables")
    figures = write_figures(frame, directory / "figures")
    left_out = _left_out(directory)
    page = render_page(
        title=f"vbench report: {directory.resolve().name}",
        environments=used,
        date=_date(records),
        summary=summary(frame),
        tables=tables,
        records=last_clean_attempts(records, Pace(records)),
        frame=frame,
        settings=explorer(frame, published_frame()),
        left_out=left_out,
        figures=[path for path in figures if path.suffix == ".svg"],
    )
    paths += [*figures, _write_text(page, directory / "index.html")]
    return [*paths, _write_text(readme(directory, frame, used, left_out, figures), directory / "README.md")]


def _tables(directory: Path, frame: pd.DataFrame, scaling: pd.DataFrame) -> list[Table]:
    """Every table that has rows: of the records, of the certificates and claims beside them, of what did not run."""
    tables = report_tables(frame, published_frame(), claims_frame()) + deployment_tables(frame, published_frame())
    certificates = read_certificates(directory)
    if (certified := certificates_table(certificates, directory)) is not None:
        tables += [mechanisms_table(certificates, frame), certified]
    tables += along_time_tables(frame) + hardware_tables(frame)
    tables += [compressed_table(frame, published_frame()), techniques_table(frame), normalisation_table(frame)]
    tables += [scaling_table(scaling), judged_table(read_judged(directory))]
    tables += [unfinished_table(unfinished(frame))]
    return [table for table in tables if not table.data.empty]


def summary(frame: pd.DataFrame) -> dict[str, int]:
    """How many cells have each status."""
    return {status: int((frame["status"] == status).sum()) for status in STATUSES}


def unfinished(frame: pd.DataFrame) -> pd.DataFrame:
    """The failed and skipped rows."""
    return frame[frame["status"].isin(("failed", "skipped"))]


def readme(
    directory: Path, frame: pd.DataFrame, environments: dict[str, Environment], left_out: str, figures: list[Path]
) -> str:
    """What ran where, what did not and why, as Markdown."""
    counts = ", ".join(f"{number} {status}" for status, number in summary(frame).items())
    parts = [
        f"# {markdown_text(directory.resolve().name)}",
        f"{len(frame)} cells: {counts}. {CONVENTION}.",
        "`records.jsonl` is the truth, raw samples included; `vbench report` makes all other files here from it. "
        "[The page](index.html) holds them all.",
        _environments_text(environments),
        _noisy_text(frame),
        _unfinished_text(frame),
        f"## Left out by the budget\n\n```text\n{left_out}\n```" if left_out else "",
        _figures_text(figures),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _environments_text(environments: dict[str, Environment]) -> str:
    blocks = [
        "\n".join(f"- {name}: {markdown_text(text)}" for name, text in environment_rows(environment))
        for environment in environments.values()
    ]
    return "## Where it ran\n\n" + ("\n\n".join(blocks) or "No environment is recorded.")


def _noisy_text(frame: pd.DataFrame) -> str:
    noisy = frame[(frame["status"] == "measured") & (frame["quality"] != "clean")]
    rows = "\n".join(f"- `{row.cell}`: {markdown_text(str(row.quality))}" for row in noisy.itertuples())
    return f"## Measured while the machine was not quiet\n\n{rows}" if rows else ""


def _unfinished_text(frame: pd.DataFrame) -> str:
    """The cells without figures, gathered by reason."""
    groups = unfinished(frame).groupby(["status", "reason"], sort=False)["cell"]
    lines = [
        f"- {status}, {markdown_text(str(reason))}: " + ", ".join(f"`{cell}`" for cell in cells)
        for (status, reason), cells in groups
    ]
    return "## Failed and skipped\n\n" + "\n".join(lines) if lines else ""


def _figures_text(figures: list[Path]) -> str:
    pictures = [path.stem for path in figures if path.suffix == ".png"]
    return "\n\n".join(f"![{name.replace('_', ' ')}](figures/{name}.png)" for name in pictures)


def _left_out(directory: Path) -> str:
    path = directory / LEFT_OUT
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _date(records: list[Record]) -> str:
    return max(record.started_at for record in records)[:10]


def _write_csv(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False, lineterminator="\n")
    return path


def _write_text(text: str, path: Path) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
