"""The tables of a report over several kinds of hardware: the same cells side by side, and what changes with them."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.side_by_side import changed_conclusions, side_by_side
from vbench.report.columns import CELL, LATENCY, PEAK, Column, Number, Row, Word
from vbench.report.tables import Table


def hardware_tables(frame: pd.DataFrame) -> list[Table]:
    """Both tables; without rows where there is one kind of hardware alone."""
    return [
        Table(
            name="hardware",
            title="Hardware side by side",
            note="The same cell on several kinds of hardware, the quickest first. The median over the processes of one "
            "host with its 95 % interval: processes of two hosts are never mixed.",
            data=side_by_side(frame),
            columns=SIDE_COLUMNS,
        ),
        Table(
            name="hardware-changes",
            title="Conclusions that change with the hardware",
            note="Two models whose order is firm on two kinds of hardware, their intervals apart on each, and not the "
            "same: what one of them says does not hold for the other.",
            data=changed_conclusions(frame),
            columns=CHANGE_COLUMNS,
        ),
    ]


def _times(name: str) -> Number:
    def value(row: Row) -> float:
        return float(getattr(row, name))

    return Number(lambda row: f"{units.three_digits(value(row))} x", value)


SIDE_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("hardware", Word("kind_of_hardware")),
    ("latency", LATENCY),
    ("of the quickest", _times("times_quickest")),
    PEAK,
    CELL,
)
CHANGE_COLUMNS: tuple[Column, ...] = (
    ("setting", Word("setting")),
    ("faster here", Word("faster_here")),
    ("on", Word("here")),
    ("by", _times("by_here")),
    ("faster there", Word("faster_there")),
    ("on the other", Word("there")),
    ("by how much", _times("by_there")),
)
