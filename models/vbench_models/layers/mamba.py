"""Mamba in both directions: a state space along the tokens whose steps the tokens choose.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, sec. 3,
https://arxiv.org/abs/2312.00752, in the bidirectional form of Li et al., "VideoMamba", ECCV 2024, sec. 3.2,
https://arxiv.org/abs/2403.06977: one projection in and one out; a convolution, a selection and a scan for each
direction, whose outputs are added. The bias of the steps stands with the scan, not with the layer that makes them.
"""

from dataclasses import dataclass
from math import ceil, log

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.scan import selective_scan


@dataclass(frozen=True, kw_only=True)
class MambaConfig:
    """Mamba's widths: E = expand * c inner channels of `state_dim` states."""

    embed_dim: int = 768
    state_dim: int = 16
    conv_width: int = 4
    expand: int = 2

    @property
    def inner_dim(self) -> int:
        """Channels that are scanned, E."""
        return self.expand * self.embed_dim

    @property
    def step_rank(self) -> int:
        """Channels from which the steps of all E are made, R = c / 16 rounded up."""
        return ceil(self.embed_dim / 16)


class Selection(nn.Module):
    """What a scan is told at every token: what to read in, how far to step, what to write and what to read out."""

    is_mixing_extra = True

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        inner, states, rank = config.inner_dim, config.state_dim, config.step_rank
        self.widths = (rank, states, states)
        self.history = config.conv_width - 1
        self.conv = nn.Conv1d(inner, inner, config.conv_width, groups=inner)
        self.select = nn.Linear(inner, rank + 2 * states, bias=False)
        self.step = nn.Linear(rank, inner, bias=False)

    def forward(
        self, x: Float[Tensor, "b e n"]
    ) -> tuple[Float[Tensor, "b e n"], Float[Tensor, "b e n"], Float[Tensor, "b s n"], Float[Tensor, "b s n"]]:
        """The scan's input, its steps before their bias and softplus, and B and C."""
        u = F.silu(self.conv(F.pad(x, (self.history, 0))))
        rank, write, read = self.select(rearrange(u, "b e n -> b n e")).split(self.widths, dim=-1)
        step = rearrange(self.step(rank), "b n e -> b e n")
        return u, step, rearrange(write, "b n s -> b s n"), rearrange(read, "b n s -> b s n")


class DirectedScan(nn.Module):
    """Selection and scan from the first token to the last."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        inner, states = config.inner_dim, config.state_dim
        self.selection = Selection(config)
        self.log_rates = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        steps = torch.exp(torch.rand(inner) * log(100) + log(0.001))  # between 0.001 and 0.1
        self.step_bias = nn.Parameter(steps + torch.log(1 - torch.exp(-steps)))  # whose softplus they are

    def forward(self, x: Float[Tensor, "b e n"]) -> Float[Tensor, "b e n"]:
        """The scan of `x` with the steps that it selects."""
        return self.scan(*self.selection(x))

    def scan(
        self,
        u: Float[Tensor, "b e n"],
        step: Float[Tensor, "b #e #n"],
        write: Float[Tensor, "b s n"],
        read: Float[Tensor, "b s n"],
    ) -> Float[Tensor, "b e n"]:
        """The operator, and what passes by it unscanned; `step` may be one for all tokens."""
        delta = F.softplus(step + self.step_bias.unsqueeze(-1)).expand_as(u)
        y: Tensor = selective_scan(u, delta, -self.log_rates.exp(), write, read)
        return torch.addcmul(y, self.skip.unsqueeze(-1), u)


class BidirectionalMamba(nn.Module):
    """Two scans, one in each direction, between one projection in and one out."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.proj_in = nn.Linear(config.embed_dim, 2 * config.inner_dim, bias=False)
        self.forwards = DirectedScan(config)
        self.backwards = DirectedScan(config)
        self.proj = nn.Linear(config.inner_dim, config.embed_dim, bias=False)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The update of every token; the residual is the caller's."""
        inner, gate = rearrange(self.proj_in(x), "b n (two e) -> two b e n", two=2)
        y = (self.forwards(inner) + self.backwards(inner.flip(-1)).flip(-1)) * F.silu(gate)
        update: Tensor = self.proj(rearrange(y, "b e n -> b n e"))
        return update
