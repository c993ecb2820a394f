"""Forwards of the timed gate's cells under pytest-benchmark, with our figures beside its times.

`pytest` runs each once, as a test; `nox -s benchmarks` times them and saves the JSON, in which `extra_info` holds the
cell, its parameters, multiply-adds and predicted bytes. Its medians are those of one process: to tell whether anything
became slower, ask `vbench check --against REF`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils._pytree import tree_leaves

from vbench.cell import Cell
from vbench.grid import read_grid
from vbench.measure.inputs import network_input
from vbench.measure.subject import all_inputs, build_network, known_facts
from vbench.measure.worker import counts_of

GATE = read_grid(Path(__file__).parents[2] / "vbench" / "presets" / "gate.toml")
CELLS = [plan.cell for plan in GATE.plans(known_facts(GATE.models()))]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_a_forward_gives_finite_numbers_and_the_same_again(benchmark: BenchmarkFixture, cell: Cell) -> None:
    counts = counts_of(cell)
    benchmark.extra_info |= {
        "cell": cell.id,
        "params": counts.params,
        "macs": counts.macs,
        "attention_macs": counts.attention_macs,
        "predicted_peak_bytes": counts.predicted_peak_bytes,
    }
    torch.manual_seed(0)
    network = build_network(cell)
    inputs = all_inputs(network, network_input(cell))
    with torch.inference_mode():
        first = tree_leaves(network(*inputs))
        again = tree_leaves(benchmark(network, *inputs))
    assert first
    for before, after in zip(first, again, strict=True):
        assert torch.isfinite(before).all()
        torch.testing.assert_close(after, before)
