"""The machine's pace: a cell measured while the processor was slow is noisy, and its interval none of the others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vbench.analysis.drift import drifts
from vbench.analysis.frame import records_frame
from vbench.analysis.pace import Pace
from vbench.results import Measured


@pytest.fixture
def cell_at(make: Any) -> Any:
    """A record whose processes ran beside a product that took these seconds."""

    def record(frames: int, *products_s: float, attempt: int = 1) -> Measured:
        measured = make.measured(replace(make.cell(), frames=frames))
        run = measured.processes[0]
        runs = tuple(replace(run, probe_s=(product, 1e-4, product, 1e-4), quality="clean") for product in products_s)
        return replace(measured, processes=runs, attempt=attempt)

    return record


def test_the_slowest_process_is_held_against_the_quickest_cell(cell_at: Any) -> None:
    quick, slow = cell_at(2, 1.0e-4, 1.0e-4, 1.0e-4), cell_at(4, 1.0e-4, 1.3e-4, 1.0e-4)
    pace = Pace([quick, slow])
    assert pace.slowness(slow) == pytest.approx(1.3)
    assert pace.is_slow(slow)
    assert not pace.is_slow(quick)


def test_one_quick_process_does_not_make_all_others_slow(cell_at: Any) -> None:
    lucky, usual = cell_at(2, 0.5e-4, 1.0e-4, 1.0e-4), cell_at(4, 1.0e-4, 1.0e-4, 1.0e-4)
    assert not Pace([lucky, usual]).is_slow(usual)


def test_environments_have_a_pace_each_and_records_without_a_probe_are_not_judged(cell_at: Any) -> None:
    here, there = cell_at(2, 1.0e-4), replace(cell_at(2, 3.0e-4), environment="another")
    unprobed = cell_at(4, 1.0e-4)
    unprobed = replace(unprobed, processes=tuple(replace(run, probe_s=()) for run in unprobed.processes))
    pace = Pace([here, there, unprobed])
    assert not any(map(pace.is_slow, (here, there, unprobed)))


def test_the_table_shows_the_attempt_at_the_machine_s_own_pace_and_says_where_there_is_none(cell_at: Any) -> None:
    records = [
        cell_at(2, 1.0e-4, 1.0e-4, attempt=1),
        cell_at(2, 1.3e-4, 1.3e-4, attempt=2),
        cell_at(4, 1.3e-4, 1.3e-4),
    ]
    records[0] = replace(records[0], processes=tuple(replace(run, latency_s=(1.0,)) for run in records[0].processes))
    frame = records_frame(records, {})
    assert frame["latency_median_s"].iloc[0] == 1.0
    assert list(frame["quality"]) == ["clean", "noisy: the machine was 30% slower than at its best here"]


def test_a_slow_spell_does_not_widen_the_intervals_of_the_others(cell_at: Any) -> None:
    steady = [cell_at(frames, 1.0e-4, 1.01e-4) for frames in range(1, 9)]
    spell = [cell_at(frames, 1.3e-4, 1.31e-4) for frames in range(9, 12)]
    (alone,), (beside,) = drifts(steady).values(), drifts(steady + spell).values()
    assert beside == alone
