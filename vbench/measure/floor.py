"""What a process occupies beside its network: the interpreter, torch's libraries, and what kernels keep for themselves.

Measured, once for a torch version, a machine and a number of threads, in a fresh process that runs one small product of
each kind: that maps the libraries' code, makes MKL set its packing buffers aside for every thread, lets oneDNN compile
kernels, and starts the threads. Run as a module it prints the floor of a process that holds the modules of one network
without their parameters, built on the CPU: what its code imports there belongs to the floor, and convolutions, some
10 MB, only where it has modules that convolve. Where it brings operators of its own, written in Python (scans, long
convolutions), torch imports its compiler at their first call, some 70 MB.

    python -m vbench.measure.floor DEVICE THREADS MODEL
"""

from __future__ import annotations

import ctypes
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vbench.errors import VbenchError
from vbench.measure.memory import status_bytes
from vbench.units import seconds

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTH = 1024  # of the products: MKL's packing buffers do not grow beyond it
PATIENCE_S = 120.0  # no network of the catalog takes ten seconds


def floor_here(device: str = "cpu", *, convolves: bool = True) -> int:
    """Bytes that this process occupies, on a CPU or of a CUDA device's memory, once every kind of kernel has run.

    What the C library's heap holds free is given back before: a network would use it again. On CUDA the answer is the
    context: what is in use on the device beyond what torch's allocator holds free, which leaves in the workspaces of
    cuBLAS. It was written without such a device at hand, and takes other processes on it for its own.
    """
    import torch

    with torch.inference_mode():
        _one_of_each(device, convolves=convolves)
    return _occupied(device)


def _occupied(device: str) -> int:
    import torch

    if device == "cpu":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # of glibc
            libc.malloc_trim(0)
        return status_bytes("VmRSS")
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() + torch.cuda.memory_allocated()


@contextmanager
def floor_beside(model: str, device: str = "cpu", threads: int = 0) -> Iterator[Callable[[], int]]:
    """A fresh process that finds its own floor beside whatever the caller does meanwhile; the call waits for the bytes.

    On leaving it is gone, whether it was asked or not. The call raises VbenchError where it died or does not come to
    an end.
    """
    command = [sys.executable, "-m", "vbench.measure.floor", device, str(threads), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield lambda: _answer_of(process, model)
        finally:
            process.kill()


def _answer_of(process: subprocess.Popen[str], model: str) -> int:
    try:
        answer, complaint = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise VbenchError(f"the process that builds {model} has no end: none in {seconds(PATIENCE_S)}") from None
    if process.returncode:
        why = (complaint.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise VbenchError(f"a fresh process cannot build {model}: {why}")
    return int(answer.splitlines()[-1])  # a user's network may print when it is built


def _without_parameters(model: str) -> nn.Module:
    """The network of a model's default clip, its parameters gone, and the compiler where its operators import that."""
    from torch._library.custom_ops import OPDEFS

    from vbench.cell import Cell
    from vbench.measure.subject import build_network, facts
    from vbench.measure.untouched import forget_parameters, untouched

    before, known = set(OPDEFS), facts(model)
    frames, height, width = known.default
    cell = Cell(model=model, frames=frames, height=height, width=width, unit=known.unit)
    with untouched():
        network = build_network(cell)
    forget_parameters(network)
    if set(OPDEFS) != before:
        importlib.import_module("torch._dynamo")
    return network


def _one_of_each(device: str, *, convolves: bool) -> None:
    import torch
    import torch.nn.functional as F

    with torch.device(device):
        matrix, batch = torch.randn(WIDTH, WIDTH), torch.randn(8, 256, 64)
        torch.bmm(batch, batch.mT)
        F.scaled_dot_product_attention(batch[None], batch[None], batch[None])
        F.softmax(F.gelu(F.layer_norm(F.linear(matrix, matrix, matrix[0]), (WIDTH,))), -1)
        if convolves:
            _convolve(2, F.conv2d, F.max_pool2d)
            _convolve(3, F.conv3d, F.max_pool3d)


def _convolve(dimensions: int, convolution: Callable[..., Tensor], pooling: Callable[..., Tensor]) -> None:
    import torch
    import torch.nn.functional as F

    kernel, image = torch.randn(64, 32, *[3] * dimensions), torch.randn(1, 32, *[16] * dimensions)
    pooling(F.relu(F.batch_norm(convolution(image, kernel), torch.zeros(64), torch.ones(64))), 2)


def main() -> None:
    """Print the floor of this process in bytes."""
    import torch
    from torch.nn.modules.conv import _ConvNd

    device, threads, model = sys.argv[1:]
    if int(threads):
        torch.set_num_threads(int(threads))
    network = _without_parameters(model)
    floor = floor_here(device, convolves=any(isinstance(module, _ConvNd) for module in network.modules()))
    sys.stdout.write(f"{floor}\n")


if __name__ == "__main__":
    main()
