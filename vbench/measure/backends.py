"""Back ends: one network made ready to run in each of the ways that torch has, and held against eager.

- `compile`: torch.compile with its defaults, into an empty cache of its own;
- `export`: the module of torch.export's program, run by torch;
- `onnx`: torch.onnx's exporter, run by onnxruntime on the CPU;
- `torchscript`: torch.jit.trace, deprecated by torch and here as long as torch has it.

What a back end cannot take, and what comes out of it otherwise than out of eager, is a `BackendError` with the cause in
one line: nothing is timed that computes something else.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vbench.errors import BackendError, first_line
from vbench.measure.faithfulness import distance

Run = Callable[[], object]
Inputs = tuple[Any, ...]

LARGEST_DISTANCE = {  # from eager in the same precision, ||y - r|| / ||r||: kernels sum in another order
    "fp32": 1e-3, "tf32": 1e-2, "fp16": 2e-2, "bf16": 5e-2, "bf16_pure": 5e-2, "int8": 5e-2,
}  # fmt: skip


def converted(backend: str, network: nn.Module, inputs: Inputs, directory: Path) -> Run:
    """The network's forward on its inputs, by another way than eager; `directory` is empty and outlives the run.

    What is compiled is compiled at the first run; `ready_compiler` comes before.

    Raises:
        BackendError: the back end does not take the network.
    """
    with attempting(backend), torch.no_grad():
        return CONVERSIONS[backend](network, inputs, directory)


@contextmanager
def attempting(backend: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `BackendError` with its first cause in one line; not lack of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # exporters warn of their own deprecations, not of the network
            yield
    except (BackendError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise BackendError(f"back end {backend!r} does not take it: {_first_cause(error)}") from error


def check_faithful(backend: str, precision: str, output: object, eager: object) -> None:
    """Refuse a back end that computes something else.

    Raises:
        BackendError: the output is further from eager's than rounding explains.
    """
    apart, most = distance(output, eager), LARGEST_DISTANCE[precision]
    if not apart <= most:
        raise BackendError(
            f"back end {backend!r} gives another output than eager: relative distance {apart:.2g}, at most {most:g}"
        )


def ready_compiler(directory: Path) -> None:
    """Let torch.compile start from nothing, in this process alone, once it knows this machine's vector instructions."""
    import torch._inductor.config as inductor
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    inductor.compile_threads = 1  # a pool of compilers would outlive this process
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(directory / "inductor")
    os.environ["TRITON_CACHE_DIR"] = str(directory / "triton")
    pick_vec_isa()  # it compiles and runs programs for that, whatever the network


def _compile(network: nn.Module, inputs: Inputs, _directory: Path) -> Run:
    call = torch.compile(network)
    return lambda: call(*inputs)


def _export(network: nn.Module, inputs: Inputs, _directory: Path) -> Run:
    call = torch.export.export(network, inputs).module()
    return lambda: call(*inputs)


def _torchscript(network: nn.Module, inputs: Inputs, _directory: Path) -> Run:
    call = torch.jit.trace(network, inputs, check_trace=False, strict=False)
    return lambda: call(*inputs)


def _onnx(network: nn.Module, inputs: Inputs, directory: Path) -> Run:
    from onnxruntime import InferenceSession, SessionOptions

    program = torch.onnx.export(network, inputs, dynamo=True, verbose=False)
    assert program is not None, "the exporter gave no program"
    program.save(directory / "network.onnx", external_data=True)
    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(directory / "network.onnx", options, providers=["CPUExecutionProvider"])
    tensors = (leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor))
    feed = {place.name: tensor.numpy() for place, tensor in zip(session.get_inputs(), tensors, strict=True)}
    return lambda: session.run(None, feed)


CONVERSIONS: dict[str, Callable[[nn.Module, Inputs, Path], Run]] = {
    "compile": _compile, "export": _export, "onnx": _onnx, "torchscript": _torchscript,
}  # fmt: skip


def _first_cause(error: BaseException) -> str:
    """The error that began it, in one line: exporters wrap theirs in advice on what to do next."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"
