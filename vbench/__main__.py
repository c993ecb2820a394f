"""`vbench` and `python -m vbench`: hears Ctrl-C before anything else is imported."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End the process at a first signal, with one line: nothing has begun yet that could be lost.

    A signal that whoever started the command ignores (`nohup`) stays ignored.
    """
    earlier = {number: signal.getsignal(number) for number in HEARD}
    for number, handler in earlier.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _leave(_number: int, _frame: object) -> None:
    os.write(2, b"vbench: interrupted; the same command resumes\n")
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the command line."""
    with leaving_at_once():
        from vbench import cli
    cli.main()


if __name__ == "__main__":
    main()
