"""Attention patterns along time as tables: where two of them change places, and what share is attention's."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.along_time import attention_share_frame, pattern_crossovers_frame
from vbench.report.columns import CROSSOVER_COLUMNS, Column, Row, Word, figure
from vbench.report.tables import CONVENTION, Table


def along_time_tables(frame: pd.DataFrame) -> list[Table]:
    """Both tables, those without rows left out."""
    return [table for table in (pattern_crossovers_table(frame), attention_share_table(frame)) if not table.data.empty]


def pattern_crossovers_table(frame: pd.DataFrame) -> Table:
    """The clip lengths at which two patterns change places, as bare cores, layers and blocks."""
    return Table(
        name="pattern_crossovers",
        title="Crossovers of attention patterns along time",
        note="The T, in tokens, at which two patterns change places: `core` is the attention on given q, k and v, "
        "`layer` has its projections, `block` is the neutral backbone around it, whose frames are T and whose "
        "16 x 16 pixels are a token. Interpolated "
        "and bounded as the crossovers of networks are: exact costs by the lengths on either side, latencies by where "
        "their 95 % intervals do not tell the two apart. Two patterns without a row do not change places for certain.",
        data=pattern_crossovers_frame(frame),
        columns=PATTERN_CROSSOVER_COLUMNS,
    )


def attention_share_table(frame: pd.DataFrame) -> Table:
    """Attention's share of what a backbone costs, along T."""
    return Table(
        name="attention_share",
        title="Attention's share of multiply-adds and of time",
        note=f"{CONVENTION}. Of the neutral backbone around each pattern, fp32, batch 1. The share of time is that of "
        "the bare core on as many tokens, once for each block, in the time of the backbone, with its 95 % interval; it "
        "stands where both were measured.",
        data=attention_share_frame(frame),
        columns=ATTENTION_SHARE_COLUMNS,
    )


def _interval(row: Row) -> str:
    low, high = (units.percent(bound) for bound in (row.time_share_low, row.time_share_high))
    return f"[{low}, {high}]" if low != "-" else "-"


PATTERN_CROSSOVER_COLUMNS: tuple[Column, ...] = (("form", Word("form")), *CROSSOVER_COLUMNS)
ATTENTION_SHARE_COLUMNS: tuple[Column, ...] = (
    ("pattern", Word("pattern")),
    ("T (frames)", figure(units.count, "frames")),
    ("tokens", figure(units.count, "tokens")),
    ("of multiply-adds", figure(units.percent, "macs_share")),
    ("of time", figure(units.percent, "time_share")),
    ("interval", _interval),
    ("hardware", Word("hardware")),
)
