"""The process's peak, predicted: its floor, its tensors, and what lies between the two.

    floor + tensor peak + workspace

The floor (`vbench.measure.floor`) is measured once for a machine; the tensor peak (`vbench.measure.footprint`) is
traced on fake tensors; the workspace is what the allocator holds beyond the blocks that are alive: on a CPU, freed
blocks that stay resident and rounding to pages, and from the second forward on the casts of parameters that autocast
has kept (`vbench.measure.heap`), and the kernels that were compiled (`vbench.measure.compiled_kernels`); on CUDA,
segments that are reserved and not full (`vbench.measure.cuda_blocks`; by the allocator's rules as known, not measured).

No coefficient is fitted to the sizes. How often small blocks come between the others and stay (`heap_replay`) was
chosen among some dozen ways, by what recordings of three networks' malloc showed and by what was left unexplained in
82 cells; what compiled kernels weigh was measured by itself. On a CPU the peak is that of the first forwards of a
process that holds one network, with glibc's allocator as it is by default: a user's process has that, too, so that no
setting of malloc is changed where we measure, though M_MMAP_THRESHOLD would make the heap easier to predict.
"""

from __future__ import annotations

from dataclasses import dataclass

from vbench.cell import Cell
from vbench.measure.cuda_blocks import reserved_peak_bytes
from vbench.measure.footprint import Footprint, footprint_of_cell
from vbench.measure.heap import heap_peak_bytes, parted

# How far processes lay from their prediction, in 111 of 112 cells of `benchmarks.process_peaks` all three: where a
# heap's holes lie is chance, and a floor is another process's.
ROOM_OF_TRANSIENT, ROOM_OF_FLOOR = 0.4, 0.06


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessPeak:
    """Bytes at the highest point of a process, and what they are made of."""

    floor_bytes: int
    tensor_peak_bytes: int  # parameters included
    workspace_bytes: int
    lasting_bytes: int  # of the tensors: parameters, buffers and inputs

    @property
    def total_bytes(self) -> int:
        """Everything together: VmHWM on a CPU, reserved memory and the context on CUDA."""
        return self.floor_bytes + self.tensor_peak_bytes + self.workspace_bytes

    @property
    def room_bytes(self) -> int:
        """How far a process may lie above or below the total: shares of what comes and goes in it and of its floor."""
        transient = self.total_bytes - self.floor_bytes - self.lasting_bytes
        return round(ROOM_OF_TRANSIENT * transient + ROOM_OF_FLOOR * self.floor_bytes)


def predict_process_peak(cell: Cell, floor_bytes: int) -> ProcessPeak:
    """What a process that runs `cell` will need, given its floor.

    Raises:
        AxisError: the model does not take such a clip.
    """
    footprint = footprint_of_cell(cell)
    return ProcessPeak(
        floor_bytes=floor_bytes,
        tensor_peak_bytes=footprint.peak_bytes,
        workspace_bytes=workspace_bytes(footprint, cell.device),
        lasting_bytes=sum(parted(footprint.history)[0]),
    )


def workspace_bytes(footprint: Footprint, device: str) -> int:
    """Bytes that the device's allocator holds beyond the peak of the tensors that are alive, and compiled kernels."""
    if device == "cpu":
        held_bytes = heap_peak_bytes(footprint.history, footprint.outlasting, footprint.compiling)
    else:
        held_bytes = reserved_peak_bytes(footprint.history)
    return max(0, held_bytes - footprint.peak_bytes) + footprint.compiled_bytes
