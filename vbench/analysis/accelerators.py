"""Known accelerators: what their vendor's datasheets promise. The catalog is `vbench/data/accelerators.csv`.

Peaks are dense: where a datasheet prints them with structured sparsity, they are halved. `fp32` is that of the ordinary
cores; `tf32`, `fp16`, `bf16` and `int8` are those of the tensor cores, with sums in FP32 (INT32). 1 GB of memory is
10^9 bytes: a board offers between that and as many GiB, so that what is said to fit does. The notes say where two
sources differ; the vendor's pages were read in public copies that quote them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from vbench.errors import unknown_name

PEAKS = {
    "fp32": "fp32_flops_per_second",
    "tf32": "tf32_flops_per_second",
    "fp16": "fp16_flops_per_second",
    "bf16": "bf16_flops_per_second",
    "bf16_pure": "bf16_flops_per_second",
    "int8": "int8_ops_per_second",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """One row of the catalog, in FLOP/s, bytes/s and bytes."""

    key: str
    title: str
    device_names: tuple[str, ...]  # as the driver tells them, without the vendor
    flops_per_second: Mapping[str, float]  # dense, by precision of a cell; without those that the cores do not know
    bytes_per_second: float
    memory_bytes: int
    source: str
    url: str
    note: str


@cache
def accelerators() -> Mapping[str, Accelerator]:
    """The catalog by key, in the order of the file."""
    with files("vbench.data").joinpath("accelerators.csv").open(encoding="utf-8") as file:
        return MappingProxyType({row["key"]: _accelerator(row) for row in csv.DictReader(file)})


def _accelerator(row: Mapping[str, str]) -> Accelerator:
    peaks = {precision: float(row[column]) for precision, column in PEAKS.items() if row[column]}
    return Accelerator(
        key=row["key"],
        title=row["title"],
        device_names=tuple(row["device_names"].split(";")),
        flops_per_second=MappingProxyType(peaks),
        bytes_per_second=float(row["bandwidth_bytes_per_second"]),
        memory_bytes=int(row["memory_bytes"]),
        source=row["source"],
        url=row["url"],
        note=row["note"],
    )


def accelerator_named(key: str) -> Accelerator:
    """The accelerator of a key.

    Raises:
        UnknownNameError: the catalog has no such key.
    """
    if key not in accelerators():
        raise unknown_name("accelerator", key, accelerators())
    return accelerators()[key]


def accelerator_of(hardware: str) -> Accelerator | None:
    """The accelerator that a driver calls `hardware`; None for what the catalog does not know by this very name."""
    name = hardware.removeprefix("NVIDIA ").strip()
    return next((known for known in accelerators().values() if name in known.device_names), None)
