"""Tables of a report: the raw values for CSV, the same as text for Markdown, LaTeX, the page and the terminal.

1 multiply-add = 1 MAC = 2 FLOPs; a column of GMACs per view is what papers print as GFLOPs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd
import rich.box
import rich.table
from rich.text import Text
from tabulate import tabulate

from vbench.analysis.comparison import comparison_frame
from vbench.analysis.crossover import crossovers_frame
from vbench.analysis.frame import at_default_clip, in_tokens
from vbench.analysis.selection import selection_frame
from vbench.report.columns import (
    CONSOLE_COLUMNS,
    CROSSOVER_COLUMNS,
    K400_COLUMNS,
    LATENCY_COLUMNS,
    MODEL_COLUMNS,
    NARROW_CONSOLE_COLUMNS,
    PATTERN_COLUMNS,
    SCALING_COLUMNS,
    SELECTION_COLUMNS,
    UNFINISHED_COLUMNS,
    Column,
    Number,
)

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

    def latex(self) -> str:
        """The table as a LaTeX `tabular` for the package booktabs, its title and note in a comment above."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.cells()]
        sides = ["right" if isinstance(reading, Number) else "left" for _, reading in self.columns]
        grid = tabulate(rows, headers=self.heads, tablefmt="latex_booktabs", disable_numparse=True, colalign=sides)
        comment = " ".join(f"{self.title}. {self.note}".split())
        return f"% {comment}\n% \\usepackage{{booktabs}}\n{grid}\n"


def report_tables(frame: pd.DataFrame, published: pd.DataFrame, claims: pd.DataFrame) -> list[Table]:
    """Every table of a report that has rows."""
    compared = comparison_frame(frame, published, claims)
    tables = [k400_table(compared, "K400-1"), k400_table(compared, "K400-2")]
    tables += [models_table(frame), patterns_table(frame), latency_table(frame)]
    tables += [selection_table(frame, published), crossovers_table(frame)]
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


def selection_table(frame: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Architecture by clip length, held against the literature's advice."""
    return Table(
        name="selection_guide",
        title="Selection guide: short, medium and long clips",
        note=f"{CONVENTION}. What one clip of so many frames costs each model at its own crop, in fp32, batch 1; one "
        "that remembers takes it clip by clip. `advice` says whether the literature advises the model for this length "
        "or one instead of it (`rival`); its cost is decided by latency where both were measured, else by "
        "multiply-adds. Memory fits by the predicted peak. Accuracy is quoted where somebody published top-1 on "
        "Kinetics-400 for so many frames of this crop, and undecided where nobody did.",
        data=selection_frame(frame, published),
        columns=SELECTION_COLUMNS,
    )


def crossovers_table(frame: pd.DataFrame) -> Table:
    """The clip lengths at which two models change places."""
    return Table(
        name="crossovers",
        title="Crossovers over clip length",
        note="The number of frames at which two models change places, interpolated on logarithms between the lengths "
        "that were counted or measured. Where costs are exact, the interval is these lengths; of latencies it is where "
        "the 95 % intervals of the two do not tell them apart. Where no shorter or no longer clip tells them apart "
        "there may be no crossover, and none is listed.",
        data=crossovers_frame(frame),
        columns=CROSSOVER_COLUMNS,
    )


def unfinished_table(rows: pd.DataFrame) -> Table:
    """The rows of cells that failed or were skipped, with the reason."""
    return Table(
        name="unfinished",
        title="Failed and skipped",
        note="A failed cell is a row: out of memory, time-out, crash or error. A skipped one was not tried.",
        data=rows,
        columns=UNFINISHED_COLUMNS,
    )


def write_tables(tables: Iterable[Table], directory: Path) -> list[Path]:
    """Each table as `NAME.md`, `NAME.tex` and, raw, `NAME.csv`; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in tables:
        for ending, text in (("md", table.markdown()), ("tex", table.latex())):
            paths.append(directory / f"{table.name}.{ending}")
            paths[-1].write_text(text, encoding="utf-8")
        paths.append(directory / f"{table.name}.csv")
        table.data.to_csv(paths[-1], index=False, lineterminator="\n")
    return paths


def console_table(frame: pd.DataFrame, width: int = WIDE) -> rich.table.Table:
    """The measured cells for a terminal of `width` characters; below them what was only counted, at default clips.

    Where the settings of these cells differ, a column of its own says in what.
    """
    measured = frame[frame["status"] == "measured"].sort_values(["kind", "model", "frames", "height"], kind="stable")
    only_counted = (frame["status"] == "counted") & ~frame["model"].isin(set(measured["model"]))
    counted = frame[only_counted & at_default_clip(frame)]
    columns = _console_columns(differing_settings([*measured["cell"], *counted["cell"]]), width)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, caption=CONVENTION, caption_justify="left")
    for head, _ in columns:
        is_text = head in ("model", "clip", "setting", "quality")
        table.add_column(head, justify="left" if is_text else "right", no_wrap=head != "setting")
    for part in (measured, counted):
        for row in part.itertuples(index=False):
            table.add_row(*(Text(text(row)) for _, text in columns))
        table.add_section()
    return table


def _console_columns(settings: Mapping[str, str], width: int) -> tuple[Column, ...]:
    """The columns that the terminal has room for; what a setting changes goes before what it leaves as it is."""
    longest = max(map(len, settings.values()), default=0)
    is_wide = width >= WIDE + longest
    columns = CONSOLE_COLUMNS if is_wide else NARROW_CONSOLE_COLUMNS
    if not longest:
        return columns
    model, clip, *rest = columns
    figures = rest if is_wide else [column for column in rest if column[0] in ("peak memory", "latency")]
    return (model, clip, ("setting", lambda row: settings[row.cell] or "-"), *figures)


def differing_settings(cells: Iterable[str]) -> dict[str, str]:
    """What is not alike in the settings of all these cells, in words, by their ids; empty texts where all is alike."""
    words = {cell: _setting_words(cell) for cell in cells}
    alike = set.intersection(*map(set, words.values())) if words else set()
    return {cell: " ".join(word for word in said if word not in alike) for cell, said in words.items()}


def _setting_words(cell: str) -> list[str]:
    """Batch, precision and so on, then `ranks=2` and the like: an id without its model and extent."""
    first, *later = re.split(r"/(?=[a-z]+=)", re.split(r"/[gt]\d+x\d+x\d+/", cell)[-1])
    return [*first.split("/"), *later]


def markdown_text(text: str) -> str:
    """Text that a Markdown table shows as it is: no cell ends early, no markup starts."""
    return escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
