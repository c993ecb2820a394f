"""The command that makes a cell again, from its axes alone; axes at their default are left out."""

from __future__ import annotations

from shlex import quote

from vbench.cell import Cell

SWEEP_FLAGS = {
    "batch": "--batch", "precision": "--precisions", "mode": "--modes", "backend": "--backends", "kernel": "--kernels",
    "device": "--devices", "threads": "--threads", "ranks": "--ranks", "checkpointing": "--checkpointing",
    "hardware": "--hardware", "accumulation": "--accumulate", "mixing": "--mixing", "video": "--video",
}  # fmt: skip
COUNT_FLAGS = {"batch": "--batch", "precision": "--precision", "mode": "--mode", "kernel": "--kernel"}


def command(cell: Cell, *, counted: bool = False) -> str:
    """`vbench sweep --models c3d --frames 16 --sizes 112`; `vbench count` for a cell that was only counted."""
    return "".join(command_parts(cell, counted=counted))


def command_parts(cell: Cell, *, counted: bool = False) -> tuple[str, str, str]:
    """The command in parts: with the model, the extent, and the setting; cells share most of these."""
    head = f"vbench count {quote(cell.model)}" if counted else f"vbench sweep --models {quote(cell.model)}"
    flags = COUNT_FLAGS if counted else SWEEP_FLAGS
    setting = [f" {flags[axis]} {_word(value)}" for axis, value in cell.to_json().items() if axis in flags]
    return head, _extent(cell, "--size" if counted else "--sizes"), "".join(setting)


def _extent(cell: Cell, size_flag: str) -> str:
    if cell.unit == "tokens":
        return f" --grids {cell.frames}x{cell.height}x{cell.width}"
    square = cell.height == cell.width
    return f" --frames {cell.frames} {size_flag} {cell.height if square else f'{cell.height}x{cell.width}'}"


def _word(value: object) -> str:
    return "on" if value is True else quote(str(value))
