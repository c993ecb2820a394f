"""The conduct of a sweep: what is left to do, in which order, within which budget.

Knows the runner and the store, which do not know each other. Cells run in the order of most use: each model's default
clip, then its others from small to large, models taking turns. The cells of a turn are counted right before they run,
on every core while nothing is timed, and the counts are kept for a sweep that resumes. Cells that are only counted
come next; last, the cells whose measurement was noisy are measured again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vbench.analysis.pace import Pace
from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.forecast import Backlog, Forecast, turns_of_use
from vbench.grid import Grid, Plan
from vbench.measure.environment import code_of, environment
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Journal, Runner, Settings
from vbench.measure.subject import known_facts
from vbench.measure.user_models import user_source_hash
from vbench.results import Counts, Environment, Measured, Record, Skipped
from vbench.store import Store, without_collection

AGAIN_SHARE, AGAIN_LEAST_S = 0.15, 30.0  # without a budget, noisy cells are measured again for so much of the time


class Listener(Protocol):
    """Who wants to know how a sweep goes on."""

    def say(self, line: str) -> None:
        """A remark."""

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        """`done` of `total` cells; the others are expected to take `left_s`."""


@dataclass(slots=True)
class Outcome:
    """What a sweep did."""

    directory: Path
    statuses: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    left_out: list[str] = field(default_factory=list)
    measured_again: int = 0  # cells: their first measurement was noisy
    still_noisy: int = 0  # cells, of those measured now
    inside_s: float = 0.0  # inside cells: counting, build, warm-up, latency and memory passes
    elapsed_s: float = 0.0


class Sweep:
    """One run of a grid into a directory; run it again and it resumes."""

    def __init__(
        self, grid: Grid, directory: Path, listener: Listener, *, retry_failed: bool = False, interleaved: bool = False
    ) -> None:
        """With `interleaved`, all cells take turns, a process each: from their ratios the machine's moods cancel."""
        self._grid = grid
        self._interleaved = interleaved
        self._store = Store(directory)
        self._listener = listener
        self._facts = known_facts(grid.models())
        self._retry_failed = retry_failed
        self._environments: dict[tuple[str, int, str], Environment] = {}
        self._known: dict[tuple[Cell, str], list[Record]] = defaultdict(list)
        self._held_back: list[Skipped] = []  # cells that cannot exist, until something else can
        self._outcome = Outcome(directory)
        self._settings = Settings(timeout_s=grid.timeout_s, processes=grid.processes)
        self._forecast = Forecast(self._settings)
        self._pace = Pace()
        self._progress = _Progress(listener)
        self._started_s = 0.0
        self._measures = False  # or only counts

    def run(self) -> Outcome:
        """Do what is not done yet.

        Raises:
            StoreError: the directory cannot be written, or holds records of another schema.
            AxisError: none of the cells can exist.
        """
        self._started_s = time.monotonic()
        with self._store.writing() as set_aside:
            with without_collection():
                for line in (*self._take_up(), *set_aside):
                    self._listener.say(line)
                plans = self._grid.plans(self._facts)
                self._measures = any(not (plan.count_only or plan.excluded) for plan in plans)
                left = self._left(plans)
            self._progress.total = len(left)
            self._measure([plan.cell for plan in left if not plan.count_only])
            self._count_only([plan.cell for plan in left if plan.count_only])
            self._measure_again([plan.cell for plan in left if not plan.count_only])
            if self._held_back:
                raise AxisError(self._held_back[0].reason)
            self._write_left_out()
        self._outcome.elapsed_s = time.monotonic() - self._started_s
        return self._outcome

    def _take_up(self) -> list[str]:
        """Learn what an earlier run left; in words, which of its lines were broken."""
        records, broken = self._store.resume()
        for record in records:
            self._known[record.cell, record.environment].append(record)
            self._pace.learn(record)
        self._counted_before = self._store.counts()
        return broken

    def _left(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans without a record that settles them; excluded cells get theirs here."""
        left, excluded = [], []
        for plan in plans:
            if self._is_settled(plan):
                self._outcome.resumed += 1
            elif plan.excluded:
                excluded.append(self._runner(plan.cell).skip(plan.cell, plan.excluded))
            else:
                left.append(plan)
        self._keep(*excluded)
        if self._outcome.resumed:
            self._listener.say(f"{self._outcome.resumed} of {len(plans)} cells are there already")
        return left

    def _is_settled(self, plan: Plan) -> bool:
        records = self._records_of(plan.cell)
        if not records:
            return False
        status = records[-1].status
        if status == "failed":
            return not self._retry_failed
        return status != "counted" or plan.count_only

    def _measure(self, cells: Sequence[Cell]) -> None:
        """Run the cells turn by turn, each turn counted first, as far as the budget reaches."""
        backlog = Backlog(cells)
        for turn in [list(cells)] if self._interleaved else turns_of_use(cells, self._facts):
            backlog.take(turn)
            self._progress.later_s = self._forecast.backlog_s(backlog)
            self._run_turn(self._counted(turn) if self._fits_budget(0.0) else {}, turn)

    def _run_turn(self, counted: dict[Cell, Counts], turn: Sequence[Cell]) -> None:
        """Measure what was counted, from cheap to dear."""
        if not counted and not self._fits_budget(0.0):
            self._leave_out(*turn)
        if self._interleaved:
            self._run_in_rounds(counted)
            return
        expected_s = {cell: self._forecast.cell_s(cell, counts) for cell, counts in counted.items()}
        for cell in sorted(counted, key=lambda cell: counted[cell].macs):
            del expected_s[cell]
            if not self._fits_budget(self._forecast.cell_s(cell, counted[cell])):
                self._leave_out(cell)
                continue
            record = self._runner(cell).measure(cell, counted[cell], self._journal(cell))
            self._keep(record)
            self._progress.step(f"{record.status} {cell.id}", sum(expected_s.values()))

    def _run_in_rounds(self, counted: dict[Cell, Counts]) -> None:
        """A process of every cell, then the next of every cell; the journal holds them all until the end."""
        going = {
            cell: self._runner(cell).in_steps(cell, counts, self._journal(cell)) for cell, counts in counted.items()
        }
        records: list[Record] = []
        while going:
            for cell, steps in list(going.items()):
                try:
                    next(steps)
                except StopIteration as end:
                    records.append(end.value)
                    del going[cell]
                self._progress.remark(f"took its turn: {cell.id}")
        self._keep(*records)
        self._progress.done += len(records)

    def _measure_again(self, cells: Sequence[Cell]) -> None:
        """Measure the noisy cells again, all of them once before any of them twice: what disturbed them may pass."""
        again: set[Cell] = set()
        end_s = self._end_of_repetition_s()
        for _ in range(self._grid.attempts - 1):
            noisy = [cell for cell in cells if self._is_noisy(cell)]
            if noisy and not again:
                self._listener.say(f"{len(noisy)} cells are noisy: to be measured again while the time lasts")
            for cell in noisy:
                counts = self._counts_before(cell)
                if counts is not None and time.monotonic() + self._forecast.cell_s(cell, counts) <= end_s:
                    self._keep(self._runner(cell).measure(cell, counts, self._journal(cell)))
                    self._progress.remark(f"measured again {cell.id}")
                    again.add(cell)
        self._outcome.measured_again = len(again)
        self._outcome.still_noisy = sum(map(self._is_noisy, cells))

    def _end_of_repetition_s(self) -> float:
        """When to stop measuring again: at the end of the budget, or after a modest share of what the rest took."""
        if self._grid.budget_s is not None:
            return self._started_s + self._grid.budget_s
        now = time.monotonic()
        return now + max(AGAIN_LEAST_S, AGAIN_SHARE * (now - self._started_s))

    def _is_noisy(self, cell: Cell) -> bool:
        measured = [record for record in self._records_of(cell) if isinstance(record, Measured)]
        return bool(measured) and not any(self._pace.is_clean(record) for record in measured)

    def _counted(self, cells: Sequence[Cell]) -> dict[Cell, Counts]:
        """What the cells cost, from an earlier run where it counted them; one that cannot be counted becomes a row."""
        counted = {cell: counts for cell in cells if (counts := self._counts_before(cell)) is not None}
        for cell, answer in self._count([cell for cell in cells if cell not in counted]):
            if isinstance(answer, Counts):
                self._store.keep_counts(cell.id, code_of(self._environment(cell)), answer)
                counted[cell] = answer
                self._progress.remark(f"counted {cell.id}")
            else:
                self._keep_count(cell, answer)
        self._release()
        return counted

    def _counts_before(self, cell: Cell) -> Counts | None:
        of_records = [record.counts for record in self._records_of(cell) if record.counts is not None]
        return of_records[-1] if of_records else self._counted_before.get((cell.id, code_of(self._environment(cell))))

    def _count_only(self, cells: Sequence[Cell]) -> None:
        """Count the cells that are not to run, while the budget lasts."""
        left = dict.fromkeys(cell for turn in turns_of_use(cells, self._facts) for cell in turn)
        self._progress.later_s = 0.0
        if self._fits_budget(0.0):
            for cell, answer in self._count(list(left)):
                del left[cell]
                self._keep_count(cell, answer, left_s=len(left) * self._forecast.count_s())
                if not self._fits_budget(0.0):
                    break
        self._leave_out(*left)
        self._release()

    def _count(self, cells: Sequence[Cell]) -> Generator[tuple[Cell, Counts | Refusal]]:
        """Count on every core, and book the time as inside cells."""
        last_s = time.monotonic()
        with closing(Runner(self._settings, "").count(cells)) as answers:
            for cell, answer in answers:
                taken_s, last_s = time.monotonic() - last_s, time.monotonic()
                self._outcome.inside_s += taken_s
                if isinstance(answer, Counts):
                    self._forecast.learn_count(cell, answer, taken_s)
                yield cell, answer

    def _keep_count(self, cell: Cell, answer: Counts | Refusal, left_s: float = 0.0) -> None:
        """The row of a cell that is done with its count; one that cannot exist waits for one that can."""
        record = self._runner(cell).record_of_count(cell, answer)
        if isinstance(record, Skipped):
            self._held_back.append(record)
        else:
            self._keep(record)
        self._progress.step(f"counted {cell.id}", left_s)

    def _release(self) -> None:
        if self._known:
            self._keep(*self._held_back)
            self._held_back.clear()

    def _fits_budget(self, more_s: float) -> bool:
        budget_s = self._grid.budget_s
        return budget_s is None or time.monotonic() - self._started_s + more_s <= budget_s

    def _leave_out(self, *cells: Cell) -> None:
        self._outcome.left_out += [cell.id for cell in cells]
        self._progress.done += len(cells)

    def _journal(self, cell: Cell) -> Journal:
        fingerprint, attempt = self._fingerprint(cell), 1 + len(self._records_of(cell))
        return Journal(
            earlier=lambda cell: self._store.journal(cell.id, fingerprint, attempt),
            note=lambda cell, process: self._store.note(cell.id, fingerprint, attempt, process),
        )

    def _keep(self, *records: Record) -> None:
        kept = []
        for record in records:
            known = self._known[record.cell, record.environment]
            kept.append(replace(record, attempt=1 + len(known)))
            if not any(isinstance(earlier, Measured) for earlier in known):
                self._outcome.statuses[record.status] += 1
            known.append(kept[-1])
            if isinstance(record, Measured):
                self._outcome.inside_s += sum(run.inside_s for run in record.processes)
                self._forecast.learn(record)
                self._pace.learn(record)
        if kept:
            self._store.append(*kept)

    def _records_of(self, cell: Cell) -> list[Record]:
        return self._known.get((cell, self._fingerprint(cell)), [])

    def _runner(self, cell: Cell) -> Runner:
        here = self._environment(cell)
        memory = {"accelerator_bytes": here.accelerator_memory_bytes, "floor_bytes": here.floor_bytes}
        return Runner(replace(self._settings, **memory), here.fingerprint)

    def _fingerprint(self, cell: Cell) -> str:
        return self._environment(cell).fingerprint

    def _environment(self, cell: Cell) -> Environment:
        """The environment of the cell's device, threads and model, written to the store when first asked for."""
        key = (cell.device, cell.threads, user_source_hash(cell.model))
        if key not in self._environments:
            self._environments[key] = self._with_floor(environment(*key), cell)
            self._store.add_environment(self._environments[key])
        return self._environments[key]

    def _with_floor(self, here: Environment, cell: Cell) -> Environment:
        """The environment with what a process occupies in it beside any network, measured once for a directory."""
        known = self._store.environments().get(here.fingerprint)
        if known is not None and known.floor_bytes:
            return replace(here, floor_bytes=known.floor_bytes)
        if not self._measures:
            return here
        return replace(here, floor_bytes=Runner(self._settings, "").floor_bytes(cell.device, cell.threads))

    def _write_left_out(self) -> None:
        self._store.write_left_out(self._outcome.left_out)
        if self._outcome.left_out:
            cells = self._outcome.left_out
            self._listener.say(
                f"the budget left out {len(cells)} cells: {', '.join(cells[:3])}{' ...' * (len(cells) > 3)}"
            )


@dataclass(slots=True)
class _Progress:
    """How far the sweep is, for who listens."""

    listener: Listener
    total: int = 0
    done: int = 0
    later_s: float = 0.0  # what the turns to come are expected to take

    def step(self, last: str, left_of_turn_s: float) -> None:
        """One cell more is done."""
        self.done += 1
        self.listener.progress(self.done, self.total, left_of_turn_s + self.later_s, last)

    def remark(self, last: str) -> None:
        """Something happened, and the cell is not done yet."""
        self.listener.progress(self.done, self.total, self.later_s, last)
