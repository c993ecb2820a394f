"""The store of a sweep: `records.jsonl`, one line a record, flushed; read, resumed and repaired here.

Beside it stand `environments.jsonl` and, while a cell is under way, `journal.jsonl` with the processes of that cell
that already ran, so that a kill loses no more than the process that it hits.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vbench.errors import StoreError
from vbench.results import (
    SCHEMA,
    Environment,
    ProcessRun,
    Record,
    process_from_json,
    record_from_json,
    record_to_json,
)

LEFT_OUT = "left_out.txt"
RECORDS, ENVIRONMENTS, JOURNAL, TORN, LOCK = (
    "records.jsonl", "environments.jsonl", "journal.jsonl", "torn.jsonl", ".lock",
)  # fmt: skip


class Store:
    """The files of one sweep's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def records(self) -> list[Record]:
        """Every whole record, oldest first.

        Raises:
            StoreError: a line in the middle is broken, or of another schema version.
        """
        return [_record(line, self.directory / RECORDS, number) for number, line in self._lines(RECORDS)]

    def environments(self) -> dict[str, Environment]:
        """The environments of the records, by fingerprint."""
        documents = (json.loads(line) for _, line in self._lines(ENVIRONMENTS))
        return {document["fingerprint"]: Environment(**document) for document in documents}

    def append(self, record: Record) -> None:
        """Write one record and drop the journal of its cell."""
        self._append(RECORDS, record_to_json(record))
        (self.directory / JOURNAL).unlink(missing_ok=True)

    def add_environment(self, environment: Environment) -> None:
        """Write the environment, once."""
        if environment.fingerprint not in self.environments():
            self._append(ENVIRONMENTS, asdict(environment))

    def journal(self, cell_id: str, fingerprint: str) -> list[ProcessRun]:
        """The processes of an unfinished cell that ran before a kill, in this environment."""
        documents = (json.loads(line) for _, line in self._lines(JOURNAL))
        mine = (entry for entry in documents if (entry["id"], entry["environment"]) == (cell_id, fingerprint))
        return [process_from_json(entry["process"]) for entry in mine]

    def note(self, cell_id: str, fingerprint: str, process: ProcessRun) -> None:
        """Write down one process of the cell that is under way."""
        self._append(JOURNAL, {"id": cell_id, "environment": fingerprint, "process": asdict(process)})

    def write_left_out(self, cells: list[str]) -> None:
        """Write the ids of the cells that the budget left out; no file where there are none."""
        path = self.directory / LEFT_OUT
        if cells:
            path.write_text("".join(f"{cell}\n" for cell in cells))
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[list[str]]:
        """Hold the directory for one writer, and set aside torn last lines; yields what was set aside, in words.

        Raises:
            StoreError: the directory cannot be written, or another sweep holds it.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / LOCK).open("a+")
        except OSError as error:
            raise StoreError(f"cannot write to {self.directory}: {error.strerror}; choose another --out") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"another sweep is writing {self.directory}; wait for it to end or choose another --out"
                ) from None
            yield [word for name in (RECORDS, ENVIRONMENTS, JOURNAL) if (word := self._set_torn_line_aside(name))]

    def _lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Numbered whole lines; a last line that a kill tore does not count."""
        path = self.directory / name
        if not path.exists():
            return
        with path.open("rb") as file:
            number, line = 0, b""
            for following in file:
                if line:
                    yield number, line
                number, line = number + 1, following
            if line and not _is_torn(line):
                yield number, line

    def _append(self, name: str, document: dict[str, Any]) -> None:
        line = json.dumps(document, separators=(",", ":")) + "\n"
        try:
            with (self.directory / name).open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write {self.directory / name}: {error.strerror}; what was written is kept"
            ) from None

    def _set_torn_line_aside(self, name: str) -> str:
        path = self.directory / name
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if not lines or not _is_torn(lines[-1]):
            return ""
        torn = lines[-1]
        with (self.directory / TORN).open("ab") as aside:
            aside.write(torn.rstrip(b"\n") + b"\n")
        os.truncate(path, path.stat().st_size - len(torn))
        return f"{path} ended in a torn line of {len(torn)} bytes; it is kept in {self.directory / TORN}"


def _is_torn(line: bytes) -> bool:
    """Whether a kill cut the line short: it has no end, or is no JSON."""
    if not line.endswith(b"\n"):
        return True
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _record(line: bytes, path: Path, number: int) -> Record:
    try:
        document = json.loads(line)
        schema = document["schema"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path}, line {number} is no record; set it aside and try again") from None
    if schema != SCHEMA:
        raise StoreError(f"{path}, line {number} has schema version {schema}; this vbench reads version {SCHEMA}")
    try:
        return record_from_json(document)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}, line {number} is a broken record: {error!r}") from None


def latest_records(reports: Path, reference: Path) -> Path:
    """The sweep below `reports` whose records changed last, else the reference.

    Raises:
        StoreError: there is neither.
    """
    sweeps = [path for path in reports.glob(f"*/{RECORDS}") if path.parent.name != "reference"]
    if sweeps:
        return max(sweeps, key=lambda path: path.stat().st_mtime).parent
    for directory in (reports / "reference", reference):
        found = sorted(directory.rglob(RECORDS))
        if found:
            return found[-1].parent
    raise StoreError("no records yet; make some with: vbench sweep --preset quick")
