"""A polite kill and a hang-up end a command as Ctrl-C does: in one line, with what was measured kept."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Iterator
from contextlib import contextmanager

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first of these signals; the next ones do not disturb the ending.

    A signal that whoever started the command ignores (`nohup`) stays ignored.
    """
    earlier = {number: signal.getsignal(number) for number in HEARD}
    for number, handler in earlier.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    atexit.register(_ignore)  # the interpreter's own end is no place for a traceback
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    _ignore()
    raise KeyboardInterrupt


def _ignore() -> None:
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
