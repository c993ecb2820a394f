"""`Cell`: all that identifies one measurement, and its stable id."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any, Literal

from vbench.errors import AxisError, unknown_name

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "bf16_pure", "int8")
MODES = ("infer", "train")
BACKENDS = ("eager", "compile", "export", "onnx", "torchscript")
KERNELS = ("fused", "math", "flash", "efficient", "cudnn")
DEVICES = ("cpu", "cuda")
MIXINGS = ("off", "mixup", "cutmix")
VALUES = {
    "precision": PRECISIONS, "mode": MODES, "backend": BACKENDS, "kernel": KERNELS, "device": DEVICES,
    "mixing": MIXINGS,
}  # fmt: skip
COUNTED = ("frames", "height", "width", "batch", "ranks", "accumulation", "views")  # from 1 on
_counted, _setting = attrgetter(*COUNTED), attrgetter(*VALUES)  # at once: grids have a hundred thousand cells

Unit = Literal["pixels", "tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One model on one clip under one setting of every axis.

    `frames`, `height` and `width` are pixels of a clip, or tokens of a grid where `unit` says so (bare patterns).
    `threads` 0 means every core that the process may use. In training, `accumulation` is how many forwards and
    backwards of `batch` clips each make one step.
    """

    model: str
    frames: int
    height: int
    width: int
    unit: Unit = "pixels"
    batch: int = 1
    precision: str = "fp32"
    mode: str = "infer"
    backend: str = "eager"
    kernel: str = "fused"
    device: str = "cpu"
    threads: int = 0
    ranks: int = 1
    checkpointing: bool = False
    accumulation: int = 1
    mixing: str = "off"
    views: int = 1
    video: str = ""
    hardware: str = ""  # the label of a fleet's workers; empty: any that have the device

    def __post_init__(self) -> None:
        if min(_counted(self)) < 1:
            axis, value = next((name, getattr(self, name)) for name in COUNTED if getattr(self, name) < 1)
            raise AxisError(f"{axis} must be at least 1; got {axis}={value}")
        if self.threads < 0:
            raise AxisError(f"threads must be at least 1 (or 0 for every core); got threads={self.threads}")
        for (axis, known), value in zip(VALUES.items(), _setting(self), strict=True):
            if value not in known:
                raise unknown_name(axis, value, known)

    @property
    def id(self) -> str:
        """The cell in one line; two cells that differ in any axis differ in id."""
        extent = f"{'t' if self.unit == 'pixels' else 'g'}{self.frames}x{self.height}x{self.width}"
        setting = (self.precision, self.mode, self.backend, self.kernel, self.device)
        head = "/".join((self.model, extent, f"b{self.batch}", *setting))
        later = [
            f"/{axis}={'on' if value is True else value}"
            for axis, default in _LATER_AXES
            if (value := getattr(self, axis)) != default
        ]
        return head + "".join(later) if later else head

    def to_json(self) -> dict[str, Any]:
        """The cell as a JSON object; axes at their default are left out."""
        return {axis: value for axis, value in asdict(self).items() if value != _DEFAULTS.get(axis)}


_DEFAULTS = {
    field.name: field.default for field in fields(Cell) if field.name not in ("model", "frames", "height", "width")
}
_LATER_AXES = tuple(
    (axis, _DEFAULTS[axis])
    for axis in ("threads", "ranks", "checkpointing", "accumulation", "mixing", "views", "video", "hardware")
)


def cell_from_json(document: dict[str, Any]) -> Cell:
    """The cell that `Cell.to_json` wrote."""
    return Cell(**document)
