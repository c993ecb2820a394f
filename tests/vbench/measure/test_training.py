"""A step of training and what is put around it: blocks that forget, residuals that drop out, clips that are mixed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.measure.checkpointing import checkpoint_blocks
from vbench.measure.count import tally_cell, tally_training
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.memory import allocated_peak, bytes_of
from vbench.measure.mixing import Mixing, mixed, mixing_of, own_share
from vbench.measure.product_types import ProductTypes
from vbench.measure.repeated_blocks import repeated_blocks
from vbench.measure.stochastic_depth import drop_paths
from vbench.measure.subject import build_network, input_shape
from vbench.measure.training import LABEL_SMOOTHING, TrainingStep, loss_of

DEPTH, DIM, HIDDEN, TOKENS, CLASSES = 3, 8, 32, 5, 7


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(DIM), nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.head = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(x).mean(1))
        return logits


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, TOKENS, DIM, generator=torch.Generator().manual_seed(1))


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    network.zero_grad()
    loss_of(network(x)).backward()
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def after_a_step(network: nn.Module, x: Tensor, **options: object) -> list[Tensor]:
    trained = deepcopy(network).train()
    TrainingStep(trained, trained.parameters(), (x,), **options)()  # type: ignore[arg-type]
    return [parameter.detach() for parameter in trained.parameters()]


@pytest.mark.parametrize(
    ("model", "size", "number"), [("timesformer_b", 32, 12), ("video_swin_t", 32, 12), ("i3d_r50", 32, 16)]
)
def test_the_repeated_blocks_are_those_of_the_paper_whatever_lists_hold_them(
    model: str, size: int, number: int
) -> None:
    cell = Cell(model=model, frames=4, height=size, width=size)
    blocks = repeated_blocks(build_network(cell, torch.device("meta")))
    assert len(blocks) == number
    assert len({type(block) for block in blocks}) == 1


def test_layers_and_lists_are_no_blocks() -> None:
    assert not repeated_blocks(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    with pytest.raises(AxisError, match="checkpointing needs repeated blocks"):
        checkpoint_blocks(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


def test_checkpointing_changes_no_gradient_and_no_name(network: Network, x: Tensor) -> None:
    kept, names = gradients(network, x), list(network.state_dict())
    checkpoint_blocks(network)
    assert list(network.state_dict()) == names
    for again, before in zip(gradients(network, x), kept, strict=True):
        torch.testing.assert_close(again, before)


def test_a_checkpointed_block_multiplies_again_but_for_its_last_layer_whose_result_nothing_needs() -> None:
    with torch.device("meta"):
        plain, forgetful, x = Network(), Network(), torch.empty(4, TOKENS, DIM)
    checkpoint_blocks(forgetful)
    more = tally_training(forgetful, x).macs - tally_training(plain, x).macs
    assert more == DEPTH * 4 * TOKENS * DIM * HIDDEN


def test_accumulated_batches_that_are_alike_move_the_parameters_as_one_of_them(network: Network, x: Tensor) -> None:
    for four, one in zip(after_a_step(network, x, accumulation=4), after_a_step(network, x), strict=True):
        torch.testing.assert_close(four, one)


def test_scaled_gradients_move_the_parameters_as_plain_ones(network: Network, x: Tensor) -> None:
    for scaled, plain in zip(after_a_step(network, x, scales_gradients=True), after_a_step(network, x), strict=True):
        torch.testing.assert_close(scaled, plain)


def test_gradients_are_clipped_at_a_norm_of_one(network: Network, x: Tensor) -> None:
    step = TrainingStep(lambda x: 1e4 * network(x), network.parameters(), (x,))
    step.find_gradients()
    norms = torch.stack([parameter.grad.norm() for parameter in network.parameters() if parameter.grad is not None])
    assert norms.norm() == pytest.approx(1, rel=1e-4)


def test_a_residual_is_left_out_or_scaled_up_clip_by_clip_and_in_training_only(network: Network) -> None:
    drop_paths(network, 0.5)
    block, x = network.blocks[-1], torch.randn(64, TOKENS, DIM)
    network.eval()
    residual = block(x) - x
    network.train()
    factors = (block(x) - x).flatten(1).norm(dim=1) / residual.flatten(1).norm(dim=1)
    assert set(factors.detach().round(decimals=2).tolist()) == {0.0, 2.0}
    torch.testing.assert_close(network.blocks[0](x), network.blocks[0].forward(x))  # the first block always stays


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_each_clip_keeps_its_share_of_pixels_and_of_its_loss(kind: str) -> None:
    video = torch.arange(3.0)[:, None, None, None, None].expand(3, 2, 4, 16, 16)
    mixing = mixing_of(kind)
    assert mixing is not None
    share = own_share(video, mixing)
    assert 0 < share < 1
    mean = mixed(video, mixing).mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(mean, share * torch.arange(3.0) + (1 - share) * torch.tensor([2.0, 0.0, 1.0]))
    logits, own, others = torch.randn(3, CLASSES), torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    apart = [F.cross_entropy(logits, classes, label_smoothing=LABEL_SMOOTHING) for classes in (own, others)]
    torch.testing.assert_close(loss_of(logits, share), share * apart[0] + (1 - share) * apart[1])


def test_a_box_covers_whole_pixels_and_the_share_knows() -> None:
    video = torch.zeros(2, 1, 1, 7, 7)
    video[1] = 1
    whole = mixed(video, Mixing("cutmix", 0.6))
    assert 1 - whole[0].mean().item() == pytest.approx(own_share(video, Mixing("cutmix", 0.6)))


def test_a_backward_after_autocast_multiplies_in_the_lower_type_and_after_fp32_in_fp32(
    network: Network, x: Tensor
) -> None:
    for dtype, context in (("float32", torch.autocast("cpu", enabled=False)), ("bfloat16", torch.autocast("cpu"))):
        step = TrainingStep(network.train(), network.parameters(), (x,), context)
        with ProductTypes() as products:
            step()
        assert set(products.backward) == {dtype}
        assert len(products.backward) < len(products.seen)


MODEL = """
import torch
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, x):
        return x + self.fc2(F.gelu(self.fc1(self.norm(x))))

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv3d(3, 64, 2, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.head = nn.Linear(64, 10)

    def forward(self, video):
        x = self.embed(video).flatten(2).mT
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))

def build(clip):
    return Network()
"""


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    file = tmp_path / "blocks.py"
    file.write_text(MODEL)
    return Cell(model=f"{file}:build", frames=8, height=32, width=32, mode="train")


@pytest.mark.parametrize("changes", [{}, {"checkpointing": True}, {"accumulation": 2}], ids=str)
def test_the_predicted_peak_of_a_step_is_the_observed_one(cell: Cell, changes: dict[str, object]) -> None:
    asked = replace(cell, **changes)
    network, video = build_network(asked).train(), torch.randn(input_shape(asked))
    step = TrainingStep(network, network.parameters(), (video,), accumulation=asked.accumulation)
    step()
    observed = bytes_of((list(network.parameters()), video, list(step.state()))) + allocated_peak(step)
    assert footprint_of_cell(asked).peak_bytes == pytest.approx(observed, rel=0.01)


def test_forgetting_activations_takes_less_memory_and_more_products(cell: Cell) -> None:
    forgetful = replace(cell, checkpointing=True)
    assert footprint_of_cell(forgetful).peak_bytes < 0.6 * footprint_of_cell(cell).peak_bytes
    assert tally_cell(forgetful).macs > tally_cell(cell).macs


def test_a_step_of_four_batches_costs_four_times_as_many_products(cell: Cell) -> None:
    assert tally_cell(replace(cell, accumulation=4)).macs == 4 * tally_cell(cell).macs


def test_a_network_s_own_loss_and_its_logits_are_found_in_what_it_returns(network: Network, x: Tensor) -> None:
    class Output(tuple[Tensor, ...]):
        loss: Tensor
        logits: Tensor

    own, named = Output(), Output()
    own.loss, named.logits = torch.tensor(3.0), network(x)
    assert loss_of(own) == 3
    assert loss_of(named) == loss_of(network(x))
    assert loss_of(torch.full((1, 2, 3), 2.0, requires_grad=True)) == 24
