"""What runs in a fresh process: one cell measured once, or many cells counted.

The parent sleeps on the connection meanwhile. A worker watches its parent and ends with it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from subprocess import SubprocessError
from typing import NamedTuple

import torch
import torch._dynamo  # dispatch modes import it at their first use: better once, in the forkserver
from torch import nn

from vbench.cell import Cell
from vbench.errors import AxisError, VbenchError, VideoError
from vbench.measure.count import tally_built
from vbench.measure.floor import floor_here
from vbench.measure.footprint import Footprint, footprint_built
from vbench.measure.inputs import network_input
from vbench.measure.kernels import KernelWitness, kernel_context
from vbench.measure.latency import Run, Samples, take_samples, warm_up
from vbench.measure.layout import draw_layout
from vbench.measure.memory import PEAKS, status_bytes
from vbench.measure.precision import PARAMETER_DTYPE, precision_context, set_float32_products
from vbench.measure.probe import Probe
from vbench.measure.process_peak import workspace_bytes
from vbench.measure.protocol import OUT_OF_MEMORY, Refusal, Sample, StopRule
from vbench.measure.quality import disturbance, judged
from vbench.measure.snapshot import snapshot
from vbench.measure.subject import all_inputs, build_network, token_extent
from vbench.results import Counts, ProcessRun

PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when the one that forked it ends


def measure(connection: Connection, cell: Cell, rule: StopRule, timeout_s: float) -> None:
    """Measure `cell` once and send a ProcessRun, preceded by Samples; or a Refusal."""
    end_with_parent()
    deadline_s = time.monotonic() + timeout_s
    connection.send(answer(lambda: _measure(connection, cell, rule, deadline_s)))
    os._exit(0)  # what torch would tidy up at its end is gone with the process


def count(connection: Connection, cells: Sequence[Cell]) -> None:
    """Count `cells` and send, for each in turn, its Counts or a Refusal."""
    end_with_parent()
    for cell in cells:
        connection.send(answer(partial(counts_of, cell)))
    os._exit(0)


def floor(connection: Connection, device: str, threads: int) -> None:
    """Send the bytes that this process occupies beside any network."""
    end_with_parent()
    if threads:
        torch.set_num_threads(threads)
    connection.send(answer(lambda: floor_here(device)))
    os._exit(0)


def counts_of(cell: Cell) -> Counts:
    """Count one cell in this process.

    Raises:
        AxisError: the model does not take such a clip.
        UncountedOperatorError: it uses an operator that is on no list.
    """
    network = build_network(cell, torch.device("meta"))
    tally, footprint = tally_built(network, cell), footprint_built(network, cell)
    return Counts(
        params=tally.params,
        macs=tally.macs,
        attention_macs=tally.attention_macs,
        mixing_extra_macs=tally.mixing_extra_macs,
        op_bytes=footprint.op_bytes,
        predicted_peak_bytes=footprint.peak_bytes,
        tokens=token_extent(cell),
        workspace_bytes=_workspace(footprint, cell.device),
    )


def _workspace(footprint: Footprint, device: str) -> int | None:
    """What the allocator says; None where it cannot be asked."""
    try:
        return workspace_bytes(footprint, device)
    except (OSError, SubprocessError):
        return None


def _measure(connection: Connection, cell: Cell, rule: StopRule, deadline_s: float) -> ProcessRun:
    """Build, warm up, take samples, then watch memory: one process's part of a cell."""
    prepare_process(cell)
    floor_bytes = status_bytes("VmRSS")
    started = time.perf_counter()
    network, inputs = build(cell)
    build_s = time.perf_counter() - started
    samples = Samples()
    with ExitStack() as stack:
        stack.enter_context(precision_context(cell.precision, cell.device))
        stack.enter_context(kernel_context(cell.kernel))
        kernel_ran = first_forward(network, inputs, samples)
        stack.enter_context(torch.inference_mode())
        run = Forward(network, inputs)
        around = _latency_pass(run, cell.device, rule, samples, deadline_s=deadline_s, tell=_teller(connection))
        memory_started = time.perf_counter()
        peak = PEAKS[cell.device](run, (lambda: _held(network, inputs)) if rule.watch_tensors else None)
    return ProcessRun(
        latency_s=tuple(samples.latency_s),
        block=samples.block,
        warmup_s=tuple(samples.warmup_s),
        build_s=build_s,
        memory_pass_s=time.perf_counter() - memory_started,
        harness_s=0.0,  # only the parent sees the whole life of the process
        peak_memory_bytes=peak.process_bytes,
        floor_bytes=floor_bytes,
        tensor_peak_bytes=peak.tensor_bytes,
        kernel_ran=kernel_ran,
        stop_reason=samples.stop_reason,
        quality=judged(around.disturbance),
        warmup_stop=samples.warmup_stop,
        clock_resolution_s=samples.timer.resolution_s if samples.timer else None,
        clock_cost_s=samples.timer.cost_s if samples.timer else None,
        probe_s=around.probe_s,
        disturbance=around.disturbance,
    )


class _Around(NamedTuple):
    """What was seen of the machine around the samples."""

    probe_s: tuple[float, ...]
    disturbance: dict[str, float]


def _latency_pass(
    run: Run, device: str, rule: StopRule, samples: Samples, *, deadline_s: float, tell: Callable[[float], None]
) -> _Around:
    """Warm up and take samples, and see meanwhile how fast and how quiet the machine is."""
    probe: Callable[[], tuple[float, ...]] = Probe() if device == "cpu" else _no_probe
    probed_s = probe()
    warm_up(run, device, rule, samples)
    before = snapshot(device)
    take_samples(run, device, rule, samples, deadline_s=deadline_s, tell=tell)
    after = snapshot(device)
    return _Around((*probed_s, *probe()), disturbance(before, after))


def _no_probe() -> tuple[float, ...]:
    """On CUDA a probe would change what the allocator reserves."""
    return ()


def _held(network: nn.Module, inputs: tuple[object, ...]) -> object:
    return list(network.parameters()), list(network.buffers()), inputs


def _teller(connection: Connection) -> Callable[[float], None]:
    return lambda latency_s: connection.send(Sample(latency_s))


def prepare_process(cell: Cell) -> None:
    """Layout, threads, seeds, numeric modes; the first victim of a memory shortage is this process, not its parent."""
    draw_layout()
    Path("/proc/self/oom_score_adj").write_text("1000")
    if cell.threads:
        torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    set_float32_products(cell.precision)


def build(cell: Cell) -> tuple[nn.Module, tuple[object, ...]]:
    """The network, seeded, and its inputs, all on the cell's device in the cell's precision."""
    network = build_network(cell, torch.device(cell.device))
    network = network.to(PARAMETER_DTYPE[cell.precision])
    return network, all_inputs(network, network_input(cell))


class Forward:
    """The call that is timed."""

    __slots__ = ("_inputs", "_network")

    def __init__(self, network: nn.Module, inputs: tuple[object, ...]) -> None:
        self._network, self._inputs = network, inputs

    def __call__(self) -> object:
        """One forward."""
        return self._network(*self._inputs)


def first_forward(network: nn.Module, inputs: tuple[object, ...], samples: Samples) -> str:
    """The first warm-up, under which attention kernels are seen; a dispatch mode sees none in inference mode."""
    started = time.perf_counter()
    with torch.no_grad(), KernelWitness() as witness:
        network(*inputs)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    samples.warmup_s.append(time.perf_counter() - started)
    return witness.kernel_ran


def answer(work: Callable[[], object]) -> object:
    """What `work` returns, or why it could not."""
    try:
        return work()
    except VbenchError as error:
        return Refusal(str(error), is_unsupported=isinstance(error, AxisError | VideoError))
    except (MemoryError, torch.OutOfMemoryError) as error:
        return Refusal(f"{OUT_OF_MEMORY}: {_first_line(error)}")
    except Exception as error:  # whatever a network does wrong is a row with its reason; the sweep goes on
        lacks_memory = "allocate memory" in str(error) or "not enough memory" in str(error)
        reason = OUT_OF_MEMORY if lacks_memory else type(error).__name__
        return Refusal(f"{reason}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def end_with_parent() -> None:
    """End this process at once when the parent or the forkserver is gone, whatever it is doing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # of the forkserver: the kernel sees to that
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by the runner"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
