"""One model through every FLOP counter: what each says, and whether the difference is attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import torch

from vbench.cell import Cell
from vbench.errors import first_line
from vbench.measure.count import Tally, tally_cell
from vbench.measure.counters import COUNTERS, Counter, count_with
from vbench.measure.inputs import network_input
from vbench.measure.subject import all_inputs, build_network

CLOSE = 0.005  # of all MACs: what einsum's rounding in fvcore and norms in some counters come to


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one counter says of the model, in multiply-adds, and how that stands to ours."""

    counter: str
    version: str | None  # None: not installed
    macs: int | None
    difference: float | None  # (theirs - ours) / ours
    finding: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """One model, counted by us and by others."""

    name: str
    cell: str
    params: int
    macs: int
    attention_macs: int
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The audit as one JSON object."""
        return asdict(self)


def audit(cell: Cell, counters: Mapping[str, tuple[str, Counter]] = COUNTERS) -> Audit:
    """Count `cell`'s model with every counter that is installed; runs it once or more for each, on the CPU.

    Raises:
        AxisError: the model does not take such a clip.
        UncountedOperatorError: we cannot count it ourselves.
    """
    ours = tally_cell(cell)
    findings = tuple(_finding(name, *entry, cell, ours) for name, entry in counters.items())
    return Audit(
        name=cell.model,
        cell=cell.id,
        params=ours.params,
        macs=ours.macs,
        attention_macs=ours.attention_macs,
        findings=findings,
    )


def _finding(name: str, distribution: str, counter: Counter, cell: Cell, ours: Tally) -> Finding:
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        absent = f"not installed: pip install {distribution}"
        return Finding(counter=name, version=None, macs=None, difference=None, finding=absent)
    try:
        macs = count_with(counter, *_fresh(cell))
    except Exception as error:  # other people's code on any model: what it says is the finding
        failed = f"fails: {type(error).__name__}: {first_line(error)}"
        return Finding(counter=name, version=version, macs=None, difference=None, finding=failed)
    difference = (macs - ours.macs) / ours.macs if ours.macs else None
    return Finding(counter=name, version=version, macs=macs, difference=difference, finding=verdict(macs, ours))


def _fresh(cell: Cell) -> tuple[torch.nn.Module, Sequence[object]]:
    """The network on the CPU and its inputs: some counters leave hooks behind."""
    torch.manual_seed(0)
    network = build_network(cell)
    return network, all_inputs(network, network_input(cell))


def verdict(macs: int, ours: Tally) -> str:
    """What a counter's figure says of what it sees."""
    difference = macs - ours.macs
    close = CLOSE * ours.macs
    without_attention = abs(difference + ours.attention_macs)
    if difference == 0:
        return "agrees to the MAC"
    if ours.attention_macs and without_attention <= close and without_attention < abs(difference):
        return f"misses attention: {ours.attention_macs / ours.macs:.1%} of all MACs"
    if abs(difference) <= close:
        return f"agrees within {CLOSE:.1%}"
    if difference < -ours.attention_macs:
        return "counts less, by more than attention" if ours.attention_macs else "counts less"
    return "counts less" if difference < 0 else "counts more"
