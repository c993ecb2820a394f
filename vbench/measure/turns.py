"""What a side of a comparison is, and what its process is told; imports no torch, so that the parent stays small."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from vbench.cell import Cell
from vbench.errors import VbenchError
from vbench.measure.revisions import Source, import_from

PROTOCOL = "vbench.measure.protocol"


class Turn(NamedTuple):
    """A burst of forwards: some that are not timed, then samples of one forward or, where it is short, a block."""

    settling: int
    samples: int
    block: int


class Timed(NamedTuple):
    """One sample, in seconds of a forward: less what its thread waited for a core, and by the clock on the wall."""

    own_s: float
    wall_s: float


class Ready(NamedTuple):
    """A side that is built and warm."""

    forward_s: float
    kernel_ran: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of two things that are compared."""

    label: str
    cell: Cell
    source: Source | None = None  # None: the code as it is installed


def can_take_turns(*cells: Cell) -> bool:
    """Whether a side's process can run each of the cells: a forward in eager mode, of one process."""
    return all(cell.mode == "infer" and cell.backend == "eager" and cell.ranks == 1 for cell in cells)


def enter_side(task: str, connection: Connection, side: Side, *arguments: Any) -> None:
    """Run `count` or `serve` for one side; the first thing a fresh process does."""
    if side.source is not None:
        try:
            import_from(side.source, side.cell.model)
        except VbenchError as error:
            connection.send(importlib.import_module(PROTOCOL).Refusal(str(error)))
            return
    getattr(importlib.import_module("vbench.measure.turn_worker"), task)(connection, side, *arguments)
