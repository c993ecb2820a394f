"""What is measured once of an environment, and not of a cell: the floor of a process, and the machine's ceilings."""

from __future__ import annotations

from dataclasses import asdict, replace

from vbench.cell import Cell
from vbench.measure.runner import Runner, Settings
from vbench.results import Environment

CEILINGS = ("matmul_flops_per_second", "copy_bytes_per_second")  # of an environment


def surveyed(here: Environment, cell: Cell, settings: Settings, known: Environment | None) -> Environment:
    """The environment of `cell` with what is measured once in it, taken from what is `known` of it already.

    That is what a process occupies beside any network, in bytes, and the fastest products and copy.
    """
    runner = Runner(settings, "")
    if known is not None and known.floor_bytes:
        here = replace(here, floor_bytes=known.floor_bytes)
    else:
        here = replace(here, floor_bytes=runner.floor_bytes(cell.device, cell.threads))
    if known is not None and known.matmul_flops_per_second:
        return replace(here, **{name: getattr(known, name) for name in CEILINGS})
    found = runner.ceilings(cell.device, cell.threads)
    return here if found is None else replace(here, **asdict(found))


def taken_over(here: Environment, known: Environment | None) -> Environment:
    """The environment with what was measured of it earlier, and nothing measured now."""
    if known is None:
        return here
    return replace(here, floor_bytes=known.floor_bytes, **{name: getattr(known, name) for name in CEILINGS})
