"""From a cell to a run that can be timed: built, in its precision and mode, through its back end, and called once.

What a run needs around it (autocast, inference mode, an empty compile cache) is entered on the caller's stack and holds
until that ends. In inference the run is a forward; in training a whole step, whose forward can be timed apart.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import torch
from torch import nn

from vbench.cell import Cell
from vbench.measure.backends import attempting, check_faithful, converted, ready_compiler
from vbench.measure.data_parallel import clock_of_ranks, in_parallel, led, other_processes
from vbench.measure.inputs import network_input
from vbench.measure.kernels import KernelWitness, kernel_context, kernel_in_profile
from vbench.measure.mixing import mixing_of
from vbench.measure.precision import PARAMETER_DTYPE, precision_context
from vbench.measure.product_types import ProductTypes
from vbench.measure.quantised import quantised
from vbench.measure.subject import all_inputs, build_network
from vbench.measure.timer import Clock
from vbench.measure.training import TrainingStep, check_trainable

PREFIX = "vbench-run-"  # of a directory, before the number of its process
Run = Callable[[], object]
Inputs = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A run that is ready to be timed, and what its first call showed."""

    run: Run
    held: Callable[[], object]  # the tensors that are alive between two runs
    first_s: float | None  # the first call; None where it was part of the compilation
    kernel_ran: str
    forward: Run | None = None  # of a step of training
    compile_s: float | None = None  # until the first output of a back end other than eager
    backward_dtypes: tuple[str, ...] = ()
    clock: Clock | None = None  # that of all ranks, where there are several; else the device's
    other_ranks: tuple[int, ...] = ()  # their processes
    batch_norm: str = ""  # what became of it on several ranks


class Forward:
    """The call that is timed."""

    __slots__ = ("_inputs", "_network")

    def __init__(self, network: Callable[..., Any], inputs: Inputs) -> None:
        self._network, self._inputs = network, inputs

    def __call__(self) -> object:
        """One forward."""
        return self._network(*self._inputs)


def build(cell: Cell) -> tuple[nn.Module, Inputs]:
    """The network, seeded, and its inputs, all on the cell's device in the cell's precision."""
    network = build_network(cell, torch.device(cell.device)).to(PARAMETER_DTYPE[cell.precision])
    if cell.precision == "int8":
        network = quantised(network)
    return network, all_inputs(network, network_input(cell))


def prepare(cell: Cell, network: nn.Module, inputs: Inputs, stack: ExitStack) -> Prepared:
    """The cell's run, called once, in contexts that the stack ends.

    Raises:
        AxisError: there is nothing to train.
        BackendError: the back end does not take the network, or computes something else than eager.
    """
    stack.enter_context(kernel_context(cell.kernel))
    if cell.mode == "train":
        return _step(cell, network, inputs, stack)
    if cell.backend == "eager":
        return _eager_forward(cell, network, inputs, stack)
    return _converted_forward(cell, network, inputs, stack)


def _eager_forward(cell: Cell, network: nn.Module, inputs: Inputs, stack: ExitStack) -> Prepared:
    stack.enter_context(precision_context(cell.precision, cell.device))
    first_s, kernel_ran = first_forward(network, inputs)
    stack.enter_context(torch.inference_mode())
    held = _held_by(network, inputs)
    return Prepared(run=Forward(network, inputs), held=held, first_s=first_s, kernel_ran=kernel_ran)


def _converted_forward(cell: Cell, network: nn.Module, inputs: Inputs, stack: ExitStack) -> Prepared:
    """Through another back end; what it gives is held against eager's output in the same precision."""
    with precision_context(cell.precision, cell.device), torch.no_grad():
        eager = network(*inputs)
    directory = empty_directory(stack)
    if cell.backend == "compile":
        ready_compiler(directory)
    started = time.perf_counter()
    run = converted(cell.backend, network, inputs, directory)
    stack.enter_context(precision_context(cell.precision, cell.device))
    stack.enter_context(torch.inference_mode())
    with attempting(cell.backend):
        output = _finished(run)
    compile_s = time.perf_counter() - started
    check_faithful(cell.backend, cell.precision, output, eager)
    kernel_ran = "none" if cell.backend == "onnx" else kernel_in_profile(run)
    held = _held_by(network, inputs)
    return Prepared(run=run, held=held, first_s=None, kernel_ran=kernel_ran, compile_s=compile_s)


def _step(cell: Cell, network: nn.Module, inputs: Inputs, stack: ExitStack) -> Prepared:
    """A step of training. Autocast begins anew in each: the casts that it keeps are of parameters that have moved."""
    check_trainable(network.parameters())
    network.train()
    is_compiled = cell.backend == "compile"
    if is_compiled:
        ready_compiler(empty_directory(stack))
    trained, batch_norm = in_parallel(network, cell.device) if cell.ranks > 1 else (network, "")
    step = TrainingStep(
        torch.compile(trained) if is_compiled else trained,
        network.parameters(),
        inputs,
        precision_context(cell.precision, cell.device),
        accumulation=cell.accumulation,
        scales_gradients=cell.precision == "fp16",
        mixing=mixing_of(cell.mixing),
    )
    seen = _first_compiled_step(step) if is_compiled else _first_step(step)
    held = _held_by(network, inputs, step)
    ready = Prepared(run=step, held=held, forward=step.forward, batch_norm=batch_norm, **seen)
    return _led(ready, cell.device) if cell.ranks > 1 else ready


def _led(ready: Prepared, device: str) -> Prepared:
    """The same for all ranks together."""
    assert ready.forward is not None
    run, forward = led(ready.run, ready.forward)
    clock, others = clock_of_ranks(device), other_processes()
    return replace(ready, run=run, forward=forward, clock=clock, other_ranks=others)


def _first_step(step: TrainingStep) -> dict[str, Any]:
    """The first step, under which attention kernels and the backward's products are seen."""
    started = time.perf_counter()
    with KernelWitness() as witness, ProductTypes() as products:
        step()
        _synchronise()
    return {
        "first_s": time.perf_counter() - started,
        "kernel_ran": witness.kernel_ran,
        "backward_dtypes": tuple(sorted(set(products.backward))),
    }


def _first_compiled_step(step: TrainingStep) -> dict[str, Any]:
    started = time.perf_counter()
    with attempting("compile"):
        step()
        _synchronise()
    compile_s = time.perf_counter() - started
    return {"first_s": None, "compile_s": compile_s, "kernel_ran": kernel_in_profile(step)}


def first_forward(network: nn.Module, inputs: Inputs) -> tuple[float, str]:
    """Seconds and attention kernels of the first forward; a dispatch mode sees none in inference mode."""
    started = time.perf_counter()
    with torch.no_grad(), KernelWitness() as witness:
        network(*inputs)
    _synchronise()
    return time.perf_counter() - started, witness.kernel_ran


def _finished(run: Run) -> object:
    output = run()
    _synchronise()
    return output


def _synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def empty_directory(stack: ExitStack) -> Path:
    """A directory of this process, gone with the stack; what killed processes left of theirs goes now."""
    for left in Path(gettempdir()).glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(stack.enter_context(TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")))


def _held_by(network: nn.Module, inputs: Inputs, step: TrainingStep | None = None) -> Callable[[], object]:
    def held() -> object:
        return list(network.parameters()), list(network.buffers()), inputs, list(step.state()) if step else []

    return held
