"""Hardware as an axis of the grid: cells of their own, with a speed of their own, and old cells as they were."""

from typing import Any

import pytest

from vbench.cell import Cell, cell_from_json
from vbench.errors import GridError
from vbench.forecast import Forecast, turns_of_use
from vbench.grid import ModelFacts, grid_from_document
from vbench.measure.runner import Settings

FACTS = {"a": ModelFacts(unit="pixels", default=(8, 32, 32))}


def cells(**block: Any) -> list[Cell]:
    grid = grid_from_document({"block": [{"models": "a"} | block]}, "here")
    return [plan.cell for plan in grid.plans(FACTS) if not plan.excluded]


def test_each_label_has_a_cell_of_its_own_and_none_is_as_it_was_without_the_axis() -> None:
    plain, on_one, on_other = *cells(), *cells(hardware=["h200", "epyc-9b14"])
    assert plain.id == "a/t8x32x32/b1/fp32/infer/eager/fused/cpu"
    assert [on_one.id, on_other.id] == [f"{plain.id}/hardware=h200", f"{plain.id}/hardware=epyc-9b14"]
    assert "hardware" not in plain.to_json()
    assert cell_from_json(on_one.to_json()) == on_one


def test_an_exclusion_may_name_hardware() -> None:
    exclude = [{"hardware": "slow", "reason": "an hour a forward"}]
    document = {"block": [{"models": "a", "hardware": ["slow", "quick"]}], "exclude": exclude}
    plans = grid_from_document(document, "here").plans(FACTS)
    assert [(plan.cell.hardware, plan.excluded) for plan in plans] == [("slow", "an hour a forward"), ("quick", "")]


@pytest.mark.parametrize("label", ["H200", "a b", "a/b", "a=b", "", "-a"])
def test_what_would_not_fit_into_an_id_is_no_label(label: str) -> None:
    with pytest.raises(GridError, match="small letters"):
        cells(hardware=label)


def test_every_kind_of_hardware_has_a_cell_in_each_turn() -> None:
    turns = turns_of_use(cells(hardware=["x", "y"], frames=[8, 16]), FACTS)
    assert [[(cell.frames, cell.hardware) for cell in turn] for turn in turns] == [
        [(8, "x"), (8, "y")],
        [(16, "x"), (16, "y")],
    ]


def test_what_one_kind_takes_says_nothing_of_another(make: Any) -> None:
    forecast, (slow, quick) = Forecast(Settings()), cells(hardware=["slow", "quick"])
    counts = make.counts(macs=10**12)
    forecast.learn(make.measured(slow, processes=[make.process((0.25,) * 4)] * 5, counts=counts))
    by_length = forecast.cell_s(slow, counts)
    assert by_length == pytest.approx(5 * (0.2 + 1.0 + 0.3 + 0.1 + 4 * 0.25))
    assert forecast.cell_s(quick, counts) != pytest.approx(by_length)
