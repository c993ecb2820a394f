"""What is known of every cell of a sweep, from earlier runs and from this one, and what is written of it.

A cell is known by kind of environment: records of another machine settle nothing here. A record that is added gets
the number of its attempt, and goes to the store at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from vbench.bench import NO_WORKER, Bench
from vbench.cell import Cell
from vbench.grid import Plan
from vbench.measure.environment import code_of, kind_of
from vbench.measure.runner import Journal
from vbench.results import Counts, Environment, Failed, Measured, Record, Skipped
from vbench.store import Store


class Ledger:
    """The records of one directory, by cell, as the bench's machines see them."""

    def __init__(self, store: Store, bench: Bench) -> None:
        self._store = store
        self._bench = bench
        self._kinds: dict[str, str] = {}  # of environments, by fingerprint
        self._met: set[str] = set()  # environments of this run
        self._known: dict[tuple[Cell, str], list[Record]] = defaultdict(list)  # by cell and kind of environment
        self._counted_before: dict[tuple[str, str], Counts] = {}

    def take_up(self) -> tuple[list[Record], list[str]]:
        """What an earlier run left: its records, and in words which of its lines were broken."""
        records, broken = self._store.resume()
        self._kinds = {fingerprint: kind_of(known) for fingerprint, known in self._store.environments().items()}
        for record in records:
            self._known[record.cell, self._kind(record.environment)].append(record)
        self._counted_before = self._store.counts()
        return records, broken

    def __bool__(self) -> bool:
        """Whether anything is known of any cell."""
        return bool(self._known)

    def add(self, *records: Record, lost: Sequence[int] = ()) -> None:
        """Write the records; one that was begun before and `lost` so many times has a later attempt."""
        kept = []
        for number, record in enumerate(records):
            known = self._known[record.cell, self._kind(record.environment)]
            kept.append(replace(record, attempt=_next_attempt(known) + (lost[number] if lost else 0)))
            known.append(kept[-1])
        if kept:
            self._store.append(*kept)

    def was_measured(self, record: Record) -> bool:
        """Whether the record's cell was measured before in its kind of environment."""
        known = self._known.get((record.cell, self._kind(record.environment)), ())
        return any(isinstance(earlier, Measured) for earlier in known)

    def measured(self, cell: Cell) -> list[Measured]:
        """The cell's measurements on the bench's machines."""
        return [record for record in self._of(cell) if isinstance(record, Measured)]

    def is_settled(self, plan: Plan, refusal: Callable[[Plan], str], *, retry_failed: bool) -> bool:
        """Whether a record says all that the plan asks; `refusal` says why it cannot be done now, if it cannot."""
        records = self._of(plan.cell)
        if not records:
            return False
        last = records[-1]
        if isinstance(last, Failed):
            return not retry_failed
        if isinstance(last, Skipped) and last.reason.startswith(NO_WORKER):
            return bool(refusal(plan))
        return last.status != "counted" or plan.count_only

    def counts(self, cell: Cell) -> Counts | None:
        """What the cell costs, where the present code has counted it before."""
        of_records = [record.counts for record in self._of(cell) if record.counts is not None]
        return of_records[-1] if of_records else self._counted_before.get((cell.id, code_of(self.here(cell))))

    def keep_counts(self, cell: Cell, counts: Counts) -> None:
        """Write down what the cell costs, for a sweep that resumes before it is measured."""
        self._store.keep_counts(cell.id, code_of(self.here(cell)), counts)

    def journal(self, cell: Cell) -> Journal:
        """Where the processes of the cell's next attempt are written down one by one."""
        fingerprint, attempt = self.here(cell).fingerprint, _next_attempt(self._of(cell))
        return Journal(
            earlier=lambda cell: self._store.journal(cell.id, fingerprint, attempt),
            note=lambda cell, process: self._store.note(cell.id, fingerprint, attempt, process),
        )

    def here(self, cell: Cell) -> Environment:
        """Where the cell is counted or skipped."""
        here = self._bench.environment(cell)
        self.learn(here)
        return here

    def learn(self, environment: Environment) -> None:
        """Write the environment to the store when it first occurs."""
        if environment.fingerprint not in self._met:
            self._met.add(environment.fingerprint)
            self._kinds[environment.fingerprint] = kind_of(environment)
            self._store.add_environment(environment)

    def _of(self, cell: Cell) -> list[Record]:
        """What is known of the cell on the bench's machines, and what was not measured but said of it here."""
        kinds, here = self._bench.kinds(cell), self._kind(self.here(cell).fingerprint)
        found = [record for kind in kinds for record in self._known.get((cell, kind), ())]
        if len(kinds) > 1:
            found.sort(key=lambda record: isinstance(record, Measured))
        if here not in kinds:
            said = self._known.get((cell, here), ())
            found[:0] = [record for record in said if not isinstance(record, Measured)]
        return found

    def _kind(self, fingerprint: str) -> str:
        return self._kinds.get(fingerprint, fingerprint)


def _next_attempt(records: Iterable[Record]) -> int:
    return 1 + max((record.attempt for record in records), default=0)
