"""The conduct of a sweep: what is left to do, in which order, within which budget.

Knows the runner and the store, which do not know each other. Counting comes first and is cheap; cells that run come in
the order of most use: each model's default clip, then its others from cheap to dear, models taking turns.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import Grid, ModelFacts, Plan
from vbench.measure.environment import environment
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Journal, Runner, Settings, processes_for
from vbench.measure.subject import known_facts
from vbench.measure.user_models import user_source_hash
from vbench.results import Counts, Environment, Measured, Record, Skipped
from vbench.stats import median
from vbench.store import Store

CPU_MACS_PER_S = 3e10  # a first guess at this machine's rate, replaced by what the sweep itself measures
PROCESS_S = 1.0  # what a process costs beside its forwards
FORWARDS = 10  # of one process: warm-up, samples and the memory pass


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
    inside_s: float = 0.0  # inside cells: counting, build, warm-up, latency and memory passes
    elapsed_s: float = 0.0


class Sweep:
    """One run of a grid into a directory; run it again and it resumes."""

    def __init__(self, grid: Grid, directory: Path, listener: Listener, *, retry_failed: bool = False) -> None:
        self._grid = grid
        self._store = Store(directory)
        self._listener = listener
        self._facts = known_facts(grid.models())
        self._retry_failed = retry_failed
        self._environments: dict[tuple[str, int, str], Environment] = {}
        self._known: dict[tuple[str, str], list[Record]] = defaultdict(list)
        self._rates = _Rates()
        self._outcome = Outcome(directory)
        self._settings = Settings(timeout_s=grid.timeout_s, processes=grid.processes)

    def run(self) -> Outcome:
        """Do what is not done yet.

        Raises:
            StoreError: the directory cannot be written, or holds records of another schema.
            AxisError: none of the cells can exist.
        """
        started = time.monotonic()
        with self._store.writing() as set_aside:
            for line in set_aside:
                self._listener.say(line)
            for record in self._store.records():
                self._known[record.cell.id, record.environment].append(record)
            plans = self._left(self._grid.plans(self._facts))
            counted = self._count(plans)
            self._measure(counted, started)
            self._write_left_out()
        self._outcome.elapsed_s = time.monotonic() - started
        return self._outcome

    def _left(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans without a record that settles them; excluded cells get theirs here."""
        left = []
        for plan in plans:
            if self._is_settled(plan):
                self._outcome.resumed += 1
            elif plan.excluded:
                self._keep(self._runner(plan.cell).skip(plan.cell, plan.excluded))
            else:
                left.append(plan)
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

    def _count(self, plans: Sequence[Plan]) -> dict[Cell, Counts]:
        """Count every plan's cell; count-only plans are done with that, the counts of the others come back."""
        to_run: dict[Cell, Counts] = {}
        unsupported: list[Skipped] = []
        counts_only = {plan.cell: plan.count_only for plan in plans}
        started = time.monotonic()
        for done, (cell, counts) in enumerate(Runner(self._settings, "").count(list(counts_only)), start=1):
            record = self._runner(cell).record_of_count(cell, counts)
            if isinstance(record, Skipped):
                unsupported.append(record)
            elif counts_only[cell] or isinstance(counts, Refusal):
                self._keep(record)
            else:
                to_run[cell] = counts
            left_s = (time.monotonic() - started) / done * (len(plans) - done)
            self._listener.progress(done, len(plans), left_s, f"counted {cell.id}")
        self._outcome.inside_s += time.monotonic() - started
        if unsupported and len(unsupported) == len(plans) and not self._known:
            raise AxisError(unsupported[0].reason)
        for record in unsupported:
            self._keep(record)
        return to_run

    def _measure(self, counted: Mapping[Cell, Counts], started: float) -> None:
        """Run the cells in the order of most use, as far as the budget reaches."""
        left = in_order_of_use(counted, self._facts)
        total = len(left)
        while left:
            cell = left.pop(0)
            if not self._fits_budget(cell, counted[cell], started):
                self._outcome.left_out.append(cell.id)
                continue
            record = self._runner(cell).measure(cell, counted[cell], self._journal(cell))
            self._keep(record)
            left_s = sum(self._rates.cell_s(other, counted[other], self._settings) for other in left)
            self._listener.progress(total - len(left), total, left_s, f"{record.status} {cell.id}")

    def _fits_budget(self, cell: Cell, counts: Counts, started: float) -> bool:
        budget_s = self._grid.budget_s
        if budget_s is None:
            return True
        return time.monotonic() - started + self._rates.cell_s(cell, counts, self._settings) <= budget_s

    def _journal(self, cell: Cell) -> Journal:
        fingerprint = self._fingerprint(cell)
        return Journal(
            earlier=lambda cell: self._store.journal(cell.id, fingerprint),
            note=lambda cell, process: self._store.note(cell.id, fingerprint, process),
        )

    def _keep(self, record: Record) -> None:
        attempt = 1 + len(self._known[record.cell.id, record.environment])
        record = replace(record, attempt=attempt)
        self._store.append(record)
        self._known[record.cell.id, record.environment].append(record)
        self._outcome.statuses[record.status] += 1
        if isinstance(record, Measured):
            self._outcome.inside_s += sum(run.inside_s for run in record.processes)
            self._rates.learn(record)

    def _records_of(self, cell: Cell) -> list[Record]:
        return self._known.get((cell.id, self._fingerprint(cell)), [])

    def _runner(self, cell: Cell) -> Runner:
        here = self._environment(cell)
        return Runner(replace(self._settings, accelerator_bytes=here.accelerator_memory_bytes), here.fingerprint)

    def _fingerprint(self, cell: Cell) -> str:
        return self._environment(cell).fingerprint

    def _environment(self, cell: Cell) -> Environment:
        """The environment of the cell's device, threads and model, written to the store when first asked for."""
        key = (cell.device, cell.threads, user_source_hash(cell.model))
        if key not in self._environments:
            self._environments[key] = environment(*key)
            self._store.add_environment(self._environments[key])
        return self._environments[key]

    def _write_left_out(self) -> None:
        self._store.write_left_out(self._outcome.left_out)
        if self._outcome.left_out:
            cells = self._outcome.left_out
            self._listener.say(
                f"the budget left out {len(cells)} cells: {', '.join(cells[:3])}{' ...' * (len(cells) > 3)}"
            )


def in_order_of_use(counted: Mapping[Cell, Counts], facts: Mapping[str, ModelFacts]) -> list[Cell]:
    """Default clips first, then from cheap to dear, models and settings taking turns."""
    lines: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in counted:
        lines[cell.model, cell.precision, cell.kernel, cell.device, cell.mode].append(cell)
    ranked: list[tuple[int, int, Cell]] = []
    for cells in lines.values():
        cells.sort(key=lambda cell: (not _is_default(cell, facts), counted[cell].macs))
        ranked += [(rank, counted[cell].macs, cell) for rank, cell in enumerate(cells)]
    return [cell for _, _, cell in sorted(ranked, key=lambda entry: entry[:2])]


def _is_default(cell: Cell, facts: Mapping[str, ModelFacts]) -> bool:
    return (cell.frames, cell.height, cell.width) == facts[cell.model].default


class _Rates:
    """What the sweep learns of this machine's speed, to tell how long the rest takes."""

    def __init__(self) -> None:
        self._macs_per_s: dict[str, list[float]] = defaultdict(list)
        self._slower: list[float] = []  # than expected: how much longer each cell took

    def learn(self, record: Measured) -> None:
        """Take in how fast a cell ran, and how far off its expected duration was."""
        latency_s = median([median(run.latency_s) for run in record.processes])
        self._macs_per_s[record.cell.device].append(record.counts.macs / latency_s)
        taken_s = sum(run.inside_s + run.harness_s for run in record.processes)
        self._slower.append(taken_s / _duration_s(latency_s, len(record.processes)))

    def cell_s(self, cell: Cell, counts: Counts, settings: Settings) -> float:
        """Seconds that the cell is expected to take."""
        known = self._macs_per_s[cell.device]
        forward_s = counts.macs / (median(known) if known else CPU_MACS_PER_S)
        by_length = processes_for(forward_s)
        processes = min(settings.processes or by_length, by_length)
        return _duration_s(forward_s, processes) * (median(self._slower) if self._slower else 1.0)


def _duration_s(forward_s: float, processes: int) -> float:
    return processes * (PROCESS_S + FORWARDS * forward_s)
