"""What a process occupies beside its network: what it imports, and nothing of the network's parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vbench.errors import VbenchError
from vbench.measure import floor
from vbench.measure.floor import floor_beside, floor_here
from vbench.measure.untouched import LARGE, forget_parameters, untouched

BUILDING = """
import sys
from vbench.measure.floor import _without_parameters
network = _without_parameters("video_swin_t")
print("sympy" in sys.modules, sum(parameter.numel() for parameter in network.parameters()))
"""


def test_a_network_without_parameters_is_built_with_the_modules_of_a_real_one() -> None:
    """Video Swin's tables of places, made on the meta device, would import SymPy."""
    command = [sys.executable, "-c", BUILDING]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "0"]


def test_large_parameters_stay_as_they_are_allocated_and_small_ones_are_filled() -> None:
    with untouched():
        linear, norm = nn.Linear(LARGE, 4, bias=False), nn.LayerNorm(LARGE // 2)
        before = linear.weight.data_ptr(), linear.weight._version
        nn.init.ones_(linear.weight)
    assert (linear.weight.data_ptr(), linear.weight._version) == before
    assert bool((norm.weight == 1).all())
    nn.init.ones_(linear.weight)
    assert bool((linear.weight == 1).all())


def test_numbers_that_nobody_draws_are_not_drawn_again() -> None:
    """Torch's truncated normal distribution draws until all lie within its bounds: what memory held before may not."""
    far, few = torch.full((2 * LARGE,), 9.0), torch.full((LARGE,), 9.0)
    with untouched():
        nn.init.trunc_normal_(far, std=0.02)
        nn.init.trunc_normal_(few, std=0.02)
    assert bool((far == 9).all())
    assert float(few.abs().max()) <= 2
    nn.init.trunc_normal_(far, std=0.02)
    assert float(far.abs().max()) <= 2


def test_a_process_that_dies_or_has_no_end_is_one_line_and_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import time\n\ndef build(clip):\n    time.sleep(1000)\n\ndef broken(clip):\n    1 / 0\n")
    with floor_beside(f"{file}:broken") as asked, pytest.raises(VbenchError, match=r"broken.*division by zero"):
        asked()
    monkeypatch.setattr(floor, "PATIENCE_S", 0.1)
    with floor_beside(f"{file}:build") as asked, pytest.raises(VbenchError, match="build has no end: none in 100 ms"):
        asked()


class Names(TorchDispatchMode):
    """The operators that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func._overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("convolves", [False, True])
def test_kernels_of_convolutions_belong_to_the_floor_of_a_network_that_convolves(*, convolves: bool) -> None:
    with Names() as called:
        floor_here(convolves=convolves)
    assert {"bmm", "softmax"} <= called.names
    assert any(name.startswith("conv") for name in called.names) is convolves


FREED = """
import ctypes
from vbench.measure.floor import _occupied
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype, libc.free.argtypes = (ctypes.c_size_t,), ctypes.c_void_p, (ctypes.c_void_p,)
before, blocks = _occupied("cpu"), [libc.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
taken = _occupied("cpu")
for block in blocks[:-1]:  # the last one keeps the heap from shrinking at its end
    libc.free(block)
print(taken - before, _occupied("cpu") - before)
"""


def test_what_the_heap_holds_free_is_no_part_of_the_floor() -> None:
    answer = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    taken, left = map(int, answer.stdout.split())
    assert taken == pytest.approx(100_000_000, rel=0.05)
    assert left < 0.05 * taken


def test_a_network_that_forgot_its_parameters_has_its_modules() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    forget_parameters(network)
    assert not [*network.parameters(), *network.buffers()]
    assert len([*network.modules()]) == 3
