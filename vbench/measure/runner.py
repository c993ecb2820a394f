"""From plans to records: fresh processes, one cell at a time, the parent asleep.

The forkserver has torch and the worker preloaded, so that a fresh process costs a fork. Whatever a process does (an
error, a crash, a kill, a time-out) becomes a record; the sweep goes on.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from vbench.cell import Cell
from vbench.errors import VideoError
from vbench.measure.environment import available_bytes, usable_cores
from vbench.measure.processes import GRACE_S, receive, started_process
from vbench.measure.protocol import OUT_OF_MEMORY, WORKER, Ceilings, Refusal, Sample, StopRule, enter_worker
from vbench.measure.ranks import too_many
from vbench.measure.subject import subject_of
from vbench.results import Counted, Counts, Environment, Failed, Measured, ProcessRun, Record, Skipped
from vbench.stats import median
from vbench.units import size

FLOOR_BYTES = 400 * 2**20  # of a process beside its network, where it was not measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a sweep measures."""

    timeout_s: float = 300.0
    processes: int | None = None  # None: by the length of a forward
    accelerator_bytes: int = 0  # memory of the CUDA device, where there is one
    floor_bytes: int = 0  # of a process beside its network; 0: not measured

    def on(self, here: Environment) -> Settings:
        """The same with what this machine has and takes in memory."""
        return replace(self, accelerator_bytes=here.accelerator_memory_bytes, floor_bytes=here.floor_bytes)


@dataclass(frozen=True, slots=True)
class Journal:
    """Where the processes of the cell under way are written down, and found again after a kill."""

    earlier: Callable[[Cell], list[ProcessRun]]
    note: Callable[[Cell, ProcessRun], None]


NO_JOURNAL = Journal(earlier=lambda _: [], note=lambda _cell, _run: None)  # a cell that is interrupted starts anew


def processes_for(forward_s: float) -> int:
    """How many processes a cell runs in: the interval is over processes, and long forwards must come to an end."""
    return 5 if forward_s < 1 else 3 if forward_s < 10 else 1


class Runner:
    """Starts workers and turns what they answer into records."""

    def __init__(self, settings: Settings, fingerprint: str) -> None:
        self._settings = settings
        self._fingerprint = fingerprint
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([WORKER])

    def count(self, cells: Sequence[Cell]) -> Generator[tuple[Cell, Counts | Refusal]]:
        """Count every cell, as they come, in a process for each core: nothing is timed meanwhile.

        Close the generator to stop early; its processes are gone then.
        """
        answers: SimpleQueue[tuple[Cell, Counts | Refusal] | BaseException] = SimpleQueue()
        crew = _Crew()

        def count_share(share: Sequence[Cell]) -> None:
            try:
                for answer in self._count_in_turn(share, crew):
                    answers.put(answer)
            except BaseException as error:  # for the caller, who waits on the queue
                answers.put(error)

        shares = [cells[index :: usable_cores()] for index in range(min(len(cells), usable_cores()))]
        threads = [threading.Thread(target=count_share, args=(share,), daemon=True) for share in shares]
        try:
            for thread in threads:
                thread.start()
            for _ in cells:
                answer = answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            crew.dismiss()
            for thread in threads:
                thread.join()

    def _count_in_turn(self, cells: Sequence[Cell], crew: _Crew) -> Iterator[tuple[Cell, Counts | Refusal]]:
        """Count the cells one after another; a process that dies on one takes no other with it."""
        left = list(cells)
        while left and not crew.is_dismissed:
            with self._worker("count", left) as (process, connection):
                crew.join(process)
                while left:
                    answer = receive(process, connection, self._settings.timeout_s)
                    if crew.is_dismissed:
                        return
                    yield left.pop(0), answer
                    if process.exitcode is not None or (isinstance(answer, Refusal) and answer.is_final):
                        break

    def floor_bytes(self, device: str, threads: int) -> int:
        """What a worker occupies beside any network, measured now; 0 where it cannot say."""
        with self._worker("floor", device, threads) as (process, connection):
            answer = receive(process, connection, self._settings.timeout_s)
        return answer if isinstance(answer, int) else 0

    def ceilings(self, device: str, threads: int) -> Ceilings | None:
        """How fast the machine multiplies matrices and copies memory, measured now; None where it cannot say."""
        with self._worker("ceilings", device, threads) as (process, connection):
            answer = receive(process, connection, self._settings.timeout_s)
        return None if isinstance(answer, Refusal) else answer

    def input_stages(self, cell: Cell, sampling: str, clips: int) -> dict[str, float]:
        """Seconds of each stage of the cell's input from its video, a clip in one loader: the median over `clips`.

        Raises:
            VideoError: the video does not serve this model, or the loader failed.
        """
        with self._worker("input_pipeline", cell, sampling, clips) as (process, connection):
            answer = receive(process, connection, self._settings.timeout_s)
        if isinstance(answer, Refusal):
            raise VideoError(answer.reason)
        stages: dict[str, float] = answer
        return stages

    def record_of_count(self, cell: Cell, counts: Counts | Refusal) -> Record:
        """The record of a cell that is counted and not run."""
        if isinstance(counts, Counts):
            return Counted(**self._frame(cell), counts=counts)
        status = Skipped if counts.is_unsupported else Failed
        return status(**self._frame(cell), reason=counts.reason)

    def skip(self, cell: Cell, reason: str, counts: Counts | None = None) -> Skipped:
        """The record of a cell that is not tried."""
        return Skipped(**self._frame(cell), reason=reason, counts=counts)

    def measure(self, cell: Cell, counts: Counts, journal: Journal = NO_JOURNAL) -> Record:
        """Run one cell in fresh processes until there are enough of them."""
        steps = self.in_steps(cell, counts, journal)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                record: Record = end.value
                return record

    def in_steps(self, cell: Cell, counts: Counts, journal: Journal) -> Generator[None, None, Record]:
        """The same, a process a step: so that cells can take turns."""
        frame = self._frame(cell)
        lacking = too_many(cell) or _lacking_memory(cell, counts, self._settings)
        if lacking:
            return Skipped(**frame, reason=lacking, counts=counts)
        runs = journal.earlier(cell)
        while len(runs) < self._wanted(runs):
            answer = self._run_once(cell, is_first=not runs)
            if not isinstance(answer, ProcessRun):
                status = Skipped if answer.is_unsupported else Failed
                return status(**frame, reason=answer.reason, counts=counts)
            journal.note(cell, answer)
            runs.append(answer)
            yield
        return Measured(**frame, counts=counts, processes=tuple(runs), stop_reason=_why_enough(runs))

    def _wanted(self, runs: Sequence[ProcessRun]) -> int:
        if not runs:
            return 1
        by_length = processes_for(min(median(run.latency_s) for run in runs))
        return min(self._settings.processes or by_length, by_length)

    def _run_once(self, cell: Cell, *, is_first: bool) -> ProcessRun | Refusal:
        """One fresh process of a cell: what it measured, or why it did not."""
        started, timeout_s = time.monotonic(), self._settings.timeout_s
        samples: list[float] = []
        with self._worker("measure", cell, StopRule(watch_tensors=is_first), timeout_s) as (process, connection):
            while True:
                answer = receive(process, connection, started + timeout_s + GRACE_S - time.monotonic())
                if not isinstance(answer, Sample):
                    break
                samples.append(answer.latency_s)
            if isinstance(answer, Refusal) and answer.is_final and len(samples) >= StopRule().slow_samples:
                answer = _salvaged(samples, process)
        if isinstance(answer, Refusal):
            return answer
        assert isinstance(answer, ProcessRun), f"a worker answered {answer!r}"
        return replace(answer, harness_s=time.monotonic() - started - answer.inside_s)

    def _worker(self, task: str, *arguments: Any) -> AbstractContextManager[tuple[ForkServerProcess, Connection]]:
        return started_process(self._context, enter_worker, task, *arguments)

    def _frame(self, cell: Cell) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"cell": cell, "subject": subject_of(cell), "environment": self._fingerprint, "started_at": now}


class _Crew:
    """The processes that count side by side, and an end to their work that none of them can miss."""

    def __init__(self) -> None:
        self.is_dismissed = False
        self._processes: list[ForkServerProcess] = []

    def join(self, process: ForkServerProcess) -> None:
        """Take the process in; too late, it ends at once."""
        self._processes.append(process)
        if self.is_dismissed:
            process.kill()

    def dismiss(self) -> None:
        """End all, those who join from now on included."""
        self.is_dismissed = True
        for process in self._processes:
            process.kill()


def _salvaged(samples: Sequence[float], process: ForkServerProcess) -> ProcessRun:
    """What a process had told before it hung or died: enough samples are a measurement, memory is its mark so far."""
    status = Path(f"/proc/{process.pid}/status")
    marks = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")] if status.exists() else []
    return ProcessRun(
        latency_s=tuple(samples), block=1, warmup_s=(), build_s=0.0, memory_pass_s=0.0, harness_s=0.0,
        peak_memory_bytes=int(marks[0].split()[1]) * 1024 if marks else 0, floor_bytes=0, tensor_peak_bytes=None,
        kernel_ran="not seen", stop_reason="time-out", quality="noisy: the process did not come to its end",
    )  # fmt: skip


def _lacking_memory(cell: Cell, counts: Counts, settings: Settings) -> str:
    """Why the cell's process is predicted not to fit; empty where it fits.

    On CUDA the allocator's free blocks do not count against the cell: under pressure they are given back. There each
    rank has a device; on a CPU the ranks share its memory.
    """
    if cell.device == "cuda":
        predicted = counts.predicted_peak_bytes + settings.floor_bytes
        available = settings.accelerator_bytes
    else:
        workspace_bytes = counts.workspace_bytes or 0
        of_one = counts.predicted_peak_bytes + workspace_bytes + (settings.floor_bytes or FLOOR_BYTES)
        predicted = cell.ranks * of_one
        available = available_bytes()
    if predicted <= available:
        return ""
    return f"{OUT_OF_MEMORY}, predicted: {size(predicted)} needed, {size(available)} available"


def _why_enough(runs: Sequence[ProcessRun]) -> str:
    if runs[-1].stop_reason == "time-out":
        return "time-out"
    return f"{len(runs)} processes" if len(runs) > 1 else "one process: a forward takes over 10 s, or one was asked for"
