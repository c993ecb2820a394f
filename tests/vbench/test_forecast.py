"""The order of most use, and what a sweep expects of the cells that it has not run."""

from typing import Any

import pytest

from vbench.cell import Cell
from vbench.forecast import Backlog, Forecast, turns_of_use
from vbench.grid import ModelFacts
from vbench.measure.runner import Settings
from vbench.results import Counts


def cell(model: str, frames: int, **axes: object) -> Cell:
    return Cell(model=model, frames=frames, height=8, width=8, **axes)


def counts(macs: int) -> Counts:
    return Counts(
        params=0, macs=macs, attention_macs=0, mixing_extra_macs=0, op_bytes=0, predicted_peak_bytes=0, tokens=None
    )


def test_default_clips_come_first_then_models_take_turns_from_small_to_large() -> None:
    facts = {name: ModelFacts(unit="pixels", default=(4, 8, 8)) for name in "ab"}
    turns = turns_of_use([*(cell("a", frames) for frames in (8, 2, 4)), cell("b", 4), cell("b", 1, batch=16)], facts)
    assert [[(one.model, one.frames) for one in turn] for turn in turns] == [
        [("a", 4), ("b", 4)],
        [("a", 2), ("b", 1)],
        [("a", 8)],
    ]


def test_every_cell_has_one_turn() -> None:
    facts = {name: ModelFacts(unit="pixels", default=(4, 8, 8)) for name in "abc"}
    cells = [
        cell(name, frames, precision=word) for name in "abc" for frames in range(1, 9) for word in ("fp32", "bf16")
    ]
    assert sorted(one.id for turn in turns_of_use(cells, facts) for one in turn) == sorted(one.id for one in cells)


def test_a_cell_that_is_not_counted_yet_is_expected_to_cost_as_much_a_pixel_as_its_model_did() -> None:
    forecast = Forecast(Settings(processes=1))
    small, large = cell("a", 2), cell("a", 16)
    forecast.learn_count(small, counts(10**12), taken_s=0.5)
    assert forecast.cell_s(large, None) == pytest.approx(forecast.cell_s(large, counts(8 * 10**12)))
    assert forecast.count_s() == 0.5


def test_a_cell_is_expected_to_take_as_long_as_it_took(make: Any) -> None:
    forecast, one = Forecast(Settings()), cell("a", 2)
    record = make.measured(one, processes=[make.process((0.25,) * 4)] * 5, counts=make.counts(macs=10**12))
    forecast.learn(record)
    assert forecast.cell_s(one, record.counts) == pytest.approx(5 * (0.2 + 1.0 + 0.3 + 0.1 + 4 * 0.25))


def test_the_backlog_of_equal_cells_is_expected_to_take_the_sum_of_them() -> None:
    forecast = Forecast(Settings())
    equal = [cell(name, 4, precision=word) for name in "ab" for word in ("fp32", "bf16")]
    backlog = Backlog([*equal, cell("a", 16)])
    backlog.take([cell("a", 16)])
    assert forecast.backlog_s(backlog) == pytest.approx(sum(forecast.cell_s(one, None) for one in equal))
