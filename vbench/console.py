"""How a sweep's progress looks: a bar with the time left on a terminal, plain lines in a log; both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vbench.sweep import Listener
from vbench.units import duration

LOG_EVERY_S = 2.0  # counting is quick: a line for every cell would bury the rest


@contextmanager
def listener() -> Iterator[Listener]:
    """The listener that fits stderr."""
    if not sys.stderr.isatty():
        yield LogLines()
        return
    columns = (
        TextColumn("{task.fields[left]:>12} left"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        yield Bar(progress)


class Bar:
    """A Rich progress bar; drawn only when a cell ends, so that nothing runs beside a measurement."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("counting", total=None, left="?")

    def say(self, line: str) -> None:
        """Print above the bar."""
        self._progress.console.print(line, markup=False, highlight=False)

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, completed=done, total=total, left=duration(left_s), description=last, refresh=True
        )


class LogLines:
    """Plain lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._spoke_s = 0.0

    def say(self, line: str) -> None:
        """Print the line."""
        self._console.print(line, markup=False, highlight=False)

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        """Print a line, unless the last one was just printed."""
        if done < total and last.startswith("counted") and time.monotonic() - self._spoke_s < LOG_EVERY_S:
            return
        self._spoke_s = time.monotonic()
        self.say(f"[{done}/{total}] {last}; about {duration(left_s)} left")
