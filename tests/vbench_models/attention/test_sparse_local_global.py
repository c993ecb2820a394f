from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest
import torch
from torch import Tensor

from vbench_models.attention import joint, sparse_local_global
from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import TokenGrid

Place = tuple[int, int, int]

GRIDS = [TokenGrid(4, 4, 6), TokenGrid(3, 5, 4), TokenGrid(2, 3, 5), TokenGrid(1, 1, 1), TokenGrid(5, 1, 2)]
CONFIG = AttentionConfig(embed_dim=12, num_heads=4)


def mask(grid: TokenGrid, sees: Callable[[Place, Place], bool]) -> Tensor:
    places = list(product(range(grid.t), range(grid.h), range(grid.w)))
    return torch.tensor([[sees(query, key) for key in places] for query in places])


def masks(grid: TokenGrid) -> tuple[Tensor, Tensor]:
    """The quadrant of the query; then the tokens whose three coordinates are even."""

    def quadrant(place: Place) -> tuple[bool, bool]:
        return 2 * place[1] >= grid.h, 2 * place[2] >= grid.w

    local = mask(grid, lambda query, key: quadrant(query) == quadrant(key))
    return local, mask(grid, lambda _, key: not any(axis % 2 for axis in key))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_each_step_equals_dense_attention_under_its_mask(
    grid: TokenGrid, dense_attention: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    q, k, v = qkv(grid)
    near, far = masks(grid)
    local = dense_attention(q, k, v, near)
    attention = sparse_local_global.build(grid, 12, 4)
    torch.testing.assert_close(attention.local_step.core(q, k, v), local)
    torch.testing.assert_close(attention.global_step.core(q, k, v), dense_attention(q, k, v, far))
    torch.testing.assert_close(attention.core(q, k, v), dense_attention(local, k, v, far))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_pairs_equal_those_of_both_masks(grid: TokenGrid) -> None:
    pairs = sum(int(step.sum()) for step in masks(grid))
    assert sparse_local_global.computed_pairs(grid, CONFIG) == pairs
    assert sparse_local_global.useful_pairs(grid, CONFIG) == pairs


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(2, 4, 6), TokenGrid(16, 28, 14)], ids=str)
def test_on_even_grids_the_core_is_three_eighths_of_joint_attention(grid: TokenGrid) -> None:
    ratio = Fraction(sparse_local_global.core_macs(grid, CONFIG), joint.core_macs(grid, CONFIG))
    assert ratio == Fraction(3, 8)


def test_the_second_step_sees_the_norm_of_the_input_and_the_first_update() -> None:
    grid = TokenGrid(2, 3, 4)
    attention = sparse_local_global.build(grid, 12, 4)
    x = torch.randn(2, 2, 3, 4, 12, generator=torch.Generator().manual_seed(0))
    first = attention.fc(attention.local_step(x))
    torch.testing.assert_close(attention(x), first + attention.global_step(attention.norm(x + first)))


def test_a_block_adds_the_parameters_of_one_attention_one_layer_and_one_norm_to_a_joint_one() -> None:
    """85.9 M to 121.4 M in the paper: 12 blocks of 4 c^2 + 4 c, c^2 + c and 2 c more each, at ViT-B's width."""

    def parameters(build: Callable[..., torch.nn.Module]) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in build(TokenGrid(8, 14, 14), 768, 12).parameters())

    added = 12 * (parameters(sparse_local_global.build) - parameters(joint.build))
    assert round((85.9e6 + added) / 1e6, 1) == 121.4


def test_every_token_reaches_every_other_in_two_steps() -> None:
    x = torch.randn(1, 3, 5, 4, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sparse_local_global.build(TokenGrid(3, 5, 4), 12, 4)(x)[0, 2, 4, 3].square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_second_layer_gives_what_it_would_if_every_token_were_projected(grid: TokenGrid) -> None:
    layer = sparse_local_global.build(grid, 12, 4).global_step
    x = torch.randn(2, grid.t, grid.h, grid.w, 12, generator=torch.Generator().manual_seed(0))
    qkv = torch.cat((layer.query(x), layer.key_value(x)), dim=-1).unflatten(-1, (3, 4, 3))
    q, k, v = qkv.movedim((-3, -2), (0, 2))
    torch.testing.assert_close(layer(x), layer.proj(layer.core(q, k, v).movedim(1, -2).flatten(-2)))
