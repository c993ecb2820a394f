"""The conduct of a sweep: what is left to do, in which order, within which budget.

Knows the bench, where cells are measured, and the ledger, what is known of them. Cells run in the order of most
use: each model's default clip, then its others from small to large, models taking turns. The cells of a turn are
counted right before they run, on every core while nothing is timed, and the counts are kept for a sweep that resumes.
Cells that are only counted come next; last, the cells whose measurement was noisy are measured again.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vbench.analysis.pace import Pace
from vbench.bench import NO_WORKER, Bench, Due, InRounds, LocalBench, Taken
from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.forecast import Backlog, Forecast, turns_of_use
from vbench.grid import Grid, Plan
from vbench.ledger import Ledger
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Runner, Settings
from vbench.measure.subject import known_facts
from vbench.measure.support import impossible
from vbench.results import Counts, Measured, Record, Skipped
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
        self, grid: Grid, directory: Path, listener: Listener, *, retry_failed: bool = False,
        interleaved: bool = False, bench: Bench | None = None,
    ) -> None:  # fmt: skip
        """With `interleaved`, all cells take turns, a process each; with `bench`, other machines measure them."""
        self._grid = grid
        self._listener = listener
        self._facts = known_facts(grid.models())
        self._retry_failed = retry_failed
        self._held_back: list[Skipped] = []  # cells that cannot exist, until something else can
        self._outcome = Outcome(directory)
        self._settings = Settings(timeout_s=grid.timeout_s, processes=grid.processes)
        self._forecast = Forecast(self._settings)
        self._pace = Pace()
        self._progress = _Progress(listener)
        self._bench = bench or (InRounds(self._progress.remark) if interleaved else LocalBench())
        self._store = Store(directory)
        self._ledger = Ledger(self._store, self._bench)
        self._expected_s: dict[Cell, float] = {}  # of the cells that are due or under way
        self._due_s = 0.0  # their sum
        self._started_s = 0.0

    def run(self) -> Outcome:
        """Do what is not done yet.

        Raises:
            StoreError: the directory cannot be written, or holds records of another schema.
            AxisError: none of the cells can exist.
        """
        self._started_s = time.monotonic()
        with self._store.writing() as set_aside:
            with without_collection():
                records, broken = self._ledger.take_up()
                for record in records:
                    self._pace.learn(record)
                for line in (*broken, *set_aside):
                    self._listener.say(line)
                plans = self._grid.plans(self._facts)
                measures = any(not (plan.count_only or plan.excluded) for plan in plans)
                self._bench.begin(self._settings, self._store.environments(), measures=measures)
                left = self._left(plans)
                gc.freeze()  # records live as long as the sweep: the collector need not go through them
            self._progress.total = len(left)
            self._measure([plan.cell for plan in left if not plan.count_only])
            self._count_only([plan.cell for plan in left if plan.count_only])
            self._measure_again([plan.cell for plan in left if not plan.count_only])
            if self._held_back:
                raise AxisError(self._held_back[0].reason)
            self._write_left_out()
        self._outcome.elapsed_s = time.monotonic() - self._started_s
        return self._outcome

    def _left(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans without a record that settles them; excluded cells get theirs here."""
        left, excluded = [], []
        for plan in plans:
            if self._ledger.is_settled(plan, self._refusal, retry_failed=self._retry_failed):
                self._outcome.resumed += 1
            elif refusal := self._refusal(plan):
                excluded.append(self._clerk(plan.cell).skip(plan.cell, refusal))
            else:
                left.append(plan)
        self._keep(*excluded)
        self._say_refused(excluded)
        if self._outcome.resumed:
            self._listener.say(f"{self._outcome.resumed} of {len(plans)} cells are there already")
        return left

    def _refusal(self, plan: Plan) -> str:
        """Why the cell is not to be done, in words; empty where it is."""
        refusal = plan.excluded or impossible(plan.cell, counted_only=plan.count_only)
        return refusal or ("" if plan.count_only else self._bench.refusal(plan.cell))

    def _say_refused(self, skipped: Sequence[Skipped]) -> None:
        """Say before anything starts which cells nobody can take."""
        reasons = Counter(record.reason for record in skipped if record.reason.startswith(NO_WORKER))
        for reason, cells in reasons.items():
            self._listener.say(f"{cells} cells are skipped: {reason}")

    def _measure(self, cells: Sequence[Cell]) -> None:
        """Run the cells turn by turn, as far as the budget reaches."""
        with closing(self._bench.measure(self._due(cells), self._may_start)) as batches:
            for batch in batches:
                self._take(batch)

    def _due(self, cells: Sequence[Cell]) -> Generator[Due]:
        """The cells turn by turn, each turn counted first and then from cheap to dear."""
        backlog = Backlog(cells)
        for turn in self._turns(cells):
            backlog.take(turn)
            self._progress.later_s = self._forecast.backlog_s(backlog) / self._bench.slots
            if not self._fits_budget(0.0):
                self._leave_out(*turn)
                continue
            counted = self._counted(turn)
            for cell, counts in counted.items():
                self._expect(cell, self._forecast.cell_s(cell, counts))
            for cell in sorted(counted, key=lambda cell: counted[cell].macs):
                yield Due(cell, counted[cell], self._ledger.journal(cell))

    def _turns(self, cells: Sequence[Cell]) -> Iterator[list[Cell]]:
        """The turns of most use, joined to what the bench wants counted at a time."""
        joined: list[Cell] = []
        for turn in turns_of_use(cells, self._facts):
            joined += turn
            if len(joined) >= self._bench.ahead:
                yield joined
                joined = []
        if joined:
            yield joined

    def _may_start(self, due: Due) -> bool:
        """Whether the budget reaches so far; a cell that it does not reach is left out."""
        if self._fits_budget(self._forecast.cell_s(due.cell, due.counts)):
            return True
        self._expect(due.cell, 0.0)
        self._leave_out(due.cell)
        return False

    def _take(self, batch: Sequence[Taken]) -> None:
        """Keep what comes from the bench, and tell of it."""
        self._keep_taken(batch)
        for taken in batch:
            self._expect(taken.record.cell, 0.0)
            self._progress.step(_in_words(taken), self._due_s / self._bench.slots)

    def _keep_taken(self, batch: Sequence[Taken]) -> None:
        for taken in batch:
            if taken.environment is not None:
                self._ledger.learn(taken.environment)
        self._keep(*(taken.record for taken in batch), lost=[taken.lost for taken in batch])

    def _expect(self, cell: Cell, duration_s: float) -> None:
        """How long the cell is expected to take from now on; 0 when it is over."""
        self._due_s += duration_s - self._expected_s.pop(cell, 0.0)
        if duration_s:
            self._expected_s[cell] = duration_s
        else:
            self._due_s = max(0.0, self._due_s) if self._expected_s else 0.0

    def _measure_again(self, cells: Sequence[Cell]) -> None:
        """Measure the noisy cells again, all of them once before any of them twice: what disturbed them may pass."""
        again: set[Cell] = set()
        end_s = self._end_of_repetition_s()
        for _ in range(self._grid.attempts - 1):
            noisy = [cell for cell in cells if self._is_noisy(cell)]
            if noisy and not again:
                self._listener.say(f"{len(noisy)} cells are noisy: to be measured again while the time lasts")
            counted = ((cell, self._ledger.counts(cell)) for cell in noisy)
            due = (Due(cell, counts, self._ledger.journal(cell)) for cell, counts in counted if counts is not None)
            with closing(self._bench.measure(due, lambda each: self._ends_before(end_s, each))) as batches:
                for batch in batches:
                    self._keep_taken(batch)
                    for taken in batch:
                        self._progress.remark(f"again {_in_words(taken)}")
                        again.add(taken.record.cell)
        self._outcome.measured_again = len(again)
        self._outcome.still_noisy = sum(map(self._is_noisy, cells))

    def _ends_before(self, end_s: float, due: Due) -> bool:
        return time.monotonic() + self._forecast.cell_s(due.cell, due.counts) <= end_s

    def _end_of_repetition_s(self) -> float:
        """When to stop measuring again: at the end of the budget, or after a modest share of what the rest took."""
        if self._grid.budget_s is not None:
            return self._started_s + self._grid.budget_s
        now = time.monotonic()
        return now + max(AGAIN_LEAST_S, AGAIN_SHARE * (now - self._started_s))

    def _is_noisy(self, cell: Cell) -> bool:
        measured = self._ledger.measured(cell)
        return bool(measured) and not any(self._pace.is_clean(record) for record in measured)

    def _counted(self, cells: Sequence[Cell]) -> dict[Cell, Counts]:
        """What the cells cost, from an earlier run where it counted them; one that cannot be counted becomes a row."""
        counted = {cell: counts for cell in cells if (counts := self._ledger.counts(cell)) is not None}
        twins: dict[Cell, list[Cell]] = defaultdict(list)  # the same on every hardware
        for cell in cells:
            if cell not in counted:
                twins[replace(cell, hardware="") if cell.hardware else cell].append(cell)
        for one, answer in self._count(list(twins)):
            for cell in twins[one]:
                if isinstance(answer, Counts):
                    self._ledger.keep_counts(cell, answer)
                    counted[cell] = answer
                    self._progress.remark(f"counted {cell.id}")
                else:
                    self._keep_count(cell, answer)
        self._release()
        return counted

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
        record = self._clerk(cell).record_of_count(cell, answer)
        if isinstance(record, Skipped):
            self._held_back.append(record)
        else:
            self._keep(record)
        self._progress.step(f"counted {cell.id}", left_s)

    def _release(self) -> None:
        if self._ledger:
            self._keep(*self._held_back)
            self._held_back.clear()

    def _fits_budget(self, more_s: float) -> bool:
        budget_s = self._grid.budget_s
        return budget_s is None or time.monotonic() - self._started_s + more_s <= budget_s

    def _leave_out(self, *cells: Cell) -> None:
        self._outcome.left_out += [cell.id for cell in cells]
        self._progress.done += len(cells)

    def _keep(self, *records: Record, lost: Sequence[int] = ()) -> None:
        """Write the records, and learn from them."""
        for record in records:
            if not self._ledger.was_measured(record):
                self._outcome.statuses[record.status] += 1
            if isinstance(record, Measured):
                self._outcome.inside_s += sum(run.inside_s for run in record.processes)
                self._forecast.learn(record)
                self._pace.learn(record)
        self._ledger.add(*records, lost=lost)

    def _clerk(self, cell: Cell) -> Runner:
        """Who writes the records of what is not measured."""
        return Runner(self._settings, self._ledger.here(cell).fingerprint)

    def _write_left_out(self) -> None:
        self._store.write_left_out(self._outcome.left_out)
        if self._outcome.left_out:
            cells = self._outcome.left_out
            self._listener.say(
                f"the budget left out {len(cells)} cells: {', '.join(cells[:3])}{' ...' * (len(cells) > 3)}"
            )


def _in_words(taken: Taken) -> str:
    return f"{taken.record.status} {taken.record.cell.id}{taken.where}"


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
