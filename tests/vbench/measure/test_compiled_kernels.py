"""Kernels that are compiled: where, how often, and what a process really grows by."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from vbench.measure.footprint import Footprint, footprint

CONVOLUTIONS, CHANNELS = 3, 8


def traced(network: nn.Module, *shape: int, precision: str = "fp32") -> Footprint:
    return footprint(network.to("meta"), torch.Size(shape), precision=precision)


def test_a_convolution_is_compiled_once_for_its_shapes() -> None:
    """Three of the same shapes, and one of another: blocks of the first and of the last, none of those between."""
    same = [nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(CONVOLUTIONS)]
    first, all_same = (traced(nn.Sequential(*same[:n]), 1, CHANNELS, 4, 9, 9) for n in (1, CONVOLUTIONS))
    other = nn.Conv3d(CHANNELS, CHANNELS, 1, bias=False)
    with_other = traced(nn.Sequential(*same, other), 1, CHANNELS, 4, 9, 9)
    assert len(first.compiling) == len(all_same.compiling) > 0
    assert len(with_other.compiling) > len(all_same.compiling)
    assert max(with_other.compiling) > max(all_same.compiling)


def test_products_are_compiled_in_bf16_only() -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 32))
    assert traced(network, 50, 64).compiled_bytes == 0
    one, both = (traced(network[at], 50, 64, precision="bf16").compiled_bytes for at in (slice(2), slice(3)))
    assert both > one > 0
    assert one == traced(network[:1], 50, 64, precision="bf16").compiled_bytes


GROWTH = """
import ctypes, torch
from vbench.measure.floor import floor_here, _occupied
layers = [torch.nn.Linear(96, 64 + 8 * n).bfloat16() for n in range(10)]
x, before = torch.randn(200, 96).bfloat16(), floor_here(convolves=False)
with torch.no_grad():
    for layer in layers:
        layer(x)
print(_occupied("cpu") - before)
"""


def test_a_process_grows_by_what_is_predicted_for_its_products() -> None:
    """Within a third: what a kernel weighs depends on the processor and on the shapes, between 550 and 830 KB here."""
    network = nn.ModuleList(nn.Linear(96, 64 + 8 * n) for n in range(10))
    predicted = traced(_Beside(network), 200, 96, precision="bf16_pure").compiled_bytes
    grown = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(grown.stdout) == pytest.approx(predicted, rel=0.33)


class _Beside(nn.Module):
    """Layers that all have the same input."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self.layers], -1)
