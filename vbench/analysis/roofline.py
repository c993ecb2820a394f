"""The roofline: what a machine's ceilings allow a cell, and how much of that it reaches. Pure.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore architectures", 2009.
A cell has two bounds, FLOPs / peak and bytes / bandwidth, and the longer one binds it. Bytes are `op_bytes`, what the
operators read and write, each operand once: in eager mode every operator's results go to memory and come back, unless
a cache keeps them, so that a cell of small tensors can beat its bandwidth bound. A convolution by Winograd's or
Fourier's transform does fewer multiplications than are counted, and can beat its compute bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vbench.analysis.accelerators import Accelerator, accelerator_of
from vbench.cell import Cell
from vbench.results import Counts, Environment

PRODUCT_OF = {"fp32": "fp32", "tf32": "tf32", "bf16": "bf16", "bf16_pure": "bf16", "fp16": "fp16"}  # of a precision


@dataclass(frozen=True, slots=True)
class Roof:
    """The two ceilings of one machine in one precision."""

    flops_per_second: float
    bytes_per_second: float

    def compute_s(self, flops: float) -> float:
        """Seconds that the arithmetic takes at least."""
        return flops / self.flops_per_second

    def traffic_s(self, op_bytes: float) -> float:
        """Seconds that reading and writing take at least."""
        return op_bytes / self.bytes_per_second

    def least_s(self, flops: float, op_bytes: float) -> float:
        """Seconds that both take at least, where they overlap perfectly."""
        return max(self.compute_s(flops), self.traffic_s(op_bytes))

    def bound(self, flops: float, op_bytes: float) -> str:
        """Which of the two binds: compute or bandwidth."""
        return "compute" if self.compute_s(flops) >= self.traffic_s(op_bytes) else "bandwidth"


def measured_roof(environment: Environment, precision: str) -> Roof | None:
    """The ceilings measured in an environment; None where that precision's product, or the copy, was not measured."""
    peak = environment.matmul_flops_per_second.get(PRODUCT_OF.get(precision, ""))
    if not peak or not environment.copy_bytes_per_second:
        return None
    return Roof(peak, environment.copy_bytes_per_second)


def datasheet_roof(accelerator: Accelerator, precision: str) -> Roof | None:
    """The ceilings that a datasheet promises, dense; None where the accelerator has no such cores."""
    peak = accelerator.flops_per_second.get(precision)
    return None if peak is None else Roof(peak, accelerator.bytes_per_second)


def roofline_columns(
    cell: Cell, counts: Counts, flops_per_second: float, latency_s: float, environment: Environment | None
) -> dict[str, Any]:
    """Where a measured cell stands below its ceilings; what is not known is left out.

    `matmul_peak_fraction` of the matrix peak measured in its environment, `mfu` of the datasheet's on an accelerator of
    the catalog, FLOPs per byte, which bound binds it, and the fraction of that bound which it reaches. A cell on
    several ranks has more than one machine's ceilings, and gets none.
    """
    flops = flops_per_second * latency_s / cell.ranks
    columns: dict[str, Any] = {"flops_per_byte": flops / counts.op_bytes} if counts.op_bytes else {}
    if environment is None or cell.ranks > 1:
        return columns
    known = accelerator_of(environment.accelerator)
    if known and (promised := known.flops_per_second.get(cell.precision)):
        columns["mfu"] = flops_per_second / promised
    if roof := measured_roof(environment, cell.precision):
        columns["matmul_peak_fraction"] = flops_per_second / roof.flops_per_second
        columns["roofline_bound"] = roof.bound(flops, counts.op_bytes)
        columns["roofline_fraction"] = roof.least_s(flops, counts.op_bytes) / latency_s
    return columns
