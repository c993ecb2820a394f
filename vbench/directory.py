"""The directory of a sweep: held by one writer, and written so that the system's refusal is one line.

A small file in reserve makes room for what is in memory when the disk fills up; the sweep then ends and says so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from vbench import jsonl
from vbench.errors import StoreError

TORN, LOCK, RESERVE = "torn.jsonl", ".lock", ".reserve"
RESERVE_BYTES = 2**18  # ten records of the longest kind
FULL = (errno.ENOSPC, errno.EDQUOT)


class SweepDirectory:
    """The files of one directory, by name; every refusal is a StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory, made if need be, for one writer, with some space in reserve.

        Raises:
            StoreError: the directory cannot be written or is full, or another sweep holds it.
        """
        with self._lock() as lock:
            self._hold(lock)
            self._set_space_aside()
            try:
                yield
            finally:
                with suppress(OSError):
                    (self.path / RESERVE).unlink(missing_ok=True)

    def append(self, name: str, lines: Sequence[bytes], *, flush: bool) -> None:
        """Add whole lines; on a full disk, add them into the reserve, and then refuse to go on."""
        path = self.path / name
        with self._writable(name):
            try:
                jsonl.append(path, lines, flush=flush)
            except OSError as error:
                if error.errno not in FULL or not (self.path / RESERVE).exists():
                    raise
                (self.path / RESERVE).unlink()
                jsonl.append(path, lines, flush=flush)
                raise StoreError(
                    f"no space left in {self.path}; everything measured so far is written there: free some space and "
                    "run the same command again"
                ) from None

    def replace(self, name: str, content: bytes) -> None:
        """Write a file anew, at once or not at all."""
        with self._writable(name):
            jsonl.replace(self.path / name, content)

    def remove(self, *names: str) -> None:
        """Delete files that need not be there."""
        for name in names:
            with self._writable(name):
                (self.path / name).unlink(missing_ok=True)

    def mend(self, name: str) -> list[str]:
        """Set aside the lines that are no JSON; in words, which."""
        lines = jsonl.numbered_lines(self.path / name, torn_end=True)
        return self.set_aside(name, [number for number, line in lines if not jsonl.is_json(line)])

    def set_aside(self, name: str, broken: Sequence[int]) -> list[str]:
        """Move lines into a file of their own; in words, which."""
        if not broken:
            return []
        with self._writable(name):
            jsonl.set_aside(self.path / name, broken, self.path / TORN)
        numbers = ", ".join(map(str, broken[:3])) + " ..." * (len(broken) > 3)
        what = "a torn or broken line" if len(broken) == 1 else f"{len(broken)} torn or broken lines"
        return [f"{self.path / name} had {what} (line {numbers}); kept in {self.path / TORN}"]

    def _lock(self) -> TextIO:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / LOCK).open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise StoreError(f"cannot write to {self.path}: {error.strerror}; choose another --out") from None

    def _hold(self, lock: TextIO) -> None:
        """Take the lock; the system gives it back when the process ends, however it ends."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StoreError(
                f"another sweep{lock.read(100)} is writing {self.path}; wait for it to end or choose another --out"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot lock {self.path}: {error.strerror}; choose another --out") from None
        with suppress(OSError):  # who holds it is a courtesy
            lock.truncate(0)
            print(f" (process {os.getpid()} on {socket.gethostname()})", end="", file=lock, flush=True)

    def _set_space_aside(self) -> None:
        path = self.path / RESERVE
        if not path.exists() or path.stat().st_size < RESERVE_BYTES:
            self.replace(RESERVE, bytes(RESERVE_BYTES))

    @contextmanager
    def _writable(self, name: str) -> Iterator[None]:
        """Turn the system's refusal into one line."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path / name}: {error.strerror}; what was written before is kept, and the "
                "same command resumes"
            ) from None
