"""Predicted memory against closed forms, and against what the allocator really handed out."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from vbench.cell import Cell
from vbench.measure.footprint import footprint, footprint_of_cell
from vbench.measure.subject import build_network, input_shape

JOINT = Cell(model="core:joint", frames=8, height=8, width=8, unit="tokens")
N, DIM, HEADS, FLOAT = 8 * 8 * 8, 768, 12, 4


def test_a_chain_of_layers_peaks_where_two_neighbours_are_alive() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(10, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 1, bias=False))
    parameters, x, hidden = 10 * 1000 + 1000, 7 * 10, 7 * 1000
    assert footprint(network, torch.Size((7, 10))).peak_bytes == FLOAT * (parameters + x + 2 * hidden)


def test_the_math_kernel_holds_the_scores_and_their_softmax_and_the_fused_one_neither() -> None:
    scores = HEADS * N * N * FLOAT
    fused, math = (footprint_of_cell(replace(JOINT, kernel=kernel)).peak_bytes for kernel in ("fused", "math"))
    assert fused < 6 * N * DIM * FLOAT
    assert 2 * scores <= math <= 2 * scores + 8 * N * DIM * FLOAT


def test_an_additive_bias_stays_a_tensor_under_the_fused_kernel() -> None:
    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.empty(4, N))

        def forward(self, x: Tensor) -> Tensor:
            bias = self.table[:, :, None] + self.table[:, None]
            return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=bias)

    with torch.device("meta"):
        network = Biased()
    assert footprint(network, torch.Size((1, 4, N, 8))).peak_bytes >= 4 * N * N * FLOAT


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_such_device_is_needed_to_predict_for_it(device: str) -> None:
    assert footprint_of_cell(replace(JOINT, device=device)).peak_bytes == footprint_of_cell(JOINT).peak_bytes


def test_pure_bf16_needs_half_of_fp32() -> None:
    cell = Cell(model="timesformer_b", frames=2, height=64, width=64)
    full, half = (footprint_of_cell(replace(cell, precision=p)).peak_bytes for p in ("fp32", "bf16_pure"))
    assert half == pytest.approx(full / 2, rel=0.01)  # integer buffers and the fp32 log-sum-exp do not shrink


def test_autocast_keeps_fp32_parameters_and_adds_their_casts() -> None:
    cell = Cell(model="timesformer_b", frames=2, height=64, width=64)
    full, cast = (footprint_of_cell(replace(cell, precision=p)).peak_bytes for p in ("fp32", "bf16"))
    parameters = 121_000_000 * FLOAT  # position tables shrink with the clip
    assert parameters + 0.9 * parameters / 2 < cast < full + 1.1 * parameters / 2


def peak_of_allocator(network: nn.Module, video: Tensor) -> int:
    """Bytes that the CPU allocator had handed out at most during a forward, from the profiler's memory events."""
    with torch.no_grad():
        network(video)  # lazy work of the first call is done
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            network(video)
    live = peak = 0
    events = profiled.profiler.kineto_results.events()
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize(
    "cell",
    [
        Cell(model="timesformer_b", frames=2, height=64, width=64),
        Cell(model="vivit_b_16x2", frames=4, height=64, width=64),
        Cell(model="video_swin_t", frames=4, height=64, width=64),
        Cell(model="i3d_r50", frames=4, height=64, width=64),
    ],
    ids=lambda cell: cell.model,
)
def test_the_prediction_is_what_the_allocator_hands_out_but_for_kernels_scratch(cell: Cell) -> None:
    network, video = build_network(cell), torch.randn(input_shape(cell))
    held = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers(), video))
    predicted, observed = footprint_of_cell(cell).peak_bytes, held + peak_of_allocator(network, video)
    assert predicted == pytest.approx(observed, rel=0.05)  # oneDNN and the flash kernel take scratch of their own


def test_joint_attention_moves_its_queries_keys_values_and_result_once() -> None:
    assert footprint_of_cell(JOINT).op_bytes == 4 * N * DIM * FLOAT


def test_asking_for_a_device_or_setting_memory_aside_moves_nothing() -> None:
    class Asks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.device == x.new_empty(x.shape).device
            return x.relu()

    assert footprint(Asks(), torch.Size((1000,))).op_bytes == 2 * 1000 * FLOAT


def test_moved_bytes_are_read_and_written_ones() -> None:
    with torch.device("meta"):
        network = nn.ReLU()
    assert footprint(network, torch.Size((1000,))).op_bytes == 2 * 1000 * FLOAT
