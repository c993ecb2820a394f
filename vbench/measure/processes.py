"""Fresh processes: started from a forkserver, listened to, and gone when nobody needs them.

The parent alone decides when to end. Ctrl-C, a hang-up and a polite kill reach every process of a terminal or a
service at once; workers and the forkserver do not hear them, but end when their parent does, or when it says so.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from vbench.errors import VbenchError
from vbench.measure.protocol import OUT_OF_MEMORY, Refusal
from vbench.units import seconds

GRACE_S = 10.0  # a worker ends itself at its time-out; one that hangs is killed this much later
STARTS, PAUSE_S = 10, 0.2  # a forkserver that was killed refuses connections until the system has buried it
FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ONE_START_AT_A_TIME = threading.Lock()


@contextmanager
def started_process(
    context: ForkServerContext, enter: Callable[..., None], task: str, *arguments: Any
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A worker that runs `enter(task, connection, *arguments)`, and our end of the connection.

    On leaving it is gone, whatever it was doing.

    Raises:
        VbenchError: the system starts no more processes.
    """
    ours, theirs = context.Pipe()
    process = context.Process(target=enter, args=(task, theirs, *arguments), daemon=True)
    try:
        with theirs, without_main(), _unheard_signals():
            _start(process)
        yield process, ours
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()


def _start(process: ForkServerProcess) -> None:
    for attempt in range(1, STARTS + 1):
        try:
            process.start()
        except (OSError, EOFError) as error:
            if attempt == STARTS:
                why = getattr(error, "strerror", None) or "the server of processes ended"
                raise VbenchError(f"cannot start a fresh process: {why}") from None
            time.sleep(PAUSE_S)
        else:
            return


@contextmanager
def _unheard_signals() -> Iterator[None]:
    """Block what is meant for the parent; a forkserver started meanwhile inherits that, and so do its workers."""
    resource_tracker.ensure_running()  # it would lift the block again
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


@contextmanager
def without_main() -> Iterator[None]:
    """Keep a fresh process from importing the caller's script again: it needs this package and nothing else."""
    with _ONE_START_AT_A_TIME:
        main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def receive(process: ForkServerProcess, connection: Connection, timeout_s: float) -> Any:
    """The worker's next message, asleep until it comes; a Refusal where none will come."""
    ready = wait([connection, process.sentinel], max(0.0, timeout_s))
    if not ready:
        return Refusal(f"time-out: no answer in {seconds(timeout_s)}", is_final=True)
    try:
        if connection.poll():
            return connection.recv()
    except (EOFError, OSError):
        pass
    process.join(GRACE_S)
    return Refusal(cause_of_death(process.exitcode), is_final=True)


def cause_of_death(exitcode: int | None) -> str:
    """How a process ended, as the reason of a row."""
    if exitcode == -signal.SIGKILL:
        return f"{OUT_OF_MEMORY}, or killed by hand: the process got SIGKILL"
    if exitcode is not None and exitcode < 0:
        return f"crash: the process got {signal.Signals(-exitcode).name}"
    return f"crash: the process ended with exit code {exitcode}"
