from dataclasses import replace

import pytest

from vbench.cell import Cell, cell_from_json
from vbench.errors import AxisError, UnknownNameError

CELL = Cell(model="timesformer_b", frames=8, height=224, width=224)
CHANGES = {
    "model": "c3d", "frames": 16, "height": 112, "width": 112, "unit": "tokens", "batch": 2, "precision": "bf16",
    "mode": "train", "backend": "compile", "kernel": "math", "device": "cuda", "threads": 1, "ranks": 2,
    "checkpointing": True, "accumulation": 4, "mixing": "mixup", "views": 30, "video": "bikes.mp4",
    "hardware": "h200",
}  # fmt: skip


def test_the_id_reads_as_documented() -> None:
    assert CELL.id == "timesformer_b/t8x224x224/b1/fp32/infer/eager/fused/cpu"
    assert replace(CELL, threads=1, checkpointing=True).id.endswith("/cpu/threads=1/checkpointing=on")


@pytest.mark.parametrize(("axis", "value"), CHANGES.items())
def test_cells_that_differ_in_one_axis_differ_in_id(axis: str, value: object) -> None:
    assert replace(CELL, **{axis: value}).id != CELL.id


def test_every_axis_is_covered_by_the_test_above() -> None:
    assert set(CHANGES) == set(Cell.__slots__)


@pytest.mark.parametrize(("axis", "value"), CHANGES.items())
def test_json_gives_the_same_cell_back(axis: str, value: object) -> None:
    cell = replace(CELL, **{axis: value})
    assert cell_from_json(cell.to_json()) == cell


def test_a_list_for_a_word_is_an_unknown_word() -> None:
    with pytest.raises(UnknownNameError, match="unknown precision"):
        cell_from_json({**CELL.to_json(), "precision": ["fp32"]})


@pytest.mark.parametrize("axis", ["frames", "height", "width", "batch", "ranks", "accumulation", "views"])
@pytest.mark.parametrize("value", [0, -1])
def test_nothing_is_empty(axis: str, value: int) -> None:
    with pytest.raises(AxisError, match=rf"{axis} must be at least 1; got {axis}={value}"):
        replace(CELL, **{axis: value})


@pytest.mark.parametrize(
    ("axis", "value", "near"),
    [
        ("precision", "bf61", "bf16"),
        ("device", "gpu", "cpu"),
        ("kernel", "flsh", "flash"),
        ("mode", "training", "train"),
    ],
)
def test_an_unknown_value_names_the_nearest(axis: str, value: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"unknown {axis} '{value}'; did you mean '{near}'|known: .*{near}"):
        replace(CELL, **{axis: value})
