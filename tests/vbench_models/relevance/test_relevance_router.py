from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vbench_models.relevance.relevance_router import (
    RelevanceRouter,
    RouterConfig,
    build,
    capacities,
    expert_macs,
    macs,
)
from vbench_models.video import ModelError, TokenGrid

SHARES = [(0.25, 0.25, 0.25, 0.25), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.7, 0.1, 0.0, 0.2), (0.5, 0.5)]

every_share = pytest.mark.parametrize("shares", SHARES, ids=str)


class Motion(nn.Module):
    """Rates a token by the size of its change, the second half of what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(2, dim=-1)[1].norm(dim=-1)


def config_of(shares: tuple[float, ...]) -> RouterConfig:
    return RouterConfig(embed_dim=192, shares=shares)


def test_what_moves_gets_more_experts_than_what_stands_still(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> None:
    """The left half of a real clip is frozen; in its first frame nothing has moved yet."""
    x = tokens(bikes[:, :, 40:48]).clone()
    x[:, :, :, :4] = x[:, :1, :, :4]
    router = RelevanceRouter(config_of(SHARES[0]))
    router.score = Motion()  # type: ignore[assignment]
    experts = router.experts_per_token(x)
    assert experts[:, 1:, :, 4:].min() >= experts[:, :, :, :4].max()
    assert experts[:, 1:, :, 4:].float().mean() > 2 * experts[:, :, :, :4].float().mean()


@every_share
def test_the_number_of_experts_follows_the_rank_of_the_relevance(
    shares: tuple[float, ...], bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bunny[:, :, 34:44])
    router = RelevanceRouter(config_of(shares))
    relevance = router.relevance(x)[0].tolist()
    ranking = sorted(range(640), key=lambda token: -relevance[token])
    groups = [count for count, share in enumerate(shares, 1) for _ in range(round(640 * share))]
    expected = torch.zeros(640, dtype=torch.int64)
    expected[ranking] = torch.tensor(groups[::-1])
    assert torch.equal(router.experts_per_token(x).flatten(), expected)


@every_share
def test_the_update_equals_that_of_all_experts_on_all_tokens_under_the_routing(
    shares: tuple[float, ...], bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(torch.cat((bikes[:, :, 26:34], bunny[:, :, 26:34])))
    router = RelevanceRouter(config_of(shares))
    counts = router.experts_per_token(x)
    works = counts.unsqueeze(-1) > torch.arange(len(shares))
    gates = router.gate(x).exp() * works
    gates = gates / gates.sum(-1, keepdim=True)
    outputs = torch.stack([expert(x) for expert in router.experts], dim=-1)
    trust = router.relevance(x).sigmoid().reshape(*counts.shape, 1)
    torch.testing.assert_close(router(x), (outputs * gates.unsqueeze(-2)).sum(-1) * trust)


@every_share
def test_the_cost_is_one_experts_on_one_token_as_often_as_tokens_were_routed(
    shares: tuple[float, ...], bikes: Tensor, tokens: Callable[[Tensor], Tensor], count_macs: Callable[..., int]
) -> None:
    x = tokens(bikes[:, :, 40:48])
    router = RelevanceRouter(config_of(shares))
    visits = int(router.experts_per_token(x).sum())
    routing = count_macs(router.score, torch.cat((x, x), -1)) + count_macs(router.gate, x)
    assert count_macs(router, x) == routing + visits * count_macs(router.experts[0], x[:, :1, :1, :1])


@every_share
def test_the_closed_form_equals_the_counter(shares: tuple[float, ...], count_macs: Callable[..., int]) -> None:
    for grid in (TokenGrid(8, 14, 14), TokenGrid(5, 3, 1), TokenGrid(1, 1, 1)):
        router = RelevanceRouter(config_of(shares))
        assert count_macs(router, (1, grid.t, grid.h, grid.w, 192)) == macs(grid, router.config)


def test_four_experts_for_all_cost_four_times_one_for_all() -> None:
    grid = TokenGrid(8, 14, 14)
    one, four = (expert_macs(grid, config_of(shares)) for shares in SHARES[1:3])
    assert four == 4 * one
    assert 2 * expert_macs(grid, config_of(SHARES[0])) == 5 * one  # 2.5 experts a token


def test_capacities_never_grow_and_the_first_takes_all() -> None:
    for tokens in range(1, 50):
        sizes = capacities(tokens, config_of(SHARES[3]))
        assert sizes[0] == tokens
        assert sizes == sorted(sizes, reverse=True)


def test_every_expert_the_gate_and_the_rating_learn(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> None:
    router = build(TokenGrid(8, 8, 8), 192, 4)
    router(tokens(bikes[:, :, 40:48])).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in router.parameters())


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.5, -0.5), ()])
def test_shares_that_do_not_divide_the_tokens_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match=r"^shares must be fractions that sum to 1; got shares="):
        RouterConfig(shares=shares)
