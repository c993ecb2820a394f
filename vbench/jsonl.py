"""A file of JSON lines that outlives kills, full disks and power cuts.

A line is appended whole or not at all: what a full disk took of it is cut off again. A kill or a power cut can still
leave the last line torn, a block of NULs, or rubbish; readers pass over a torn end, and the next writer moves whatever
is no JSON into another file, byte for byte, so that nothing is thrown away.

Durability has a price, so the caller says what is worth it: a flush to the disk costs milliseconds, a measurement
seconds. What was measured is flushed line by line; what can be counted again is left to the kernel, and goes to the
disk with the next line that is flushed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vbench.errors import StoreError

PADDING = b"\0 \t\r\n"  # blanks around a line: Windows' line ends, and the NULs that a power cut leaves in front of one


def numbered_lines(path: Path, *, torn_end: bool = False) -> Iterator[tuple[int, bytes]]:
    """The lines that hold something, with their numbers; a last line that is no JSON only if `torn_end` asks for it.

    Raises:
        StoreError: the file is there and cannot be read.
    """
    with _readable(path):
        file = path.open("rb") if path.exists() else None
    if file is None:
        return
    last: tuple[int, bytes] | None = None
    with file, _readable(path):
        for number, line in enumerate(file, start=1):
            if content := line.strip(PADDING):
                if last:
                    yield last
                last = number, content
    if last and (torn_end or is_json(last[1])):
        yield last


def is_json(line: bytes) -> bool:
    """Whether the line parses."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def append(path: Path, lines: Iterable[bytes], *, flush: bool) -> None:
    """Add whole lines, given without their ends; if that fails, the file is as long as it was.

    Raises:
        OSError: no space, no rights, no directory.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        length = os.fstat(descriptor).st_size
        start = b"" if length == 0 or os.pread(descriptor, 1, length - 1) == b"\n" else b"\n"
        try:
            _write(descriptor, start + b"".join(line + b"\n" for line in lines))
            if flush:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, length)
            raise
    finally:
        os.close(descriptor)
    if flush and length == 0:
        flush_directory(path.parent)


def _write(descriptor: int, content: bytes) -> None:
    """Write everything: the kernel may take less than it is given, and does when the disk fills up."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def flush_directory(directory: Path) -> None:
    """Let a new file's name reach the disk as its content did."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path, broken: Iterable[int], aside: Path) -> None:
    """Move the lines of these numbers to the end of `aside`; the file is replaced at once or not at all.

    Raises:
        OSError: no space, no rights.
    """
    numbers = set(broken)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n") if numbers else []
    split: dict[bool, list[bytes]] = {True: [], False: []}
    for number, line in enumerate(lines, start=1):
        split[number in numbers].append(line)
    if split[True]:
        append(aside, split[True], flush=True)
        replace(path, b"".join(line + b"\n" for line in split[False]))


def replace(path: Path, content: bytes) -> None:
    """Write a file anew: a reader, or a kill at any moment, sees the old one or the new one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the system's refusal into one line."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
