"""What claims on ratios rest on beside records: predicted peaks, longest clips, and bytes after INT8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vbench.analysis.claims import Limit
from vbench.analysis.modelled import CONTEXT_BYTES
from vbench.analysis.ratio import PairedRatios, latency_ratios
from vbench.cell import Cell
from vbench.measure.catalog_counts import default_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.quantised import spared_bytes
from vbench.measure.subject import build_network
from vbench.measure.techniques import quantised_network
from vbench.proof import evidence, ratios

NETWORK = "video_swin_t"


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crew would do side by side, one after another here."""

    @contextmanager
    def alone() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(map=map)

    monkeypatch.setattr(ratios, "crew", alone)


def test_int8_takes_three_of_four_bytes_of_every_linear_layer_s_weights_and_nothing_else() -> None:
    network = build_network(default_cell(NETWORK), torch.device("meta"))
    linear = {f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    matrices = {name for name, weight in network.named_parameters() if weight.ndim > 1}
    before, after, untouched = quantised_network(NETWORK)
    assert set(untouched) == matrices - linear
    assert before - after == pytest.approx(spared_bytes(network), rel=0.02)


def test_the_longest_clip_fits_beside_the_context_and_the_next_one_does_not() -> None:
    limits = [Limit(model="timesformer_b", memory_bytes=CONTEXT_BYTES + megabytes * 2**20) for megabytes in (400, 700)]
    found = ratios.longest(limits)
    assert found[limits[0]] == 0  # the parameters alone take more
    frames, budget = found[limits[1]], limits[1].memory_bytes - CONTEXT_BYTES

    def peak(length: int) -> int:
        cell = Cell(model="timesformer_b", frames=length, height=224, width=224)
        return footprint_of_cell(cell, tensors_only=True).peak_bytes

    assert peak(frames) <= budget < peak(frames + 1)


def test_a_step_holds_parameters_gradients_and_two_averages_and_less_under_autocast() -> None:
    plain, half = cells = [
        Cell(model=NETWORK, frames=8, height=64, width=64, batch=4, mode="train", precision=precision)
        for precision in ("fp32", "bf16")
    ]
    peaks = ratios.training_peaks(cells)
    network = build_network(default_cell(NETWORK), torch.device("meta"))
    held = 4 * sum(4 * weight.numel() for weight in network.parameters())  # each in fp32
    assert held <= peaks[half] < peaks[plain]


def test_nothing_asked_is_nothing_done() -> None:
    assert not any(work([]) for work in (ratios.longest, ratios.training_peaks, ratios.quantised_networks))


def test_a_cell_stands_once_in_each_environment_so_that_every_pair_of_one_is_found(make):
    """As after a second sweep with newer code into the same directory, which measured one of three cells again."""
    first, second, third = (make.cell(model) for model in ("timesformer_b", "video_swin_t", "c3d"))
    records = [make.measured(cell, 0.1) for cell in (first, second)]
    records += [make.measured(cell, 0.2, environment="e2") for cell in (second, third)]
    costs = evidence._in_each_environment(records, {name: make.environment(name) for name in ("e1", "e2")})
    assert sorted(zip(costs["model"], costs["environment"], strict=True)) == sorted(
        (record.cell.model, record.environment) for record in records
    )
    asked = {"model": second.model}
    found = [latency_ratios(costs, asked, {"model": other.model}, PairedRatios()) for other in (first, second, third)]
    assert [len(each) for each in found] == [1, 2, 1]
