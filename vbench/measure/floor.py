"""What a process occupies beside its network: the interpreter, torch's libraries, and what kernels keep for themselves.

Measured, once for a torch version, a machine and a number of threads, in a fresh process that runs one small product of
each kind: that maps the libraries' code, makes MKL set its packing buffers aside for every thread, lets oneDNN compile
kernels, and starts the threads. Run as a module it prints the floor of a process that holds the modules of one network
without their parameters, built on the CPU: what its code imports there belongs to the floor. Where that brings
operators of its own, written in Python (scans, long convolutions), torch imports its compiler at their first call, some
70 MB.

    python -m vbench.measure.floor DEVICE THREADS MODEL
"""

from __future__ import annotations

import importlib
import subprocess
import sys

from vbench.measure.memory import status_bytes

WIDTH = 1024  # of the products: MKL's packing buffers do not grow beyond it


def floor_here(device: str = "cpu") -> int:
    """Bytes that this process occupies, on a CPU or of a CUDA device's memory, once every kind of kernel has run.

    On CUDA that is the context: what is in use on the device beyond what torch's allocator holds free, which leaves in
    the workspaces of cuBLAS. It was written without such a device at hand, and takes other processes on it for its own.
    """
    import torch

    with torch.inference_mode():
        _one_of_each(device)
    return _occupied(device)


def _occupied(device: str) -> int:
    import torch

    if device == "cpu":
        return status_bytes("VmRSS")
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved() + torch.cuda.memory_allocated()


def start_fresh(model: str, device: str = "cpu", threads: int = 0) -> subprocess.Popen[str]:
    """Start a process that finds its own floor, beside whatever the caller does meanwhile; see `floor_of`."""
    command = [sys.executable, "-m", "vbench.measure.floor", device, str(threads), model]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def floor_of(process: subprocess.Popen[str]) -> int:
    """What the process that `start_fresh` started has found, in bytes."""
    answer, _ = process.communicate()
    return int(answer)


def _without_parameters(model: str) -> object:
    """The network of a model's default clip, its parameters gone, and the compiler where its operators import that."""
    from torch._library.custom_ops import OPDEFS

    from vbench.cell import Cell
    from vbench.measure.subject import build_network, facts
    from vbench.measure.untouched import Untouched, forget_parameters

    before, known = set(OPDEFS), facts(model)
    frames, height, width = known.default
    cell = Cell(model=model, frames=frames, height=height, width=width, unit=known.unit)
    with Untouched():
        network = build_network(cell)
    forget_parameters(network)
    if set(OPDEFS) != before:
        importlib.import_module("torch._dynamo")
    return network


def _one_of_each(device: str) -> None:
    import torch
    import torch.nn.functional as F

    with torch.device(device):
        matrix, batch = torch.randn(WIDTH, WIDTH), torch.randn(8, 256, 64)
        torch.bmm(batch, batch.mT)
        F.scaled_dot_product_attention(batch[None], batch[None], batch[None])
        F.softmax(F.gelu(F.layer_norm(F.linear(matrix, matrix, matrix[0]), (WIDTH,))), -1)
        for dims, convolve, pool in ((2, F.conv2d, F.max_pool2d), (3, F.conv3d, F.max_pool3d)):
            kernel, image = torch.randn(64, 32, *[3] * dims), torch.randn(1, 32, *[16] * dims)
            pool(F.relu(F.batch_norm(convolve(image, kernel), torch.zeros(64), torch.ones(64))), 2)


def main() -> None:
    """Print the floor of this process in bytes."""
    import torch

    device, threads, model = sys.argv[1:]
    if int(threads):
        torch.set_num_threads(int(threads))
    floor_here(device)  # before large parameters are given back: malloc would keep what it frees from then on
    network = _without_parameters(model)
    sys.stdout.write(f"{_occupied(device)}\n")
    del network


if __name__ == "__main__":
    main()
