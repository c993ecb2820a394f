"""Many pairs of cells set against each other in time, one pair of cells after another, as far as a budget reaches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from vbench.analysis.sequential import LOOKS
from vbench.cell import Cell
from vbench.comparing import compare_cells
from vbench.comparing.course import Told
from vbench.measure.environment import environment
from vbench.measure.pairs import SideError
from vbench.measure.user_models import user_source_hash
from vbench.results import Environment, PairedCells

PATIENCE_S = 240.0  # for two cells, where their even share of what is left of the budget is less
CLOSE = 0.1  # claims speak of twice and of half: what lies within a tenth of 1 is known well enough


def paired(
    wanted: Iterable[tuple[Cell, Cell]], budget_s: float, told: Told
) -> Iterator[tuple[Environment, PairedCells]]:
    """What interleaved pairs say of each two cells, and where; those that cannot run, or not in time, are told of."""
    deadline_s = time.monotonic() + budget_s
    queue = list(wanted)
    for number, (first, second) in enumerate(queue):
        left_s = deadline_s - time.monotonic()
        patience_s = max(PATIENCE_S, left_s / (len(queue) - number))
        names = f"{first.id} against {second.id}"
        if left_s <= 0:
            told(f"the budget left out {names}")
            continue
        try:
            compared = compare_cells(second, first, budget_s=min(left_s, patience_s), margin=CLOSE, told=told)
        except SideError as error:
            told(f"{names}: {error}")
            continue
        if compared.pairs < LOOKS[0]:
            told(f"{names}: {compared.pairs} pairs in the time, too few for an interval")
            continue
        here = environment(first.device, first.threads, user_source_hash(first.model))
        log_ratios = tuple(pair.log_ratio for pair in compared.measured)
        yield here, PairedCells(
            first=first.id, second=second.id, hardware=here.hardware, environment=here.fingerprint,
            log_ratios=log_ratios, ratio=(compared.ratio, compared.low, compared.high),
            elapsed_s=compared.elapsed_s,
        )  # fmt: skip
