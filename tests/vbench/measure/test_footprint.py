"""Predicted memory against closed forms, and against what the allocator really handed out."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.measure.footprint import Footprint, LiveBytes, footprint, footprint_of_cell
from vbench.measure.kernel_steps import RESULTS, highest_above, shortened, steps_of
from vbench.measure.memory import allocated_in_order, allocated_peak, bytes_of
from vbench.measure.subject import build_network, input_shape
from vbench.measure.training import adamw
from vbench_models.layers.cache import in_parts
from vbench_models.layers.scan import selective_scan

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


def test_no_cuda_is_needed_to_predict_for_it() -> None:
    on_cpu, on_cuda = (footprint_of_cell(replace(JOINT, device=device)).peak_bytes for device in ("cpu", "cuda"))
    assert 0.95 * on_cpu < on_cuda <= on_cpu  # the CPU's kernel has a buffer a thread


def test_pure_bf16_needs_half_of_fp32() -> None:
    cell = Cell(model="timesformer_b", frames=2, height=64, width=64)
    full, half = (footprint_of_cell(replace(cell, precision=p)).peak_bytes for p in ("fp32", "bf16_pure"))
    assert half == pytest.approx(full / 2, rel=0.01)  # integer buffers and the fp32 log-sum-exp do not shrink


def test_autocast_keeps_fp32_parameters_and_adds_their_casts() -> None:
    cell = Cell(model="timesformer_b", frames=2, height=64, width=64)
    full, cast = (footprint_of_cell(replace(cell, precision=p)).peak_bytes for p in ("fp32", "bf16"))
    parameters = 121_000_000 * FLOAT  # position tables shrink with the clip
    assert parameters + 0.9 * parameters / 2 < cast < full + 1.1 * parameters / 2


def test_a_forward_leaves_the_casts_of_its_weights_to_the_next_and_nothing_else() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(300, 500, bias=False), nn.ReLU(), nn.Linear(500, 7, bias=False))
    plain, cast = (footprint(network, torch.Size((11, 300)), precision=precision) for precision in ("fp32", "bf16"))
    assert sum(size for _, size in _left(plain)) == 0
    assert sorted(size for _, size in _left(cast)) == [500 * 7 * FLOAT // 2, 300 * 500 * FLOAT // 2]


def _left(traced: Footprint) -> list[tuple[int, int]]:
    """The blocks that outlast a forward without being there before it."""
    ended = {block for block, size in traced.history if size < 0}
    return [event for event in traced.history if event[1] > 0 and event[0] in traced.outlasting & ended]


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
def test_the_prediction_is_what_the_allocator_hands_out(cell: Cell) -> None:
    network, video = build_network(cell), torch.randn(input_shape(cell))
    held = bytes_of((list(network.parameters()), list(network.buffers()), video))
    with torch.no_grad():
        network(video)  # lazy work of the first call is done
        observed = held + allocated_peak(lambda: network(video))
    assert footprint_of_cell(cell).peak_bytes == pytest.approx(observed, rel=0.002)


def test_a_step_of_training_holds_gradients_and_two_averages_for_every_parameter() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(1000, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 1000, bias=False))
    layer, x = 1000 * 1000, 3 * 1000
    update = 4 * 2 * layer + 3 * layer + x  # a square root, it corrected, and the one before, as torch's loop goes
    assert footprint(network, torch.Size((3, 1000)), mode="train").peak_bytes == pytest.approx(FLOAT * update, abs=64)


@pytest.mark.parametrize(("device", "foreach"), [("cpu", False), ("cuda", True)])
def test_parameters_are_updated_as_torch_does_by_default(device: str, foreach: bool) -> None:
    with FakeTensorMode():
        parameters = [torch.empty(10, device=device, requires_grad=True)]
        assert adamw(parameters).defaults["foreach"] is foreach


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(AxisError, match="parameters"):
        footprint_of_cell(replace(JOINT, mode="train"))


def test_parts_of_work_that_are_like_each_other_are_traced_once_and_counted_all() -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return in_parts(lambda rows: (rows + 1).relu(), 10, x, dim=0)

    moved = 2 * 2 * 100 * 1000 * FLOAT + 2 * 100 * 1000 * FLOAT  # both operators read and write all, then cat does
    predicted = footprint(Cut(), torch.Size((100, 1000)))
    assert predicted.op_bytes == moved
    x = torch.randn(100, 1000)
    with torch.no_grad():
        assert predicted.peak_bytes == x.nbytes + allocated_peak(lambda: Cut()(x))
    sums, results = 10, 10  # a block each in every part: `rows + 1` is given back, what relu made of it stays for cat
    of_part = 10 * 1000 * FLOAT
    assert sum(size == of_part for _, size in predicted.history) == sums + results
    assert sum(size == -of_part for _, size in predicted.history) == sums + results


def test_the_math_kernel_adds_a_bias_without_new_scores() -> None:
    class Biased(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            bias = torch.zeros(x.shape[-2], x.shape[-2])
            return F.scaled_dot_product_attention(x, x, x, bias)

    shape, queries = torch.Size((1, 2, 300, 16)), 300
    scores = 2 * queries * queries * FLOAT
    predicted = footprint(Biased(), shape, kernel="math")
    x = torch.randn(shape)
    with sdpa_kernel([SDPBackend.MATH]), torch.no_grad():
        observed = allocated_in_order(lambda: Biased()(x))
    assert [size for _, size in predicted.history if abs(size) == scores] == [
        size for size in observed if abs(size) == scores
    ]


def test_a_scan_takes_and_gives_back_its_pieces_one_by_one() -> None:
    def operands() -> list[Tensor]:
        return [torch.rand(shape) for shape in ((1, 768, 100), (1, 768, 100), (768, 16), (1, 16, 100), (1, 16, 100))]

    with FakeTensorMode(), torch.no_grad():
        given = operands()
        live = LiveBytes(given)
        before = len(live.history)
        with live:
            result = selective_scan(*given)
        predicted = [size for _, size in live.history[before:]]
    large = 16 * 1024  # a product's own scratch and scalars come between
    given = operands()
    with torch.no_grad():
        *taken, end_of_result = [
            size for size in allocated_in_order(lambda: selective_scan(*given)) if abs(size) > large
        ]
    assert [size for size in predicted if abs(size) > large] == taken
    assert -end_of_result == result.untyped_storage().nbytes()
    assert len(taken) > 2 * 10  # in three parts of the sequence


def test_a_long_operator_is_cut_short_after_some_parts_but_not_at_its_highest_point() -> None:
    result, buffer, late = (0, 700), (1, 5000), 900
    parts = [(2 + part, 10 + (60 if part == late else 0)) for part in range(1000)]
    events = [
        result,
        buffer,
        *(event for block, size in parts for event in ((block, size), (block, -size))),
        (1, -5000),
    ]
    steps = steps_of(shortened(events))
    assert highest_above(steps, 700) == 5000 + 70
    assert sum(size for _, size in steps) == 0
    assert steps[0] == (RESULTS, 0)
    assert 2 * 10 < len(steps) < 200


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


def test_a_selection_reads_no_more_than_it_selects() -> None:
    class Picks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rows = torch.empty(3, dtype=torch.long, device=x.device)
            return x.index_select(0, rows)

    index, picked = 3 * 8, 3 * 5 * FLOAT
    assert footprint(Picks(), torch.Size((1000, 5))).op_bytes == index + 2 * picked


def test_the_algorithm_s_own_footprint_knows_neither_threads_nor_parts_nor_scratch() -> None:
    cell = Cell(model="core:axial", frames=8, height=24, width=24, unit="tokens")
    one, many = (footprint_of_cell(replace(cell, threads=threads), tensors_only=True) for threads in (1, 8))
    assert one == many
    machine = footprint_of_cell(replace(cell, threads=1))
    assert machine.peak_bytes < one.peak_bytes  # some heads at a time
    per_thread = [footprint_of_cell(replace(JOINT, threads=threads)).peak_bytes for threads in (1, 8)]
    assert footprint_of_cell(JOINT, tensors_only=True).peak_bytes < per_thread[0] < per_thread[1]
