"""Temporally aware router: the more relevant a token is in time, the more experts work on it, from one to four.

A design of ours. Experts and gates: Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
Mixture-of-Experts Layer", ICLR 2017, sec. 2, https://arxiv.org/abs/1701.06538. Fixed capacity and a number of experts
that differs from token to token: Zhou et al., "Mixture-of-Experts with Expert Choice Routing", NeurIPS 2022, sec. 3,
https://arxiv.org/abs/2202.09368. Here a token is rated by what it shows and what changed since the frame before; the
tokens of a clip are ranked, and fixed shares of them get 1, 2, 3 and 4 experts. Experts are nested: the first takes all
tokens, the last only the most relevant, so that each takes the head of the ranking, as one batch. The update is the
experts' mean by a softmax gate, times the sigmoid of the rating, which is how the rating learns.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vbench_models.layers.mlp import MLP
from vbench_models.layers.neighborhoods import at_least
from vbench_models.relevance.scoring import Score, change, score_macs
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """Widths, and the shares of the tokens that get 1, 2, 3, ... experts; there are as many experts as shares.

    Raises:
        ModelError: the shares are negative or do not sum to 1, or a width is below 1.
    """

    embed_dim: int = 768
    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    mlp_ratio: float = 1.0
    score_dim: int = 64

    def __post_init__(self) -> None:
        at_least(1, embed_dim=self.embed_dim, score_dim=self.score_dim)
        if min(self.shares, default=-1) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ModelError(f"shares must be fractions that sum to 1; got shares={self.shares}")


class RelevanceRouter(nn.Module):
    """A mixture of nested experts on the tokens of `b t h w c`."""

    def __init__(self, config: RouterConfig) -> None:
        super().__init__()
        self.config = config
        self.score = Score(2 * config.embed_dim, config.score_dim)
        self.gate = nn.Linear(config.embed_dim, len(config.shares))
        self.experts = nn.ModuleList(MLP(config.embed_dim, config.mlp_ratio) for _ in config.shares)

    def relevance(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b n"]:
        """A rating of every token, from its features and their change."""
        ratings: Tensor = self.score(torch.cat((x, change(x)), dim=-1))
        return ratings.flatten(1)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        relevance = self.relevance(x)
        order = relevance.argsort(descending=True, stable=True)
        clips = torch.arange(len(x), device=x.device)[:, None]
        ranked = rearrange(x, "b t h w c -> b (t h w) c")[clips, order]
        update = self._mix(ranked) * relevance[clips, order].sigmoid().unsqueeze(-1)
        return torch.zeros_like(update).index_put((clips, order), update).reshape(x.shape)

    def _mix(self, ranked: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The experts' outputs, each on the head of the ranking, summed by the gates."""
        sizes = capacities(ranked.shape[1], self.config)
        allowed = works_on(sizes, ranked.shape[1], ranked.device)
        gates = self.gate(ranked).masked_fill(~allowed, float("-inf")).softmax(-1)
        mixed = torch.zeros_like(ranked)
        for index, (expert, size) in enumerate(zip(self.experts, sizes, strict=True)):
            mixed[:, :size] += gates[:, :size, index, None] * expert(ranked[:, :size])
        return mixed

    def experts_per_token(self, x: Float[Tensor, "b t h w c"]) -> Int[Tensor, "b t h w"]:
        """How many experts work on each token."""
        order = self.relevance(x).argsort(descending=True, stable=True)
        counts = works_on(capacities(order.shape[1], self.config), order.shape[1], x.device).sum(-1)
        return torch.zeros_like(order).scatter(1, order, counts.expand_as(order)).reshape(x.shape[:-1])


def capacities(tokens: int, config: RouterConfig) -> list[int]:
    """Tokens of one clip that each expert takes: those whose share gets at least that many, to the nearest number."""
    return [round(tokens * sum(config.shares[index:])) for index in range(len(config.shares))]


def works_on(sizes: list[int], tokens: int, device: torch.device) -> Bool[Tensor, "n experts"]:
    """Whether the token of a rank is taken by an expert."""
    ranks = torch.arange(tokens, device=device)
    return torch.stack([ranks < size for size in sizes], dim=-1)


def build(grid: TokenGrid, dim: int, num_heads: int) -> RelevanceRouter:  # noqa: ARG001 - every grid will do
    """The router with a quarter of the tokens for each of 1, 2, 3 and 4 experts, `b t h w c` to `b t h w c`."""
    return RelevanceRouter(RouterConfig(embed_dim=dim))


def expert_macs(grid: TokenGrid, config: RouterConfig) -> int:
    """MACs of the experts on one clip: 2 c hidden for each token that an expert takes."""
    hidden_dim = int(config.embed_dim * config.mlp_ratio)
    return sum(capacities(grid.tokens, config)) * 2 * config.embed_dim * hidden_dim


def routing_macs(grid: TokenGrid, config: RouterConfig) -> int:
    """MACs of ratings and gates on one clip: every token has both, whatever its route."""
    gates = grid.tokens * config.embed_dim * len(config.shares)
    return score_macs(grid.tokens, 2 * config.embed_dim, config.score_dim) + gates


def macs(grid: TokenGrid, config: RouterConfig) -> int:
    """MACs of the whole module on one clip; 1 multiply-add = 1 MAC, softmax and weighting excluded."""
    return expert_macs(grid, config) + routing_macs(grid, config)
