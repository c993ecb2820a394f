"""What the runner and its workers say to each other; imports no torch, so that the parent stays small."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

WORKER = "vbench.measure.worker"
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class StopRule:
    """When enough is enough, for one process."""

    min_warmups: int = 3
    min_warmup_s: float = 0.06  # the allocator settles, too: see benchmarks/warmup.py
    max_warmup_s: float = 1.0
    flat: float = 0.05  # warm-ups that are not faster than all before them by this fraction are flat
    min_samples: int = 5
    max_samples: int = 200
    min_time_s: float = 0.2
    max_time_s: float = 0.4
    precision: float = 0.01  # half width of the median's 95 % interval, as a fraction of the median
    slow_samples: int = 3
    watch_tensors: bool = True  # once a cell: what torch's allocator hands out is the same in every process


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a slow forward, told as soon as it is there."""

    latency_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cell gave nothing."""

    reason: str
    is_unsupported: bool = False  # the model does not take such a clip, or the video does not serve it
    is_final: bool = False  # said by the parent: the process hangs or is dead


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """The best of several products and copies, in FLOP/s (1 multiply-add = 2 FLOPs) and bytes/s."""

    matmul_flops_per_second: dict[str, float]  # by precision of the operands
    copy_bytes_per_second: float  # read and written


def enter_worker(task: str, connection: Connection, *arguments: Any) -> None:
    """Run one of the worker's tasks, `measure` or `count`; the first thing a fresh process does."""
    try:
        getattr(importlib.import_module(WORKER), task)(connection, *arguments)
    except BrokenPipeError:  # the parent is gone, and this process has nobody to work for
        os._exit(1)
