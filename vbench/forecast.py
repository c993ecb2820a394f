"""What a sweep expects: the order of most use, and how long each cell takes on this machine."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vbench.cell import Cell
from vbench.grid import ModelFacts
from vbench.measure.runner import Settings, processes_for
from vbench.results import Counts, Measured
from vbench.stats import median

CPU_MACS_PER_S = 3e10  # a first guess at this machine's rate, replaced by what the sweep itself measures
MACS_PER_ELEMENT = 3e5  # a first guess at what a pixel or token costs, replaced by the model's first count
COUNT_S = 0.2  # a first guess at how long one count takes
PROCESS_S = 1.0  # what a process costs beside its forwards
FORWARDS = 10  # of one process: warm-up, samples and the memory pass

Where = tuple[str, str]  # device, and the label of the hardware that the cell asks for


def turns_of_use(cells: Sequence[Cell], facts: Mapping[str, ModelFacts]) -> list[list[Cell]]:
    """Default clips first, then from small to large; in each turn every model and setting has one cell.

    Sizes stand for costs, so that nothing has to be counted before its turn comes.
    """
    lines: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        lines[cell.model, cell.precision, cell.kernel, cell.device, cell.hardware, cell.mode].append(cell)
    turns: list[list[Cell]] = [[] for _ in range(max(map(len, lines.values()), default=0))]
    for line in lines.values():
        line.sort(key=lambda cell: (not _is_default(cell, facts), _elements(cell)))
        for turn, cell in zip(turns, line, strict=False):
            turn.append(cell)
    return turns


def where(cell: Cell) -> Where:
    """What decides how fast a cell runs: its device and, on a fleet, the hardware that it asks for."""
    return cell.device, cell.hardware


def _is_default(cell: Cell, facts: Mapping[str, ModelFacts]) -> bool:
    return (cell.frames, cell.height, cell.width) == facts[cell.model].default


def _elements(cell: Cell) -> int:
    """Pixels or tokens that go in."""
    return cell.batch * cell.frames * cell.height * cell.width


class Forecast:
    """Learns this machine's speed from what the sweep counts and measures, to tell how long the rest takes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._macs_per_element: dict[str, float] = {}
        self._macs_per_s: dict[Where, _Middle] = defaultdict(lambda: _Middle(CPU_MACS_PER_S))
        self._slower = _Middle(1.0)  # than expected: how much longer each cell took
        self._counts, self._counting_s = 0, 0.0

    def learn_count(self, cell: Cell, counts: Counts, taken_s: float) -> None:
        """Take in what a cell costs on paper and how long it took to find out."""
        self._macs_per_element[cell.model] = counts.macs / _elements(cell)
        self._counts, self._counting_s = self._counts + 1, self._counting_s + taken_s

    def learn(self, record: Measured) -> None:
        """Take in how fast a cell ran, and how far off its expected duration was."""
        latency_s = median([median(run.latency_s) for run in record.processes])
        self._macs_per_s[where(record.cell)].add(record.counts.macs / latency_s)
        taken_s = sum(run.inside_s + run.harness_s for run in record.processes)
        self._slower.add(taken_s / _duration_s(latency_s, len(record.processes)))

    def cell_s(self, cell: Cell, counts: Counts | None) -> float:
        """Seconds that measuring the cell is expected to take; a guess where it is not counted yet."""
        if counts is None:
            return self._guess_s(cell.model, where(cell), _elements(cell))
        return self._seconds(counts.macs, where(cell))

    def backlog_s(self, backlog: Backlog) -> float:
        """Seconds that all cells of the backlog are expected to take, as if those of a model were of one size."""
        return sum(
            number * self._guess_s(model, place, backlog.elements[model, place] / number)
            for (model, place), number in backlog.cells.items()
            if number
        )

    def _guess_s(self, model: str, place: Where, elements: float) -> float:
        return self._seconds(self._macs_per_element.get(model, MACS_PER_ELEMENT) * elements, place)

    def _seconds(self, macs: float, place: Where) -> float:
        forward_s = macs / self._macs_per_s[place].value
        by_length = processes_for(forward_s)
        processes = min(self._settings.processes or by_length, by_length)
        return _duration_s(forward_s, processes) * self._slower.value

    def count_s(self) -> float:
        """Seconds that one more count is expected to take."""
        return self._counting_s / self._counts if self._counts else COUNT_S


class Backlog:
    """Cells whose turn has not come, by model and place: a forecast for them must not look at each of them."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells: Counter[tuple[str, Where]] = Counter()
        self.elements: Counter[tuple[str, Where]] = Counter()
        for cell in cells:
            self._add(cell, 1)

    def take(self, cells: Iterable[Cell]) -> None:
        """The turn of these has come."""
        for cell in cells:
            self._add(cell, -1)

    def _add(self, cell: Cell, sign: int) -> None:
        self.cells[cell.model, where(cell)] += sign
        self.elements[cell.model, where(cell)] += sign * _elements(cell)


class _Middle:
    """The median of what was added so far; looked up for every cell that is left, so it must cost nothing."""

    def __init__(self, first_guess: float) -> None:
        self.value = first_guess
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        insort(self._sorted, value)
        self.value = self._sorted[len(self._sorted) // 2]


def _duration_s(forward_s: float, processes: int) -> float:
    return processes * (PROCESS_S + FORWARDS * forward_s)
