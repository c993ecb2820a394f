"""What a worker announces: one device with its label and memory, and the environment that its records will name.

The routing is Dask's: an announcement becomes resources of the worker, and what a cell demands becomes resources of its
task. Torch and the project's commit are one of them, so that a worker of another version never gets a cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from vbench.cell import Cell
from vbench.measure.environment import environment, kind_of
from vbench.results import Environment

MEMORY = "memory"
ANNOUNCED = "vbench"  # the name of the announcement among what Dask's scheduler knows of a worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One worker: one device of one host, which measures one cell at a time."""

    device: str
    label: str
    environment: Environment

    @property
    def memory_bytes(self) -> int:
        """Of the device."""
        here = self.environment
        return here.accelerator_memory_bytes if self.device == "cuda" else here.memory_bytes

    def resources(self) -> dict[str, float]:
        """The worker's resources in Dask."""
        return {
            _device(self.device): 1,
            _hardware(self.label): 1,
            MEMORY: self.memory_bytes,
            version_of(self.environment): 1,
        }

    def takes(self, cell: Cell) -> bool:
        """Whether the cell can run here, memory aside."""
        return cell.device == self.device and cell.hardware in ("", self.label)

    def kind(self, cell: Cell, user_source: str) -> str:
        """The kind of environment that the cell's record will have."""
        here = self.environment
        return kind_of(replace(here, threads=cell.threads or here.cores, user_source=user_source))

    def to_json(self) -> dict[str, Any]:
        """The announcement; its version stands beside it, to be read by any other version."""
        return {"version": version_of(self.environment), "host": self.environment.host, **asdict(self)}


def offer_from_json(document: Mapping[str, Any]) -> Offer:
    """The offer that `Offer.to_json` wrote."""
    here = Environment(**document["environment"])
    return Offer(device=document["device"], label=document["label"], environment=here)


def offer_here(device: str, label: str = "") -> Offer:
    """What this machine offers; without a label, its hardware's name is one."""
    here = environment(device)
    return Offer(device=device, label=label or label_of(here.hardware), environment=here)


def demands(cell: Cell, version: str, needed_bytes: int) -> dict[str, float]:
    """What the cell demands of a worker, as Dask's resources."""
    demanded = {_device(cell.device): 1.0, MEMORY: float(needed_bytes), version: 1.0}
    return demanded | ({_hardware(cell.hardware): 1.0} if cell.hardware else {})


def version_of(here: Environment) -> str:
    """What a client and its workers must agree on."""
    return f"torch {here.torch}, vbench {here.commit}"


def label_of(hardware: str) -> str:
    """A name of hardware as a label: `NVIDIA H200` is `nvidia-h200`."""
    return re.sub(r"[^a-z0-9._]+", "-", hardware.lower()).strip("-._") or "unnamed"


def _device(device: str) -> str:
    return f"device {device}"


def _hardware(label: str) -> str:
    return f"hardware {label}"
