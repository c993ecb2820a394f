from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vbench_models.attention.performer import PerformerAttention, PerformerConfig, build, orthogonal_gaussian
from vbench_models.layers import cache
from vbench_models.video import TokenGrid

CONFIG = PerformerConfig(embed_dim=12, num_heads=4, epsilon=0.0)
GRIDS = [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(1, 1, 1)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_performer_equals_its_features_multiplied_pair_by_pair(
    grid: TokenGrid, qkv: Callable[..., list[Tensor]]
) -> None:
    performer = PerformerAttention(replace(CONFIG, nb_features=7)).double()
    directions = performer.exponents.directions

    def features(x: Tensor) -> Tensor:
        x = x / 3**0.25
        products = torch.stack([(x * direction).sum(-1) for direction in directions], dim=-1)
        return torch.exp(products - x.norm(dim=-1, keepdim=True) ** 2 / 2) / 7**0.5

    q, k, v = (x.flatten(2, 4) for x in qkv(grid))
    weights = (features(q)[..., :, None, :] * features(k)[..., None, :, :]).sum(-1)
    expected = (weights / weights.sum(-1, keepdim=True)) @ v
    torch.testing.assert_close(performer.core(*qkv(grid)).flatten(2, 4), expected)


@pytest.mark.parametrize("cached", [1, 70, 2**19])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_epsilon_is_added_to_features_that_are_lowered_by_their_maximum_however_few_are_made_at_once(
    grid: TokenGrid, cached: int, qkv: Callable[..., list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the official code has them: a maximum for each query, one for all keys of a head."""
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)
    performer = PerformerAttention(replace(CONFIG, nb_features=7, epsilon=0.3)).double()
    q, k, v = (x.flatten(2, 4) for x in qkv(grid))

    def exponents(x: Tensor) -> Tensor:
        return torch.einsum("bhnd,md->bhnm", x, performer.exponents.directions) / 3**0.25 - x.square().sum(
            -1, keepdim=True
        ) / (2 * 3**0.5)

    of_queries, of_keys = exponents(q), exponents(k)
    queries = (of_queries - of_queries.amax(3, keepdim=True)).exp() + 0.3
    keys = (of_keys - of_keys.amax((2, 3), keepdim=True)).exp() + 0.3
    weights = (queries[..., :, None, :] * keys[..., None, :, :]).sum(-1)
    expected = (weights / weights.sum(-1, keepdim=True)) @ v
    torch.testing.assert_close(performer.core(*qkv(grid)).flatten(2, 4), expected)


def test_parts_have_the_gradient_of_the_whole(
    qkv: Callable[..., list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With epsilon a maximum does not cancel, and has no gradient; without, every part's own cancels."""
    monkeypatch.setattr(cache, "CACHED_VALUES", 40)
    core = PerformerAttention(replace(CONFIG, nb_features=7)).double().core
    assert torch.autograd.gradcheck(core, [x.requires_grad_() for x in qkv(GRIDS[0])], fast_mode=True)


def test_performer_converges_to_softmax_attention_as_features_grow(
    dense_attention: Callable[..., Tensor], same: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    grid = GRIDS[0]
    q, k, v = qkv(grid)
    q, k = q / 2, k / 2  # the larger the exponents, the heavier the tails of their mean, and the slower it converges
    exact = dense_attention(q, k, v, same(grid, ""))

    def error(features: int) -> float:
        squares = []
        for seed in range(8):
            config = replace(CONFIG, nb_features=features, seed=seed)
            squares.append((PerformerAttention(config).double().core(q, k, v) - exact).square().mean())
        return torch.stack(squares).mean().sqrt().item()

    few, more, many = error(16), error(256), error(4096)
    assert more < few / 2  # the error of a mean of m falls as m^(-1/2): by 4 for each 16 times
    assert many < more / 2
    assert many < 0.05


def test_the_directions_are_orthogonal_in_blocks_and_of_gaussian_length() -> None:
    directions = orthogonal_gaussian(4000, 16, seed=0)
    for block in directions.split(16):
        products = block @ block.mT
        torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-4, rtol=0)
    assert directions.square().sum(-1).mean().item() == pytest.approx(16, rel=0.05)
    torch.testing.assert_close(directions.mean(0), torch.zeros(16), atol=0.1, rtol=0)


def test_large_scores_neither_overflow_nor_vanish(qkv: Callable[..., list[Tensor]]) -> None:
    q, k, v = (x.float() for x in qkv(GRIDS[0]))
    out = build(GRIDS[0], 12, 4).core(30 * q, 30 * k, v)
    assert out.isfinite().all()
    assert (out.abs() <= v.abs().amax() * 1.001).all()  # a mean of the values


def test_features_are_a_seeded_buffer_that_can_be_redrawn() -> None:
    one, other = build(GRIDS[0], 768, 12), build(GRIDS[0], 768, 12)
    assert one.exponents.directions.shape == (266, 64)
    assert torch.equal(one.exponents.directions, other.exponents.directions)
    assert not list(one.exponents.parameters())
    one.exponents.redraw(seed=1)
    assert not torch.equal(one.exponents.directions, other.exponents.directions)
