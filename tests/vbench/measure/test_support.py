"""Which cells can exist: by flag nothing is asked for in vain, in a grid the impossible ones are rows with a reason."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import Plan, grid_from_document
from vbench.measure import support
from vbench.measure.subject import known_facts
from vbench.measure.support import check_plans, check_supported, impossible
from vbench.store import Store
from vbench.sweep import Sweep

CELL = Cell(model="c3d", frames=16, height=112, width=112)
PAIRS = [
    ({"precision": "tf32"}, "precision 'tf32' does not go with device 'cpu'"),
    ({"precision": "int8", "mode": "train"}, "precision 'int8' does not go with mode 'train'"),
    ({"mode": "train", "backend": "export"}, "backend 'export' does not go with mode 'train'"),
    ({"precision": "int8", "backend": "export"}, "backend 'export' does not go with precision 'int8'"),
    ({"precision": "int8", "device": "cuda"}, "precision 'int8' does not go with device 'cuda'"),
    ({"precision": "bf16", "backend": "onnx"}, "precision 'bf16' does not go with backend 'onnx'"),
    ({"kernel": "math", "backend": "onnx"}, "kernel 'math' does not go with backend 'onnx'"),
    ({"device": "cuda", "backend": "onnx"}, "device 'cuda' does not go with backend 'onnx'"),
    ({"checkpointing": True}, "checkpointing 'on' does not go with mode 'infer'"),
    ({"mixing": "mixup"}, "mixing 'mixup' does not go with mode 'infer'"),
    ({"model": "transtrack_r50", "mode": "train"}, "mode 'train' does not go with transtrack_r50: of tracking"),
    ({"model": "joint", "unit": "tokens", "mode": "train", "mixing": "cutmix"}, "it takes tokens, not clips"),
]


@pytest.mark.parametrize(("changes", "says"), PAIRS, ids=lambda value: str(value)[:50])
def test_an_impossible_pair_is_named(changes: dict[str, object], says: str) -> None:
    assert says in impossible(replace(CELL, **changes))
    with pytest.raises(AxisError, match="does not go with"):
        check_supported(replace(CELL, **changes))


def test_what_trains_and_what_is_counted_on_no_device_is_possible() -> None:
    for model in ("c3d", "videomae_b_pretrain", "cvrl_r3d50"):
        assert not impossible(replace(CELL, model=model, mode="train", precision="fp16", accumulation=4))
    assert not impossible(replace(CELL, precision="tf32", kernel="cudnn"), counted_only=True)


def plans(**axes: object) -> list[Plan]:
    grid = grid_from_document({"block": [{"models": ["c3d"], **axes}]}, "here")
    return grid.plans(known_facts(grid.models()))


def test_flags_that_cross_possible_pairs_pass_and_a_value_without_any_is_refused() -> None:
    crossed = plans(precisions=["fp32", "int8"], modes=["infer", "train"], checkpointing=["off", "on"])
    check_plans(crossed, each_value=True, elsewhere=True)
    in_vain = plans(precisions=["fp32", "int8"], modes="train")
    with pytest.raises(AxisError, match="precision 'int8' does not go with mode 'train'"):
        check_plans(in_vain, each_value=True)
    check_plans(in_vain, each_value=False)
    with pytest.raises(AxisError, match="'tf32' does not go with device 'cpu'"):
        check_plans(plans(precisions="tf32"), each_value=False)


def test_a_missing_extra_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "find_spec", lambda package: None if package == "onnxruntime" else sys)
    with pytest.raises(AxisError, match=r"needs onnxruntime: pip install 'vbench-attention\[onnx\]'"):
        check_supported(replace(CELL, backend="onnx"))
    check_supported(replace(CELL, backend="onnx"), elsewhere=True)
    check_supported(replace(CELL, precision="int8"))


class Deaf:
    def say(self, line: str) -> None:
        pass

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        pass


def test_an_impossible_cell_of_a_grid_is_a_skipped_row_with_its_reason(tmp_path: Path) -> None:
    block = {"models": "core:joint", "grids": "1x2x2", "precisions": ["fp32", "tf32"]}
    Sweep(grid_from_document({"block": [block], "processes": 1, "attempts": 1}, "here"), tmp_path, Deaf()).run()
    records = {record.cell.precision: record for record in Store(tmp_path).records()}
    assert records["fp32"].status == "measured"
    assert records["tf32"].status == "skipped"
    assert records["tf32"].reason.startswith("precision 'tf32' does not go with device 'cpu'")
