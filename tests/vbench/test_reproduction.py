"""The command of a cell, read by the command line's own parser, asks for that cell and no other."""

from __future__ import annotations

import shlex

import pytest
import typer

from vbench.analysis.reproduction import command
from vbench.cell import Cell
from vbench.cli import app

PLAIN = Cell(model="timesformer_b", frames=8, height=224, width=224)
CELLS = [
    PLAIN,
    Cell(model="video_swin_t", frames=16, height=112, width=160, batch=4, precision="bf16", kernel="math"),
    Cell(model="core:joint", frames=8, height=14, width=7, unit="tokens", threads=1),
    Cell(model="vivit_b_16x2", frames=32, height=224, width=224, mode="train", checkpointing=True, accumulation=4),
    Cell(model="c3d", frames=16, height=112, width=112, mode="train", threads=1, ranks=2),
    Cell(model="my models/net.py:build", frames=2, height=64, width=64, device="cuda", video="a clip.mp4"),
]


def parsed(text):
    program, name, *arguments = shlex.split(text)
    assert program == "vbench"
    return typer.main.get_command(app).commands[name].make_context(name, arguments).params


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_a_sweeps_flags_are_the_axes_of_its_cell(cell):
    asked = {name: value for name, value in parsed(command(cell)).items() if value not in (None, False)}
    extent = {"frames": str(cell.frames), "sizes": f"{cell.height}x{cell.width}"}
    if cell.height == cell.width:
        extent["sizes"] = str(cell.height)
    if cell.unit == "tokens":
        extent = {"grids": f"{cell.frames}x{cell.height}x{cell.width}"}
    plain = Cell(model=cell.model, frames=1, height=1, width=1)
    axes = {
        "batch": "batch", "precision": "precisions", "mode": "modes", "kernel": "kernels", "device": "devices",
        "threads": "threads", "ranks": "ranks", "accumulation": "accumulate", "video": "video",
    }  # fmt: skip
    changed = {
        flag: str(getattr(cell, axis)) for axis, flag in axes.items() if getattr(cell, axis) != getattr(plain, axis)
    }
    switched = {"checkpointing": "on"} if cell.checkpointing else {}
    assert asked == {"models": cell.model, **extent, **changed, **switched}


def test_a_cell_that_was_only_counted_is_counted_again():
    cell = Cell(model="c3d", frames=16, height=112, width=112, batch=2, precision="bf16", mode="train")
    asked = parsed(command(cell, counted=True))
    wanted = {"name": "c3d", "frames": 16, "size": "112", "batch": 2, "precision": "bf16", "mode": "train"}
    assert {name: asked[name] for name in wanted} == wanted
