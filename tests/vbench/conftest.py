"""Synthetic records: small, whole, and with every figure under the test's control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vbench.analysis.frame import records_frame
from vbench.cell import Cell
from vbench.measure.protocol import Ceilings
from vbench.measure.runner import Runner
from vbench.results import Counted, Counts, Environment, Failed, Measured, ProcessRun, Record, Skipped, Subject
from vbench.store import Store


def environment(fingerprint: str = "e1", **changes: Any) -> Environment:
    facts: dict[str, Any] = {
        "fingerprint": fingerprint, "hardware": "Test CPU", "cores": 2, "threads": 2, "memory_bytes": 24 * 2**30,
        "system": "Linux", "python": "3.11.9", "torch": "2.13.0", "packages": {"numpy": "2.3.1"}, "commit": "abc1234",
        "host": "bench",
    }  # fmt: skip
    return Environment(**(facts | changes))


def process(latency_s: Sequence[float] = (0.1, 0.1, 0.1), **changes: Any) -> ProcessRun:
    facts: dict[str, Any] = {
        "latency_s": tuple(latency_s), "block": 1, "warmup_s": (0.2,), "build_s": 1.0, "memory_pass_s": 0.3,
        "harness_s": 0.1, "peak_memory_bytes": 800 * 2**20, "floor_bytes": 300 * 2**20, "tensor_peak_bytes": None,
        "kernel_ran": "flash", "stop_reason": "precise", "quality": "clean",
    }  # fmt: skip
    return ProcessRun(**(facts | changes))


def counts(**changes: Any) -> Counts:
    facts: dict[str, Any] = {
        "params": 121_566_352, "macs": 195_830_280_192, "attention_macs": 6_000_000_000, "mixing_extra_macs": 0,
        "op_bytes": 10**10, "predicted_peak_bytes": 600 * 2**20, "tokens": (8, 14, 14),
    }  # fmt: skip
    return Counts(**(facts | changes))


@dataclass(frozen=True)
class Factory:
    """Makes records; every method takes the cell's axes by name."""

    environment = staticmethod(environment)
    process = staticmethod(process)
    counts = staticmethod(counts)

    def cell(self, model: str = "timesformer_b", frames: int = 8, size: int = 224, **axes: Any) -> Cell:
        return Cell(**{"model": model, "frames": frames, "height": size, "width": size, **axes})

    def subject(self, **changes: Any) -> Subject:
        return Subject(**{"kind": "architecture", "family": "timesformer", "title": "TimeSformer-B", **changes})

    def measured(
        self,
        cell: Cell,
        latency_s: float = 0.1,
        *,
        processes: Sequence[ProcessRun] = (),
        subject: Subject | None = None,
        counts: Counts | None = None,
        environment: str = "e1",
        **rest: Any,
    ) -> Measured:
        runs = tuple(processes) or tuple(process((latency_s * scale,) * 3) for scale in (0.99, 1.0, 1.01))
        return Measured(
            cell=cell, subject=subject or self.subject(), environment=environment,
            counts=counts or self.counts(), processes=runs, stop_reason="processes done",
            **({"started_at": "2026-11-20T10:00:00+00:00"} | rest),
        )  # fmt: skip

    def counted(self, cell: Cell, *, subject: Subject | None = None, counts: Counts | None = None) -> Counted:
        return Counted(
            cell=cell, subject=subject or self.subject(), environment="e1", counts=counts or self.counts(),
            started_at="2026-11-19T10:00:00+00:00",
        )  # fmt: skip

    def failed(self, cell: Cell, reason: str = "out of memory", **rest: Any) -> Failed:
        return Failed(cell=cell, subject=self.subject(), environment="e1", reason=reason, **rest)

    def skipped(self, cell: Cell, reason: str = "an hour a forward") -> Skipped:
        return Skipped(cell=cell, subject=self.subject(), environment="e1", reason=reason)

    def frame(self, records: Sequence[Record]) -> pd.DataFrame:
        known = {"e1": environment("e1"), "e2": environment("e2", hardware="Other CPU")}
        return records_frame(records, known)

    def sweep(self, model: str, clips: Sequence[tuple[int, int]], growth: Callable[[int, int], float]) -> list[Record]:
        """A model measured at (frames, size) clips, with a latency in seconds and MACs that follow `growth`."""
        return [
            self.measured(
                self.cell(model, frames, size),
                growth(frames, size),
                counts=counts(macs=round(growth(frames, size) * 10**12)),
                subject=self.subject(is_default_clip=(frames, size) == clips[0]),
            )
            for frames, size in clips
        ]


@pytest.fixture
def make() -> Factory:
    return Factory()


@pytest.fixture(autouse=True)
def known_ceilings(monkeypatch: pytest.MonkeyPatch) -> Ceilings:
    """What a sweep of this process takes for the machine's ceilings: to measure them would add seconds to each."""
    known = Ceilings(matmul_flops_per_second={"fp32": 1e11, "bf16": 2e11}, copy_bytes_per_second=1e10)
    monkeypatch.setattr(Runner, "ceilings", lambda *_: known)
    return known


@pytest.fixture
def sweep_directory(tmp_path: Path, make: Factory) -> Callable[..., Path]:
    """Writes records and their environment into a directory of its own and returns it."""

    def write(records: Sequence[Record], name: str = "quick") -> Path:
        store = Store(tmp_path / name)
        with store.writing():
            store.add_environment(make.environment())
            for record in records:
                store.append(record)
        return store.directory

    return write
