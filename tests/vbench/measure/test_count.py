"""Counting, cross-checked with fvcore on real tensors and with closed forms."""

import logging
from collections.abc import Callable, Iterator

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn

from vbench.cell import Cell
from vbench.errors import UncountedOperatorError
from vbench.measure.count import ATTENTION_CORE, BACKWARD, tally, tally_cell, tally_training
from vbench.measure.subject import build_network, input_shape

TINY = {
    "timesformer_b": (2, 32, 32), "timesformer_b_joint": (2, 32, 32), "timesformer_b_space": (2, 32, 48),
    "vivit_b_16x2": (4, 32, 32), "vivit_b_16x2_fe": (4, 32, 48), "vivit_b_16x2_fsa": (4, 32, 32),
    "vivit_b_16x2_fdp": (4, 32, 32), "video_swin_t": (4, 32, 64), "c3d": (16, 112, 112), "i3d_r50": (4, 64, 64),
}  # fmt: skip


def fvcore_macs(network: nn.Module, video: Tensor) -> int:
    """Fvcore's convolutions, linear layers and products, with a handle for the fused attention that it misses."""

    def attention(inputs: list, outputs: list) -> int:
        (*lead, n, d), (*_, m, _), (*_, dv) = (get_shape(value) for value in inputs[:3])
        return torch.Size(lead).numel() * n * m * (d + dv)

    analysis = FlopCountAnalysis(network, video).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.set_op_handle("aten::scaled_dot_product_attention", attention)
    products = ("conv", "linear", "matmul", "scaled_dot_product_attention")
    return int(sum(analysis.by_operator()[product] for product in products))


@pytest.fixture
def untyped() -> Iterator[None]:
    """Shapes are traced tensors under fvcore, which the type checker of the tests would refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # fvcore traces; shapes are constant here
@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("model", TINY)
def test_macs_equal_fvcore_s_on_real_tensors(model: str) -> None:
    frames, height, width = TINY[model]
    cell = Cell(model=model, frames=frames, height=height, width=width)
    video = torch.randn(input_shape(cell), generator=torch.Generator().manual_seed(0))
    assert tally_cell(cell).macs == fvcore_macs(build_network(cell), video)


@pytest.mark.parametrize(
    ("model", "frames", "params", "macs"),
    [
        ("timesformer_b", 8, 121_566_352, 195_830_280_192),
        ("vivit_b_16x2", 32, 88_954_000, 451_524_753_408),
        ("video_swin_t", 32, 28_158_070, 87_764_152_320),
    ],
)
def test_the_published_networks_have_the_official_integers(model: str, frames: int, params: int, macs: int) -> None:
    counted = tally_cell(Cell(model=model, frames=frames, height=224, width=224))
    assert (counted.params, counted.macs) == (params, macs)


@pytest.mark.parametrize(("t", "h", "w"), [(8, 14, 14), (3, 5, 7), (1, 9, 2)])
def test_attention_macs_are_the_products_without_weights(t: int, h: int, w: int) -> None:
    n, dim = t * h * w, 768
    counted = tally_cell(Cell(model="joint", frames=t, height=h, width=w, unit="tokens"))
    assert counted.attention_macs == 2 * n * n * dim
    assert counted.macs - counted.attention_macs == 4 * n * dim * dim
    assert counted.params == 4 * dim * dim + 4 * dim


def test_a_table_of_positions_times_queries_is_no_attention_even_through_views() -> None:
    class Relative(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.empty(15, 4))
            self.register_buffer("index", torch.zeros(5, 5, dtype=torch.long))

        def forward(self, q: Tensor) -> Tensor:
            return torch.einsum("nd,nmd->nm", q, self.table[self.index] * 2) + q @ q.T

    with torch.device("meta"):
        network = Relative()
    counted = tally(network, torch.empty(5, 4, device="meta"))
    assert counted.macs == 2 * 5 * 5 * 4
    assert counted.attention_macs == 5 * 5 * 4


def test_data_written_into_a_fresh_tensor_is_still_data() -> None:
    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            room = torch.zeros(4, 4, device=x.device)
            room[:2] = x
            return room @ room

    assert tally(Written(), torch.empty(2, 4, device="meta")).attention_macs == 4 * 4 * 4


def test_what_a_pattern_spends_beside_its_core_is_told_apart() -> None:
    class Features(nn.Linear):
        is_mixing_extra = True

    with torch.device("meta"):
        network = nn.Sequential(Features(8, 16), nn.Linear(16, 4))
    counted = tally(network, torch.empty(3, 8, device="meta"))
    assert (counted.mixing_extra_macs, counted.macs) == (3 * 8 * 16, 3 * 8 * 16 + 3 * 16 * 4)


@pytest.mark.parametrize("by", ["component", "operator", "module"])
def test_every_split_sums_to_the_whole(by: str) -> None:
    counted = tally_cell(Cell(model="video_swin_t", frames=4, height=64, width=64))
    assert sum(counted.by(by).values()) == counted.macs
    assert len(counted.by(by)) > 2


def test_the_attention_component_is_the_attention_macs() -> None:
    counted = tally_cell(Cell(model="timesformer_b", frames=2, height=64, width=64))
    assert counted.by("component")[ATTENTION_CORE] == counted.attention_macs


@pytest.mark.parametrize(
    ("operation", "name"),
    [(lambda x: torch.cdist(x, x), "_cdist_forward"), (torch.linalg.inv, "linalg_inv_ex")],
)
def test_an_operator_that_is_on_no_list_is_an_error_that_names_it(
    operation: Callable[[Tensor], Tensor], name: str
) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operation(x)

    with pytest.raises(UncountedOperatorError, match=rf"aten\.{name} has no cost.*register_flop_formula"):
        tally(Odd(), torch.empty(4, 4, device="meta"))


def test_the_fast_path_of_torch_s_own_attention_is_counted() -> None:
    with torch.device("meta"):
        attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    class Self(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    counted = tally(Self(), torch.empty(1, 5, 8, device="meta"))
    assert counted.macs == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8


def test_counting_leaves_no_hook_behind() -> None:
    calls = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(nn.modules.module._global_forward_hooks))
            return F.relu(x)

    network = Watched()
    tally(network, torch.empty(2, device="meta"))
    network(torch.ones(2))
    assert calls[0] == calls[1] + 1


def test_a_step_of_training_multiplies_three_times_but_for_the_gradient_of_the_input() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(10, 100, bias=False), nn.ReLU(), nn.Linear(100, 20, bias=False))
        counted = tally_training(network, torch.empty(7, 10))
    first, second = 7 * 10 * 100, 7 * 100 * 20
    assert counted.macs == 2 * first + 3 * second
    assert counted.by("component")[BACKWARD] == first + 2 * second
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
