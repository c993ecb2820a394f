"""What runs in a fresh process of a pair: one side built and warmed up, then a block of forwards whenever told."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection

import torch

from vbench.measure.kernels import kernel_context
from vbench.measure.latency import Run, Samples, warm_up
from vbench.measure.memory import PROCESS_PEAKS
from vbench.measure.own_time import own_clock
from vbench.measure.precision import precision_context
from vbench.measure.prepare import Forward, build, first_forward
from vbench.measure.protocol import Refusal, StopRule
from vbench.measure.revisions import check_imported
from vbench.measure.turns import Ready, Side, Timed, Turn
from vbench.measure.worker import answer, counts_of, end_with_parent, prepare_process
from vbench.results import Counts

RULE = StopRule(min_warmup_s=0.02, max_warmup_s=0.3)
BRIEF_S = 1.0  # forwards under this are worth one more, to know how long they take without a neighbour


def count(connection: Connection, side: Side) -> None:
    """Count the side and send its Counts, or a Refusal."""
    end_with_parent()
    connection.send(answer(lambda: _counts(side)))
    os._exit(0)


def serve(connection: Connection, side: Side, core: int | None) -> None:
    """Build the side, send Ready, then the samples of every Turn, and its memory peak at the end.

    It takes turns on `core`, once it is built and warm; None: on any.
    """
    end_with_parent()
    told = answer(lambda: _serve(connection, side, core))
    if isinstance(told, Refusal):
        connection.send(told)
    os._exit(0)


def _counts(side: Side) -> Counts:
    counts = counts_of(side.cell)
    check_imported(side.source, side.cell.model)
    return counts


def _serve(connection: Connection, side: Side, core: int | None) -> None:
    cell = side.cell
    prepare_process(cell)
    network, inputs = build(cell)
    samples = Samples()
    with ExitStack() as stack:
        stack.enter_context(precision_context(cell.precision, cell.device))
        stack.enter_context(kernel_context(cell.kernel))
        first_s, kernel_ran = first_forward(network, inputs)
        samples.warmup_s.append(first_s)
        check_imported(side.source, side.cell.model)
        stack.enter_context(torch.inference_mode())
        run = Forward(network, inputs)
        warm_up(run, cell.device, RULE, samples)
        gc.disable()
        if core is not None:
            os.sched_setaffinity(0, {core})
        clock, forward_s = own_clock(cell.device), min(samples.warmup_s)
        if forward_s < BRIEF_S:
            forward_s = min(forward_s, clock(run, 1).own_s)
        connection.send(Ready(forward_s, kernel_ran))
        while (turn := connection.recv()) is not None:
            connection.send(_block(run, clock, turn))
        connection.send(PROCESS_PEAKS[cell.device](run))
        connection.recv()  # stay until the other side is done, too: leaving frees memory, which takes time


def _block(run: Run, clock: Callable[[Run, int], Timed], turn: Turn) -> tuple[Timed, ...]:
    for _ in range(turn.settling):
        run()
    return tuple(clock(run, turn.block) for _ in range(turn.samples))
