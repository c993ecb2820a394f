"""What a process occupies beside its network: what it imports, and nothing of the network's parameters."""

from __future__ import annotations

import subprocess
import sys

from torch import nn

from vbench.measure.untouched import LARGE, Untouched, forget_parameters

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
    with Untouched():
        linear, norm = nn.Linear(LARGE, 4, bias=False), nn.LayerNorm(LARGE // 2)
        before = linear.weight.data_ptr(), linear.weight._version
        nn.init.ones_(linear.weight)
    assert (linear.weight.data_ptr(), linear.weight._version) == before
    assert bool((norm.weight == 1).all())
    nn.init.ones_(linear.weight)
    assert bool((linear.weight == 1).all())


def test_a_network_that_forgot_its_parameters_has_its_modules() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    forget_parameters(network)
    assert not [*network.parameters(), *network.buffers()]
    assert len([*network.modules()]) == 3
