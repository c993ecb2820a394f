"""Whether the machine ran at its own pace: a virtual one can be a third slower for minutes, and no counter tells.

Beside each process a fixed task was timed (`vbench.measure.probe`). Where its product of matrices took much longer than
in the quickest tenth of the cells of the same environment, the processor itself was slower, be it its clock or a
neighbour on the same core, and the cell's latency is not the machine's. Smaller movements are drift, of which the
intervals know (`vbench.analysis.drift`).
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable

from vbench.results import Measured, ProcessRun, Record
from vbench.stats import median

SLOWER = 1.15  # the product moves by some 2 % in one state of the machine, by 30 % between states
QUICKEST = 0.1  # of the cells
PROBES = 4  # product and copy, before and after the samples


class Pace:
    """The quickest pace of each environment, as records come."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._sorted_s: dict[str, list[float]] = defaultdict(list)
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take in one record; the median over a cell's processes is its pace."""
        if isinstance(record, Measured) and (products_s := _products_s(record.processes)):
            insort(self._sorted_s[record.environment], median(products_s))

    def slowness(self, record: Measured) -> float:
        """How many times longer the task took beside the record's slowest process; 1 where nothing was timed."""
        products_s, known_s = _products_s(record.processes), self._sorted_s[record.environment]
        return max(products_s) / known_s[int(QUICKEST * (len(known_s) - 1))] if products_s and known_s else 1.0

    def is_slow(self, record: Measured) -> bool:
        """Whether the machine was slower than it can be."""
        return self.slowness(record) > SLOWER

    def is_clean(self, record: Measured) -> bool:
        """Whether nothing disturbed the record, and the machine ran at its pace."""
        return record.is_clean and not self.is_slow(record)

    def quality(self, record: Measured, quality: str) -> str:
        """What the processes say of themselves, and whether the machine was slow."""
        if not self.is_slow(record):
            return quality
        slow = f"the machine was {self.slowness(record) - 1:.0%} slower than at its best here"
        return f"noisy: {slow}" if quality == "clean" else f"{quality}; {slow}"


def _products_s(processes: Iterable[ProcessRun]) -> list[float]:
    """The product's time beside each process that nothing else disturbed: the mean of before and after."""
    probed = (run.probe_s for run in processes if run.quality == "clean" and len(run.probe_s) == PROBES)
    return [(before + after) / 2 for before, _, after, _ in probed]
