"""What the page carries for its scripts: tables by column, cells by their parts, samples while they fit.

Ten thousand records are to fit into a few megabytes, so words stand once and are referred to by their place, the id and
the command of a cell are put together from parts that cells share, and samples are whole numbers of a power of ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from vbench.analysis.reproduction import command_parts
from vbench.report.columns import BesidePage, CellId, Number, Row
from vbench.report.tables import Table
from vbench.results import Counted, Environment, Measured, ProcessRun, Record

SAMPLE_DIGITS = 4  # at least, of every sample


class Places:
    """Things in the order in which they first came, and the place of each."""

    def __init__(self, things: Iterable[Hashable] = ()) -> None:
        self._places: dict[Any, int] = {}
        for thing in things:
            self.of(thing)

    def of(self, thing: Hashable) -> int:
        """The place of a thing that is there or joins now."""
        return self._places.setdefault(thing, len(self._places))

    def known(self, thing: Hashable) -> int | None:
        """The place of a thing that is there."""
        return self._places.get(thing)

    def __iter__(self) -> Iterator[Any]:
        """The things in their order."""
        return iter(self._places)


def carried_table(table: Table, cells: Places) -> dict[str, Any]:
    """A table's name, how many rows it has, and its columns."""
    rows = list(table.data.itertuples(index=False))
    return {
        "name": table.name,
        "rows": len(rows),
        "columns": [{"head": head} | _column(reading, rows, cells) for head, reading in table.columns],
    }


def _column(reading: Callable[[Row], str], rows: Sequence[Row], cells: Places) -> dict[str, Any]:
    """The texts of a column, or its cells by place, and what more its kind of reading knows."""
    if isinstance(reading, CellId):
        return {"cells": [cells.known(getattr(row, reading.name)) for row in rows]}
    column = _words([reading(row) for row in rows])
    if isinstance(reading, Number):
        column["values"] = [_short(reading.value(row)) for row in rows]
        column["quoted"] = reading.quoted
    if isinstance(reading, BesidePage):
        column["beside"] = True
    return column


def _words(texts: list[str]) -> dict[str, Any]:
    """The texts; where most repeat, each once with the places of all."""
    words = Places(texts)
    each = list(words)
    return {"words": each, "at": [words.of(text) for text in texts]} if 2 * len(each) < len(texts) else {"texts": texts}


def _short(value: float) -> float | int | None:
    """The value to six digits, enough to sort by; None where there is none."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def carried_cells(
    records: Sequence[Record], frame: pd.DataFrame, environments: Mapping[str, Environment]
) -> dict[str, Any]:
    """Every cell: parts of its id and command, environment, status, quality or reason, day, and figures.

    `records` are those that the rows of `frame` show, in their order.
    """
    parts = {name: Places() for name in ("models", "extents", "settings", "statuses", "remarks", "times")}
    known = Places(environments)
    rows = []
    for record, row in zip(records, frame.itertuples(index=False), strict=True):
        model, extent, setting = _id_and_command(record)
        rows.append(
            [
                parts["models"].of(model),
                parts["extents"].of(extent),
                parts["settings"].of(setting),
                known.known(record.environment),
                parts["statuses"].of(record.status),
                parts["remarks"].of(row.quality or row.reason),
                parts["times"].of(record.started_at[:16].replace("T", " ")),
                [_short(getattr(row, name)) for name in ("latency_median_s", "latency_low_s", "latency_high_s")],
            ]
        )
    return {name: list(places) for name, places in parts.items()} | {"rows": rows}


def _id_and_command(record: Record) -> list[tuple[str, str]]:
    """Model, extent and setting as they stand in the cell's id, each with its part of the command."""
    cell = record.cell
    extent, _, setting = cell.id.removeprefix(f"{cell.model}/").partition("/")
    commands = command_parts(cell, counted=isinstance(record, Counted))
    return list(zip((cell.model, extent, setting), commands, strict=True))


def carried_samples(records: Iterable[Record], room_bytes: int) -> tuple[list[Any], int]:
    """The samples of each record, None where it has none or they do not fit, and of how many cells they did not.

    A cell's are [power of ten, samples of the first process, of the second, ...], in seconds times that power.
    """
    carried: list[Any] = []
    left_out = 0
    for record in records:
        samples = scaled_samples(record.processes) if isinstance(record, Measured) else None
        size = len(str(samples))
        if samples is not None and size > room_bytes:
            samples, left_out, size = None, left_out + 1, 0
        room_bytes -= size
        carried.append(samples)
    return carried, left_out


def scaled_samples(processes: Sequence[ProcessRun]) -> list[Any]:
    """Whole numbers, `SAMPLE_DIGITS` digits for the least sample, and the power of ten that they are in."""
    least = min((sample for run in processes for sample in run.latency_s if sample > 0), default=1.0)
    power = SAMPLE_DIGITS - 1 - math.floor(math.log10(least))
    return [power, *([round(sample * 10.0**power) for sample in run.latency_s] for run in processes)]
