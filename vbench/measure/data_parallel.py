"""Data-parallel training: every rank steps on a batch of its own, and gradients are averaged over all of them.

Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020,
https://arxiv.org/abs/2006.15704. Scaling is weak: each rank has a batch of the cell's size, so that N of them take in N
times the clips of one. The clip is the same on each, for what it shows changes no cost; what is drawn by chance in
training is drawn anew on each. Gradients travel by gloo between processors and by NCCL between CUDA devices, in the
last backward of a step alone where they are accumulated (sec. 3.2.4). The statistics of batch norm are of all ranks'
clips where torch can do that, on CUDA; elsewhere of a rank's own.

The ranks do the same things in the same order, or wait for each other for ever. So the first of them leads: what it
calls, all do. A block of steps begins when all ranks are there and takes as long as on the slowest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from vbench.measure.latency import CLOCKS, Run
from vbench.measure.timer import Clock

TALK = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # what is led and followed is said in tensors of the CPU
UNTIMED = 0  # instead of a block's length
OVER = (-1, UNTIMED)
SYNCHRONISED = "synchronised"
LOCAL = "local: torch synchronises batch norm on CUDA alone"


def joined(device: str) -> int:
    """Become one of the ranks that the environment speaks of, on a device of its own; the rank's number."""
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(TALK[device])
    return dist.get_rank()


def in_parallel(network: nn.Module, device: str) -> tuple[nn.Module, str]:
    """The network as one of the ranks trains it, and what became of its batch norm; empty where it has none.

    Raises:
        RuntimeError: the network has parameters that differ from rank to rank in number or shape.
    """
    batch_norm = ""
    if any(isinstance(module, _BatchNorm) for module in network.modules()):
        batch_norm = SYNCHRONISED if device == "cuda" else LOCAL
    if batch_norm == SYNCHRONISED:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    parallel = DistributedDataParallel(network)
    torch.manual_seed(torch.initial_seed() + dist.get_rank())
    return parallel, batch_norm


def other_processes() -> tuple[int, ...]:
    """The process numbers of the other ranks."""
    numbers = [torch.empty(1, dtype=torch.long) for _ in range(dist.get_world_size())]
    dist.all_gather(numbers, torch.tensor([os.getpid()]))
    return tuple(int(number) for number in numbers if number != os.getpid())


class Led:
    """A run that all ranks do together when the first of them, which holds this, calls it."""

    __slots__ = ("_run", "_which")

    def __init__(self, which: int, run: Run) -> None:
        self._which, self._run = which, run

    def __call__(self) -> object:
        """Do it once, on every rank."""
        _say(self._which, UNTIMED)
        return self._run()

    def slowest_s(self, clock: Clock, block: int) -> float:
        """Seconds of one call, the mean over `block` calls, on the rank that takes longest."""
        _say(self._which, block)
        return _slowest_s(self._run, clock, block)


def led(*runs: Callable[[], object]) -> tuple[Run, ...]:
    """The runs as the first rank calls them; on the others as they are, for `follow`."""
    return tuple(Led(which, run) for which, run in enumerate(runs)) if dist.get_rank() == 0 else runs


def follow(runs: Sequence[Run], device: str) -> None:
    """Do what the first rank says, until it says that it is over."""
    while (order := _heard()) != OVER:
        which, block = order
        if block == UNTIMED:
            runs[which]()
        else:
            _slowest_s(runs[which], CLOCKS[device], block)


@contextmanager
def led_to_the_end() -> Iterator[None]:
    """On the first rank: let the others go at the end. After an error they are not waiting for it: they get killed."""
    yield
    _say(*OVER)


def clock_of_ranks(device: str) -> Clock:
    """The clock for what is led: the slowest rank's time. What is not led is timed here alone."""
    clock = CLOCKS[device]
    return lambda run, block: run.slowest_s(clock, block) if isinstance(run, Led) else clock(run, block)


def _slowest_s(run: Run, clock: Clock, block: int) -> float:
    dist.all_reduce(torch.zeros(1))  # nobody has the sum before everybody has come
    taken_s = torch.tensor([clock(run, block)], dtype=torch.float64)
    dist.all_reduce(taken_s, dist.ReduceOp.MAX)
    return float(taken_s)


def _say(which: int, block: int) -> None:
    dist.broadcast(torch.tensor([which, block]), src=0)


def _heard() -> tuple[int, int]:
    order: Tensor = torch.empty(2, dtype=torch.long)
    dist.broadcast(order, src=0)
    return int(order[0]), int(order[1])
