"""What this vbench and this machine can run: pairs of axis values that do not go together, and what is missing here.

Where a flag asks for a value that has no possible cell, it is refused before anything starts; where a grid crosses
possible with impossible values, the impossible cells become rows with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import Plan
from vbench.measure.ranks import too_many
from vbench.measure.subject import card_of


@dataclass(frozen=True, slots=True)
class Rule:
    """A cell whose axis `of` has `value` takes, of `axis`, only these."""

    of: str
    value: str
    axis: str
    takes: tuple[Any, ...]

    def objection(self, cell: Cell) -> str:
        """What to say of a cell that breaks the rule; empty for others."""
        given = getattr(cell, self.axis)
        if getattr(cell, self.of) != self.value or given in self.takes:
            return ""
        said, *takes = ({True: "on", False: "off"}[x] if isinstance(x, bool) else str(x) for x in (given, *self.takes))
        return f"{self.axis} {said!r} does not go with {self.of} {self.value!r}; it takes {', '.join(takes)}"


RULES = (
    Rule("device", "cpu", "precision", ("fp32", "bf16", "fp16", "bf16_pure", "int8")),
    Rule("device", "cuda", "precision", ("fp32", "tf32", "bf16", "fp16", "bf16_pure")),
    Rule("device", "cpu", "kernel", ("fused", "math", "flash")),
    Rule("mode", "train", "precision", ("fp32", "tf32", "bf16", "fp16", "bf16_pure")),  # integers have no gradient
    Rule("mode", "train", "backend", ("eager", "compile")),  # what the others make of a network only infers
    Rule("mode", "infer", "checkpointing", (False,)),
    Rule("mode", "infer", "accumulation", (1,)),
    Rule("mode", "infer", "mixing", ("off",)),
    Rule("mode", "infer", "ranks", (1,)),
    Rule("backend", "compile", "ranks", (1,)),  # how a compiler cuts the backward decides when gradients travel
    Rule("precision", "int8", "backend", ("eager", "compile", "torchscript")),
    Rule("backend", "onnx", "precision", ("fp32",)),  # onnxruntime runs the graph as it is: nothing casts in it
    Rule("backend", "onnx", "kernel", ("fused",)),
    Rule("backend", "onnx", "device", ("cpu",)),
)
TRAINED_TASKS = ("classification", "masked reconstruction", "contrastive pre-training", "loss")  # logits, or a loss
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
OF_FLAGS = ("precision", "mode", "backend", "kernel", "device", "checkpointing", "accumulation", "mixing", "ranks")


def check_supported(cell: Cell, *, counted_only: bool = False, elsewhere: bool = False) -> None:
    """Refuse a cell that cannot run here, or, if it is only listed for `elsewhere`, anywhere.

    Raises:
        AxisError: naming the pair that does not go together, or what is missing.
        VideoError: the cell's video is missing or broken.
    """
    if reason := impossible(cell, counted_only=counted_only):
        raise AxisError(reason)
    if not counted_only and not elsewhere:
        require_device(cell.device)
        _require_packages(cell)
        if lacking := too_many(cell):
            raise AxisError(lacking)
    if cell.video:
        from vbench.measure.video import check_video

        check_video(Path(cell.video))


def check_plans(plans: Sequence[Plan], *, each_value: bool, elsewhere: bool = False) -> None:
    """Refuse a sweep in which nothing is possible, or that lacks something here; impossible cells among others pass.

    With `each_value`, every value of an axis must have a possible cell: nobody asks by flag for what cannot be had.

    Raises:
        AxisError, VideoError: as `check_supported`.
    """
    objections = {plan.cell: _objection(plan, elsewhere=elsewhere) for plan in plans}
    possible = [plan for plan in plans if not objections[plan.cell]]
    for axis in OF_FLAGS if each_value or not possible else ():
        had = {getattr(plan.cell, axis) for plan in possible}
        for cell, objection in objections.items():
            if getattr(cell, axis) not in had:
                raise AxisError(objection)
    for plan in possible:
        check_supported(plan.cell, counted_only=plan.count_only, elsewhere=elsewhere)


def _objection(plan: Plan, *, elsewhere: bool) -> str:
    """Why there is nothing to run; more ranks than this machine has place for are, in a grid for many, a row."""
    objection = impossible(plan.cell, counted_only=plan.count_only)
    return objection or ("" if plan.count_only or elsewhere else too_many(plan.cell))


def impossible(cell: Cell, *, counted_only: bool = False) -> str:
    """Why the cell can run nowhere, in words; empty where it can. To be counted, no device has to take it."""
    rules = (rule for rule in RULES if not (counted_only and rule.of == "device"))
    objections = (*(rule.objection(cell) for rule in rules), "" if counted_only else _objection_of_model(cell))
    return next((objection for objection in objections if objection), "")


def _objection_of_model(cell: Cell) -> str:
    """What the model says to being trained as the cell asks."""
    card = card_of(cell.model)
    if cell.mode == "train" and card.kind == "architecture" and card.task not in TRAINED_TASKS:
        return f"mode 'train' does not go with {cell.model}: of {card.task} it returns neither logits nor a loss"
    if cell.mixing != "off" and cell.unit == "tokens":
        return f"mixing {cell.mixing!r} does not go with {cell.model}: it takes tokens, not clips"
    return ""


def has_cuda() -> bool:
    """Whether torch finds a CUDA device here."""
    import torch

    return torch.cuda.is_available()


def require_device(device: str) -> None:
    """Refuse a device that is not here.

    Raises:
        AxisError: torch finds none.
    """
    if device == "cuda" and not has_cuda():
        raise AxisError("device 'cuda' is not here: torch finds no CUDA; this machine has 'cpu'")


def _require_packages(cell: Cell) -> None:
    missing = [package for package in ONNX_PACKAGES if cell.backend == "onnx" and find_spec(package) is None]
    if missing:
        raise AxisError(f"backend 'onnx' needs {', '.join(missing)}: pip install 'vbench-attention[onnx]'")
