"""What runs in a fresh process: one cell measured once, or many cells counted.

The parent sleeps on the connection meanwhile. A worker watches its parent and ends with it.
"""

from __future__ import annotations

import ctypes
import multiprocessing.util
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from subprocess import SubprocessError
from typing import NamedTuple

import torch
import torch._dynamo  # dispatch modes import it at their first use: better once, in the forkserver

from vbench.cell import Cell
from vbench.errors import AxisError, VbenchError, VideoError, first_line
from vbench.measure.ceilings import ceilings_here
from vbench.measure.count import tally_built
from vbench.measure.faithfulness import distance, serialized_bytes
from vbench.measure.floor import floor_here
from vbench.measure.footprint import Footprint, footprint_built
from vbench.measure.input_pipeline import stage_seconds
from vbench.measure.latency import Samples, few_samples, take_samples, warm_up
from vbench.measure.layout import draw_layout
from vbench.measure.memory import PEAKS, status_bytes
from vbench.measure.precision import set_float32_products
from vbench.measure.prepare import Prepared, build, empty_directory, prepare
from vbench.measure.probe import Probe
from vbench.measure.process_peak import workspace_bytes
from vbench.measure.protocol import OUT_OF_MEMORY, Refusal, Sample, StopRule
from vbench.measure.quality import disturbance, judged
from vbench.measure.ranks import measured_on_ranks, threads_of
from vbench.measure.snapshot import snapshot
from vbench.measure.subject import build_network, token_extent
from vbench.results import Counts, ProcessRun
from vbench.stats import median

SEED = 0  # of the weights
REFERENCE_FORWARDS = 3  # a build and a forward in fp32 take no longer than so many of the cell's own
PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when the one that forked it ends


def measure(connection: Connection, cell: Cell, rule: StopRule, timeout_s: float) -> None:
    """Measure `cell` once and send a ProcessRun, preceded by Samples; or a Refusal."""
    end_with_parent()
    deadline_s = time.monotonic() + timeout_s
    measured = _measured_on_ranks if cell.ranks > 1 else measured_here
    told = answer(lambda: measured(connection, cell, rule, deadline_s))
    _give_back_names()
    connection.send(told)
    os._exit(0)  # what torch would tidy up at its end is gone with the process


def _give_back_names() -> None:
    """Remove the semaphores that a compiler or an exporter made: they have names in the system and outlive us."""
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]


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


def ceilings(connection: Connection, device: str, threads: int) -> None:
    """Send how fast this machine multiplies matrices and copies memory, with so many threads."""
    end_with_parent()
    if threads:
        torch.set_num_threads(threads)
    connection.send(answer(lambda: ceilings_here(device)))
    os._exit(0)


def input_pipeline(connection: Connection, cell: Cell, sampling: str, clips: int) -> None:
    """Send the seconds that one loader, a process of one thread, takes for each stage of the cell's input."""
    end_with_parent()
    torch.set_num_threads(1)
    connection.send(answer(lambda: stage_seconds(cell, sampling, clips)))
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
        workspace_bytes=_workspace(footprint, cell),
    )


def _workspace(footprint: Footprint, cell: Cell) -> int | None:
    """What the allocator says; None where it cannot be asked, or other code runs than what was traced."""
    if cell.backend != "eager" or cell.precision == "int8" or cell.ranks > 1:
        return None
    try:
        return workspace_bytes(footprint, cell.device)
    except (OSError, SubprocessError):
        return None


def _measured_on_ranks(
    connection: Connection, cell: Cell, rule: StopRule, deadline_s: float
) -> ProcessRun | Refusal:  # fmt: skip
    with ExitStack() as stack:
        return measured_on_ranks(connection, cell, rule, deadline_s, empty_directory(stack))


def measured_here(connection: Connection, cell: Cell, rule: StopRule, deadline_s: float) -> ProcessRun:
    """One process's part of a cell; the first one also says how far the output is from that of eager fp32."""
    prepare_process(cell)
    run, output = _observe(connection, cell, rule, deadline_s)
    if output is None or time.monotonic() + REFERENCE_FORWARDS * median(run.latency_s) > deadline_s:
        return run
    started = time.perf_counter()
    error = _logit_error(cell, output)
    return replace(run, logit_error=error, comparison_s=run.comparison_s + time.perf_counter() - started)


def _observe(connection: Connection, cell: Cell, rule: StopRule, deadline_s: float) -> tuple[ProcessRun, object | None]:
    """Build, warm up, take samples, then watch memory; and an output, where it is to be compared."""
    floor_bytes = status_bytes("VmRSS")
    started = time.perf_counter()
    network, inputs = build(cell)
    build_s = time.perf_counter() - started
    samples = Samples()
    with ExitStack() as stack:
        ready = prepare(cell, network, inputs, stack)
        samples.warmup_s += [] if ready.first_s is None else [ready.first_s]
        around = _latency_pass(ready, cell.device, rule, samples, deadline_s=deadline_s, tell=_teller(connection))
        forward_s = few_samples(ready.forward, cell.device, rule, ready.clock) if ready.forward else ()
        memory_started = time.perf_counter()
        peak = PEAKS[cell.device](ready.run, ready.held if rule.watch_tensors and _shows_tensors(cell) else None)
        memory_pass_s = time.perf_counter() - memory_started
        comparison_started = time.perf_counter()
        saved_bytes = serialized_bytes(network) if rule.watch_tensors else None
        output = ready.run() if rule.watch_tensors and _differs_from_reference(cell) else None
    run = ProcessRun(
        latency_s=tuple(samples.latency_s),
        block=samples.block,
        warmup_s=tuple(samples.warmup_s),
        build_s=build_s,
        memory_pass_s=memory_pass_s,
        harness_s=0.0,  # only the parent sees the whole life of the process
        peak_memory_bytes=peak.process_bytes,
        floor_bytes=floor_bytes,
        tensor_peak_bytes=peak.tensor_bytes,
        kernel_ran=ready.kernel_ran,
        stop_reason=samples.stop_reason,
        quality=judged(around.disturbance),
        warmup_stop=samples.warmup_stop,
        clock_resolution_s=samples.timer.resolution_s if samples.timer else None,
        clock_cost_s=samples.timer.cost_s if samples.timer else None,
        probe_s=around.probe_s,
        disturbance=around.disturbance,
        forward_s=forward_s,
        compile_s=ready.compile_s,
        serialized_bytes=saved_bytes,
        backward_dtypes=ready.backward_dtypes,
        threads=torch.get_num_threads() if ready.other_ranks else None,
        batch_norm=ready.batch_norm,
        comparison_s=time.perf_counter() - comparison_started,
    )
    return run, output


def _shows_tensors(cell: Cell) -> bool:
    """Whether torch's allocator knows of all that the cell holds, or we do.

    Not of packed integers, nor of another runtime, nor where the buckets lie in which gradients go to other ranks.
    """
    return cell.precision != "int8" and cell.backend != "onnx" and cell.ranks == 1


def _differs_from_reference(cell: Cell) -> bool:
    """Whether the cell's output can be another than that of eager fp32; in training it is drawn by chance."""
    return cell.mode == "infer" and (cell.precision, cell.backend) != ("fp32", "eager")


def _logit_error(cell: Cell, output: object) -> float:
    """The distance from eager fp32 with the same seeded weights and input; the cell's own network is gone by now."""
    torch.manual_seed(SEED)
    set_float32_products("fp32")
    network, inputs = build(replace(cell, precision="fp32", backend="eager"))
    with torch.no_grad():
        return distance(output, network(*inputs))


class _Around(NamedTuple):
    """What was seen of the machine around the samples."""

    probe_s: tuple[float, ...]
    disturbance: dict[str, float]


def _latency_pass(
    ready: Prepared, device: str, rule: StopRule, samples: Samples, *, deadline_s: float, tell: Callable[[float], None]
) -> _Around:
    """Warm up and take samples, and see meanwhile how fast and how quiet the machine is."""
    probe: Callable[[], tuple[float, ...]] = Probe() if device == "cpu" and not ready.other_ranks else _no_probe
    probed_s = probe()
    warm_up(ready.run, device, rule, samples, ready.clock)
    before = snapshot(device, ready.other_ranks)
    take_samples(ready.run, device, rule, samples, ready.clock, deadline_s=deadline_s, tell=tell)
    after = snapshot(device, ready.other_ranks)
    return _Around((*probed_s, *probe()), disturbance(before, after))


def _no_probe() -> tuple[float, ...]:
    """On CUDA a probe would change what the allocator reserves; a rank has a part of the threads of other cells."""
    return ()


def _teller(connection: Connection) -> Callable[[float], None]:
    return lambda latency_s: connection.send(Sample(latency_s))


def prepare_process(cell: Cell) -> None:
    """Layout, threads, seeds, numeric modes; the first victim of a memory shortage is this process, not its parent."""
    draw_layout()
    Path("/proc/self/oom_score_adj").write_text("1000")
    if threads := threads_of(cell):
        torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    set_float32_products(cell.precision)


def answer(work: Callable[[], object]) -> object:
    """What `work` returns, or why it could not."""
    try:
        return work()
    except VbenchError as error:
        return Refusal(str(error), is_unsupported=isinstance(error, AxisError | VideoError))
    except (MemoryError, torch.OutOfMemoryError) as error:
        return Refusal(f"{OUT_OF_MEMORY}: {first_line(error)}")
    except Exception as error:  # whatever a network does wrong is a row with its reason; the sweep goes on
        lacks_memory = "allocate memory" in str(error) or "not enough memory" in str(error)
        reason = OUT_OF_MEMORY if lacks_memory else type(error).__name__
        return Refusal(f"{reason}: {first_line(error)}")


def end_with_parent() -> None:
    """End this process at once when the parent or the forkserver is gone, whatever it is doing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # of the forkserver: the kernel sees to that
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by the runner"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
