"""The store of a sweep: `records.jsonl`, one line a record; read, resumed and repaired here.

Beside it stand `environments.jsonl`, `pairs.jsonl` with what interleaved pairs of two cells said, and, while a sweep is
under way, `journal.jsonl` with the processes of the cell in hand, so that a kill loses no more than the process that it
hits, and `counts.jsonl` with what was counted of cells that have not run yet. Processes, pairs, measured and failed
records are flushed to the disk one by one; counts and counted records, which cost less to make than a flush, are not.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vbench import jsonl
from vbench.decoding import NoRecordError
from vbench.directory import SweepDirectory
from vbench.errors import StoreError
from vbench.results import (
    Counts,
    Environment,
    PairedCells,
    ProcessRun,
    Record,
    counts_from_json,
    process_from_json,
    record_to_json,
)

RECORDS, ENVIRONMENTS, JOURNAL, COUNTS, LEFT_OUT, PAIRS = (
    "records.jsonl", "environments.jsonl", "journal.jsonl", "counts.jsonl", "left_out.txt", "pairs.jsonl",
)  # fmt: skip

MEASURED_ONCE = ("floor_bytes", "matmul_flops_per_second", "copy_bytes_per_second")  # of an environment


class Store:
    """The files of one sweep's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files = SweepDirectory(directory)

    def records(self) -> list[Record]:
        """Every whole record, oldest first; a line that stands there twice counts once.

        Raises:
            StoreError: a line in the middle is broken, or of another schema version.
        """
        with without_collection():
            return list(self._distinct(self._refuse_rubbish, torn_end=False))

    def resume(self) -> tuple[list[Record], list[str]]:
        """Every whole record, and in words which lines were no records and were set aside.

        Raises:
            StoreError: a record is of another schema version, or the directory cannot be written.
        """
        broken: list[int] = []
        with without_collection():
            records = list(self._distinct(lambda number, _: broken.append(number), torn_end=True))
        return records, self._files.set_aside(RECORDS, broken)

    def environments(self) -> dict[str, Environment]:
        """The environments of the records, by fingerprint."""
        documents = self._documents(ENVIRONMENTS, ("fingerprint",))
        try:
            return {document["fingerprint"]: Environment(**document) for document in documents}
        except TypeError as error:
            raise StoreError(f"{self.directory / ENVIRONMENTS} holds a broken environment: {error}") from None

    def append(self, *records: Record) -> None:
        """Write records, and drop the journal of the cell that was under way."""
        lines = [_line(record_to_json(record)) for record in records]
        self._files.append(RECORDS, lines, flush=any(record.status in ("measured", "failed") for record in records))
        self._files.remove(JOURNAL)

    def add_environment(self, environment: Environment) -> None:
        """Write the environment, once; again where more has been measured of it: the last line stands."""
        known = self.environments().get(environment.fingerprint)
        if known is None or any(getattr(environment, fact) and not getattr(known, fact) for fact in MEASURED_ONCE):
            self._files.append(ENVIRONMENTS, [_line(asdict(environment))], flush=True)

    def journal(self, cell_id: str, fingerprint: str, attempt: int) -> list[ProcessRun]:
        """The processes of an unfinished cell that ran before a kill, in this environment and for this attempt."""
        mine = {"id": cell_id, "environment": fingerprint, "attempt": attempt}
        documents = self._documents(JOURNAL, (*mine, "process"))
        found = [entry["process"] for entry in documents if all(entry[key] == mine[key] for key in mine)]
        with suppress(KeyError, TypeError, ValueError):  # another version's: those processes run again
            return [process_from_json(process) for process in found]
        return []

    def note(self, cell_id: str, fingerprint: str, attempt: int, process: ProcessRun) -> None:
        """Write down one process of the cell that is under way."""
        entry = {"id": cell_id, "environment": fingerprint, "attempt": attempt, "process": asdict(process)}
        self._files.append(JOURNAL, [_line(entry)], flush=True)

    def counts(self) -> dict[tuple[str, str], Counts]:
        """What was counted of cells that had not run yet, by cell id and by the version of the code that counted."""
        found = {}
        for entry in self._documents(COUNTS, ("id", "code", "counts")):
            with suppress(KeyError, TypeError, ValueError):  # another version's: counted again
                found[entry["id"], entry["code"]] = counts_from_json(entry["counts"])
        return found

    def keep_counts(self, cell_id: str, code: str, counts: Counts) -> None:
        """Write down what a cell costs, so that a resumed sweep need not count it again."""
        self._files.append(COUNTS, [_line({"id": cell_id, "code": code, "counts": asdict(counts)})], flush=False)

    def pairs(self) -> list[PairedCells]:
        """The cells that ran in interleaved pairs, oldest first."""
        found = []
        for entry in self._documents(PAIRS, ("first", "second", "log_ratios", "ratio")):
            with suppress(TypeError):  # another version's
                lists = {name: tuple(entry[name]) for name in ("log_ratios", "ratio")}
                found.append(PairedCells(**{**entry, **lists}))
        return found

    def add_pairs(self, pairs: PairedCells) -> None:
        """Write down what the pairs of two cells said."""
        self._files.append(PAIRS, [_line(asdict(pairs))], flush=True)

    def write_left_out(self, cells: Sequence[str]) -> None:
        """Write the ids of the cells that the budget left out; where there are none, drop that file and the counts."""
        if not cells:
            self._files.remove(LEFT_OUT, COUNTS)
            return
        self._files.replace(LEFT_OUT, "".join(f"{cell}\n" for cell in cells).encode())

    @contextmanager
    def writing(self) -> Iterator[list[str]]:
        """Hold the directory for one writer, and set aside broken lines; yields what was set aside, in words.

        The records are left to `resume`, which reads them anyway.

        Raises:
            StoreError: the directory cannot be written or is full, or another sweep holds it.
        """
        with self._files.held():
            yield [word for name in (ENVIRONMENTS, JOURNAL, COUNTS, PAIRS) for word in self._files.mend(name)]

    def _distinct(self, on_rubbish: Callable[[int, str], object], *, torn_end: bool) -> Iterator[Record]:
        """The records, each once: a copy of a line is no second observation."""
        path = self.directory / RECORDS
        seen: dict[tuple[object, ...], Record] = {}
        decoded = _decoder()
        for number, line in jsonl.numbered_lines(path, torn_end=torn_end):
            try:
                record = decoded(line, f"{path}, line {number}")
            except NoRecordError:
                on_rubbish(number, f"{path}, line {number}")
                continue
            known = seen.setdefault((record.cell, record.environment, record.attempt, record.status), record)
            if known is record or known != record:
                yield record

    def _refuse_rubbish(self, _number: int, where: str) -> None:
        raise StoreError(f"{where} is no record; `vbench sweep --out {self.directory}` sets such lines aside")

    def _documents(self, name: str, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The objects of a file that have these keys."""
        for _, line in jsonl.numbered_lines(self.directory / name):
            with suppress(ValueError, RecursionError):
                document = json.loads(line)
                if isinstance(document, dict) and all(key in document for key in keys):
                    yield document


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the garbage collector from going through all records again and again while more of them come.

    A frozen record refers to nothing that refers to it: there is nothing to collect.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _decoder() -> Callable[[bytes, str], Record]:
    """msgspec's; the standard library's where the code is newer than what was installed for it."""
    try:
        from vbench.fast_decoding import decoded
    except ModuleNotFoundError:
        from vbench.decoding import decoded
    return decoded


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
