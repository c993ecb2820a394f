"""Tables of a report: the raw values for CSV, the same as text for Markdown, the page and the terminal.

1 multiply-add = 1 MAC = 2 FLOPs; a column of GMACs per view is what papers print as GFLOPs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd
import rich.box
import rich.table
from rich.text import Text
from tabulate import tabulate

from vbench.analysis.comparison import comparison_frame
from vbench.analysis.frame import at_default_clip, in_tokens
from vbench.analysis.guide import Guide
from vbench.report.columns import (
    CONSOLE_COLUMNS,
    K400_COLUMNS,
    LATENCY_COLUMNS,
    MODEL_COLUMNS,
    NARROW_CONSOLE_COLUMNS,
    PATTERN_COLUMNS,
    SCALING_COLUMNS,
    Column,
)
from vbench.units import accuracy, seconds, size

WIDE = 132  # characters that the whole console table takes
CONVENTION = "1 multiply-add = 1 MAC = 2 FLOPs; papers' GFLOPs are GMACs per view"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table under its file name: the data as they are, and how each column reads."""

    name: str
    title: str
    note: str
    data: pd.DataFrame
    columns: tuple[Column, ...]

    @property
    def heads(self) -> list[str]:
        """The columns' heads, units included."""
        return [head for head, _ in self.columns]

    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [[text(row) for _, text in self.columns] for row in self.data.itertuples(index=False)]

    def markdown(self) -> str:
        """The table as GitHub Markdown under its title and note."""
        rows = [[markdown_text(cell) for cell in row] for row in self.cells()]
        grid = tabulate(rows, headers=self.heads, tablefmt="pipe", disable_numparse=True)
        return f"# {self.title}\n\n{self.note}\n\n{grid}\n"


def report_tables(frame: pd.DataFrame, published: pd.DataFrame, claims: pd.DataFrame) -> list[Table]:
    """Every table of a report that has rows."""
    compared = comparison_frame(frame, published, claims)
    tables = [k400_table(compared, "K400-1"), k400_table(compared, "K400-2")]
    tables += [models_table(frame), patterns_table(frame), latency_table(frame)]
    return [table for table in tables if not table.data.empty]


def k400_table(compared: pd.DataFrame, name: str) -> Table:
    """Claimed, published and counted figures on Kinetics-400 of one comparison table."""
    return Table(
        name=name,
        title=f"Table {name}: claimed, published, measured",
        note=f"{CONVENTION}. Parameters in millions. Top-1 on Kinetics-400 in percent is quoted, never measured here. "
        "The latency is one view in fp32, batch 1, with its 95 % interval over processes.",
        data=compared[compared["table"] == name],
        columns=K400_COLUMNS,
    )


def models_table(frame: pd.DataFrame) -> Table:
    """What each architecture costs on paper at its default clip."""
    own = frame[at_default_clip(frame) & (frame["kind"] != "pattern") & frame["macs"].notna() & (frame["batch"] == 1)]
    return Table(
        name="models",
        title="Models at their default clips",
        note=f"{CONVENTION}. Counted, the same on every machine; the predicted peak is that of tensors.",
        data=own.drop_duplicates("model").sort_values("model"),
        columns=MODEL_COLUMNS,
    )


def patterns_table(frame: pd.DataFrame) -> Table:
    """Attention patterns timed as bare modules on grids of tokens."""
    bare = frame[in_tokens(frame) & (frame["status"] == "measured")]
    return Table(
        name="patterns",
        title="Attention patterns",
        note=f"{CONVENTION}. Bare modules on grids of tokens T x H x W; times with 95 % intervals over processes.",
        data=bare.sort_values(["model", "tokens"], kind="stable"),
        columns=PATTERN_COLUMNS,
    )


def latency_table(frame: pd.DataFrame) -> Table:
    """Every measured cell of a network."""
    measured = frame[(frame["status"] == "measured") & ~in_tokens(frame)]
    return Table(
        name="latency",
        title="Measured cells",
        note="The median over fresh processes with its 95 % interval; peak memory is the whole process's.",
        data=measured.sort_values(["model", "frames", "height"], kind="stable"),
        columns=LATENCY_COLUMNS,
    )


def scaling_table(scaling: pd.DataFrame) -> Table:
    """The exponents of `scaling_frame` with their intervals and ranges."""
    return Table(
        name="scaling",
        title="How cost grows",
        note="Exponent e of y = c x^e by least squares on logarithms, with its 95 % interval, over at least 5 sizes. "
        "An exponent of 1 in H*W is linear in the number of pixels or tokens.",
        data=scaling,
        columns=SCALING_COLUMNS,
    )


def write_tables(tables: Iterable[Table], directory: Path) -> list[Path]:
    """Each table as `NAME.md` and, raw, as `NAME.csv`; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in tables:
        text, raw = directory / f"{table.name}.md", directory / f"{table.name}.csv"
        text.write_text(table.markdown(), encoding="utf-8")
        table.data.to_csv(raw, index=False, lineterminator="\n")
        paths += [text, raw]
    return paths


def console_table(frame: pd.DataFrame, width: int = WIDE) -> rich.table.Table:
    """The measured cells for a terminal of `width` characters; below them what was only counted, at default clips."""
    measured = frame[frame["status"] == "measured"].sort_values(["kind", "model", "frames", "height"], kind="stable")
    only_counted = (frame["status"] == "counted") & ~frame["model"].isin(set(measured["model"]))
    columns = CONSOLE_COLUMNS if width >= WIDE else NARROW_CONSOLE_COLUMNS
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, caption=CONVENTION, caption_justify="left")
    for head, _ in columns:
        table.add_column(head, justify="left" if head in ("model", "clip", "quality") else "right", no_wrap=True)
    for part in (measured, frame[only_counted & at_default_clip(frame)]):
        for row in part.itertuples(index=False):
            table.add_row(*(Text(text(row)) for _, text in columns))
        table.add_section()
    return table


def guide_table(guide: Guide) -> rich.table.Table:
    """The ranked choices for a terminal, the Pareto front marked, and below them what was ruled out by which limit."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, caption=CONVENTION, caption_justify="left")
    for head in ("model", "top-1 %", "latency of the video", "a view", "peak memory", "basis"):
        table.add_column(head, justify="left" if head in ("model", "basis") else "right")
    for choice in guide.ranking:
        table.add_row(
            Text(choice.name + (" *" if choice.name in guide.front else "")),
            "not published" if choice.top1 is None else accuracy(choice.top1),
            seconds(choice.latency_video_s or math.nan),
            seconds(choice.latency_s or math.nan),
            size(choice.peak_memory_bytes or math.nan),
            Text(choice.basis),
        )
    table.add_section()
    for ruled_out in guide.ruled_out:
        table.add_row(Text(ruled_out.name, style="dim"), "", "", "", "", Text(f"ruled out: {ruled_out.limit}"))
    return table


def markdown_text(text: str) -> str:
    """Text that a Markdown table shows as it is: no cell ends early, no markup starts."""
    return escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
