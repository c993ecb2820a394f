"""What hardware that is not here would need and take at least: modelled from counts and datasheets, never measured.

Memory: the predicted peak of the tensors and what a CUDA context takes beside them; the allocator's rounding is left
out, so that a cell which barely fits may not. Time: the roofline's lower bound (`vbench.analysis.roofline`) at the
datasheet's dense peak, which no kernel reaches. Such a figure enters no ranking, and no column of the records.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from vbench.analysis.accelerators import Accelerator, accelerators
from vbench.analysis.frame import at_default_clip
from vbench.analysis.roofline import datasheet_roof

CONTEXT_BYTES = 600 * 2**20  # a CUDA context with cuBLAS: stated, not measured; 300 to 600 MiB on cards of 2018 to 2024
COLUMNS = ("model", "frames", "height", "width", "batch", "precision", "mode", "flops", "op_bytes", "needed_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Modelled:
    """One cell on one accelerator. Times in seconds, memory in bytes; None: the accelerator has no such cores."""

    accelerator: str
    title: str
    precision: str
    needed_bytes: int  # tensors and context
    memory_bytes: int
    fits: bool
    compute_s: float | None
    traffic_s: float
    latency_at_least_s: float | None
    bound: str  # compute or bandwidth; empty where there is no bound
    basis: str = "modelled"

    def to_json(self) -> dict[str, Any]:
        """The document that `vbench hardware --json` prints, one of a list."""
        return asdict(self)


def modelled(
    accelerator: Accelerator, precision: str, *, flops: int, op_bytes: int, tensor_peak_bytes: int
) -> Modelled:
    """A cell on an accelerator, from its FLOPs, the bytes that its operators move, and the peak of its tensors."""
    roof = datasheet_roof(accelerator, precision)
    needed_bytes = tensor_peak_bytes + CONTEXT_BYTES
    return Modelled(
        accelerator=accelerator.key,
        title=accelerator.title,
        precision=precision,
        needed_bytes=needed_bytes,
        memory_bytes=accelerator.memory_bytes,
        fits=needed_bytes <= accelerator.memory_bytes,
        compute_s=roof.compute_s(flops) if roof else None,
        traffic_s=op_bytes / accelerator.bytes_per_second,
        latency_at_least_s=roof.least_s(flops, op_bytes) if roof else None,
        bound=roof.bound(flops, op_bytes) if roof else "",
    )


def modelled_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Every counted network at its default clip, batch 1 and inference, a row each, on every accelerator.

    An accelerator has two columns under its key: the least latency in seconds, NaN where it has no such cores, and
    `KEY_says`: compute, bandwidth, `does not fit` or `no such cores`. The tensor peak is that of the device for which
    the cell was counted; on a CPU its kernels' scratch is part of it.
    """
    rows: list[dict[Any, Any]] = []
    for cell in _default_cells(frame).to_dict("records"):
        cost = {"flops": int(cell["flops"]), "op_bytes": int(cell["op_bytes"])}
        peak = int(cell["predicted_peak_bytes"])
        answers = [modelled(one, cell["precision"], **cost, tensor_peak_bytes=peak) for one in accelerators().values()]
        rows.append(cell | {"needed_bytes": answers[0].needed_bytes} | _beside(answers))
    per_accelerator = [column for key in accelerators() for column in (key, f"{key}_says")]
    return pd.DataFrame(rows, columns=[*COLUMNS, *per_accelerator])


def _default_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each network and precision, that of CUDA where there is one."""
    known = frame[["flops", "op_bytes", "predicted_peak_bytes"]].notna().all(axis=1)
    plain = (frame["batch"] == 1) & (frame["mode"] == "infer") & (frame["kernel"] == "fused")
    networks = frame[at_default_clip(frame) & known & plain & (frame["kind"] != "pattern")]
    chosen = networks.sort_values(["model", "precision", "device"], ascending=[True, True, False], kind="stable")
    return chosen.drop_duplicates(["model", "precision"])


def _beside(answers: list[Modelled]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for answer in answers:
        columns[answer.accelerator] = answer.latency_at_least_s
        columns[f"{answer.accelerator}_says"] = _said(answer)
    return columns


def _said(answer: Modelled) -> str:
    if answer.latency_at_least_s is None:
        return "no such cores"
    return answer.bound if answer.fits else "does not fit"
