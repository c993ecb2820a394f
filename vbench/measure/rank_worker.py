"""What runs in each rank, as torchrun's launcher starts it: the cell's step built, then led by the first and followed.

    python -m vbench.measure.rank_worker SOCKET     (RANK and the like stand in the environment)

The task, a cell with its stop rule and its deadline, comes over the socket; the first rank answers as the only process
of another cell does. A rank that cannot go on says why and fails, and the launcher ends the others.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import ExitStack
from multiprocessing.connection import Client, Connection

from vbench.cell import Cell
from vbench.measure.protocol import Refusal, StopRule
from vbench.results import ProcessRun

PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent ends


def main() -> None:
    """Be one of the ranks."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = Client(sys.argv[1])  # fails where the parent ended before that
    cell, rule, deadline_s = connection.recv()
    from vbench.measure.worker import answer  # imports torch: not before it is known that somebody waits

    told = answer(lambda: take_part(connection, cell, rule, deadline_s))
    if told is not None:
        connection.send(told)
    os._exit(isinstance(told, Refusal))


def take_part(connection: Connection, cell: Cell, rule: StopRule, deadline_s: float) -> ProcessRun | None:
    """The first rank's measurement, in which it leads the others; None on these, which follow."""
    from vbench.measure.data_parallel import joined, led_to_the_end
    from vbench.measure.worker import measured_here

    if joined(cell.device) == 0:
        with led_to_the_end():
            return measured_here(connection, cell, rule, deadline_s)
    _follow(cell)
    return None


def _follow(cell: Cell) -> None:
    """Build what the first rank builds, and do with it what that says."""
    from vbench.measure.data_parallel import follow
    from vbench.measure.prepare import build, prepare
    from vbench.measure.worker import prepare_process

    prepare_process(cell)
    network, inputs = build(cell)
    with ExitStack() as stack:
        ready = prepare(cell, network, inputs, stack)
        assert ready.forward is not None, "ranks train"
        follow((ready.run, ready.forward), cell.device)


if __name__ == "__main__":
    main()
