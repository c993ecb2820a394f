"""A cell on several ranks, seen from outside: how many can be had, and the processes that torchrun's launcher starts.

Torchrun is the command line of `torch.distributed.launcher`. A worker uses that directly: on this machine alone, with a
rendezvous of its own on the loopback device and no second try for a rank that died. The ranks
(`vbench.measure.rank_worker`) get their task and tell what they saw over a socket of the system. They end when the
worker does, whatever they are doing, for the kernel sees to that; so a time-out is obeyed and nobody is left behind.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path

from vbench.cell import Cell
from vbench.measure.environment import usable_cores
from vbench.measure.processes import cause_of_death
from vbench.measure.protocol import Refusal, Sample, StopRule
from vbench.results import ProcessRun

RANK = "vbench.measure.rank_worker"
LOOK_S = 0.5  # how often the launcher looks whether all ranks are alive
LAST_WORDS_S = 1.0  # what ranks said before they ended is here by then
LOOPBACK = "lo"  # the device by which gloo talks: by default the one of the host's name, which may be on no network

Told = ProcessRun | Refusal


def threads_of(cell: Cell) -> int:
    """Threads of the cell's process: the ranks share out the cores; 0 leaves the choice for a single one to torch."""
    return cell.threads or (max(1, usable_cores() // cell.ranks) if cell.ranks > 1 else 0)


def too_many(cell: Cell) -> str:
    """Why this machine has no place for so many ranks, in words; empty where it has."""
    if cell.ranks == 1:
        return ""
    if cell.device == "cuda":
        import torch

        here = torch.cuda.device_count()
        return "" if cell.ranks <= here else f"ranks {cell.ranks} need a CUDA device each; this machine has {here}"
    needed, cores = cell.ranks * max(1, cell.threads), usable_cores()
    of_threads = f" of {cell.threads} threads" if cell.threads > 1 else ""
    return "" if needed <= cores else f"ranks {cell.ranks}{of_threads} need {needed} cores; this machine has {cores}"


def measured_on_ranks(connection: Connection, cell: Cell, rule: StopRule, deadline_s: float, directory: Path) -> Told:
    """What the first of the cell's ranks measured, its Samples passed on meanwhile; or why there is nothing.

    `directory` is the caller's, and empty: the socket and the ranks' output lie in it.
    """
    told: list[Told] = []
    with ExitStack() as stack:
        listener = stack.enter_context(Listener(str(directory / "ranks"), backlog=cell.ranks))

        def attend() -> None:
            _attend(listener, cell.ranks, (cell, rule, deadline_s), connection.send, told)

        attendant = threading.Thread(target=attend, daemon=True)
        attendant.start()
        why = _launched(cell.ranks, str(listener.address), directory)
        attendant.join(LAST_WORDS_S)
    measured = [answer for answer in told if isinstance(answer, ProcessRun)]
    return next(iter((*measured, *told)), Refusal(why or "crash: the ranks ended without a word"))


def _attend(
    listener: Listener, number: int, task: object, pass_on: Callable[[Sample], None], told: list[Told]
) -> None:  # fmt: skip
    """Give every rank the task, then listen until all are gone."""
    ranks: list[Connection] = []
    for _ in range(number):
        ranks.append(listener.accept())
        ranks[-1].send(task)
    while ranks:
        for rank in wait(ranks):
            assert isinstance(rank, Connection)
            try:
                said = rank.recv()
            except (EOFError, OSError):
                ranks.remove(rank)
                continue
            if isinstance(said, Sample):
                pass_on(said)
            else:
                told.append(said)


def _launched(number: int, address: str, directory: Path) -> str:
    """Let the ranks run to their end; how the first of them died, or nothing."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.ERROR)  # the launcher's: what a rank did wrong is told once, as the row's reason
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": LOOPBACK}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=directory.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=LOOK_S,
        logs_specs=DefaultLogsSpecs(log_dir=str(directory), redirects=Std.ALL),
        shutdown_timeout=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", RANK, address)
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        return cause_of_death(first.exitcode)
    return ""
