"""What this vbench and this machine can run: impossible cells are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

from vbench.cell import Cell
from vbench.errors import AxisError

PRECISIONS = {"cpu": ("fp32", "bf16", "bf16_pure"), "cuda": ("fp32", "tf32", "bf16", "fp16", "bf16_pure")}
KERNELS = {"cpu": ("fused", "math", "flash"), "cuda": ("fused", "math", "flash", "efficient", "cudnn")}
MODES = ("infer",)
BACKENDS = ("eager",)


def check_supported(cell: Cell, *, counted_only: bool = False, elsewhere: bool = False) -> None:
    """Refuse a cell that cannot run here, or, if it is only listed for `elsewhere`, anywhere.

    Raises:
        AxisError: naming the pair that does not go together, or what is missing.
        VideoError: the cell's video is missing or broken.
    """
    for axis, value, known in (("mode", cell.mode, MODES), ("backend", cell.backend, BACKENDS)):
        if value not in known:
            raise AxisError(f"{axis} {value!r} is not measured by this version; it measures {', '.join(known)}")
    if cell.precision not in PRECISIONS[cell.device] and not (counted_only and cell.precision in PRECISIONS["cuda"]):
        known_here = ", ".join(PRECISIONS[cell.device])
        raise AxisError(f"precision {cell.precision!r} does not go with device {cell.device!r}; it takes {known_here}")
    if not counted_only and cell.kernel not in KERNELS[cell.device]:
        known_here = ", ".join(KERNELS[cell.device])
        raise AxisError(f"kernel {cell.kernel!r} does not go with device {cell.device!r}; it takes {known_here}")
    if not counted_only and not elsewhere and cell.device == "cuda":
        _require_cuda()
    if cell.video:
        from vbench.measure.video import check_video

        check_video(Path(cell.video))


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise AxisError("device 'cuda' is not here: torch finds no CUDA; this machine has 'cpu'")
