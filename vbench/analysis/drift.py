"""How much a machine's speed moves from cell to cell, beyond what the processes of one cell can see of it.

The processes of a cell run back to back and share the machine's mood of these seconds: their own spread makes an
interval for that mood, not for the long run. Beside each process a fixed probe was timed (`vbench.measure.probe`).
The probes of a sweep are a one-way layout, cells by processes; the component of variance between cells (Searle,
Casella and McCulloch, "Variance Components", 1992, section 3.6: the ANOVA estimator) is the shared movement. Every
interval of that environment is widened by it.

Cells that ran while the machine was slow (`vbench.analysis.pace`) are noisy, and left out here.

Differs from a covariate: a cell is not corrected by its own probe, whose noise and whose other mix of arithmetic and
memory would come in with the correction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vbench.analysis.pace import PROBES, Pace
from vbench.results import Measured, ProcessRun, Record

LEAST_CELLS = 5  # fewer tell nothing of how cells differ


def drifts(records: Iterable[Record]) -> dict[str, float]:
    """By environment: the standard deviation, on logarithms, of what the processes of one cell share.

    The larger of the two probes' figures. Environments with fewer than five clean cells that were probed have none.
    """
    cells: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    records = list(records)
    pace = Pace(records)
    for record in records:
        if isinstance(record, Measured) and not pace.is_slow(record) and len(logs := _log_probes(record.processes)) > 1:
            cells[record.environment].append(logs)
    return {
        environment: max(_between([logs[:, kind] for logs in groups]) for kind in range(PROBES // 2))
        for environment, groups in cells.items()
        if len(groups) >= LEAST_CELLS
    }


def _log_probes(processes: Sequence[ProcessRun]) -> NDArray[np.float64]:
    """One row a clean process: the logarithms of product and copy, each the mean of before and after."""
    probed = [run.probe_s for run in processes if run.quality == "clean" and len(run.probe_s) == PROBES]
    logs: NDArray[np.float64] = np.log(np.array(probed, dtype=np.float64).reshape(-1, 2, PROBES // 2)).mean(axis=1)
    return logs


def _between(groups: Sequence[NDArray[np.float64]]) -> float:
    """The standard deviation between groups, by the mean squares of an unbalanced one-way layout."""
    sizes = np.array([len(group) for group in groups])
    total, number = int(sizes.sum()), len(groups)
    means = np.array([group.mean() for group in groups])
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (total - number)
    between = float((sizes * (means - np.average(means, weights=sizes)) ** 2).sum()) / (number - 1)
    usual_size = (total - (sizes**2).sum() / total) / (number - 1)
    return float(np.sqrt(max(0.0, between - within) / usual_size))
