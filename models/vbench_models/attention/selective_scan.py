"""Selective scan: a state space along the tokens whose steps the tokens choose, in both directions.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, sec. 3,
https://arxiv.org/abs/2312.00752, in the bidirectional form of Li et al., "VideoMamba", ECCV 2024, sec. 3.2,
https://arxiv.org/abs/2403.06977: tokens in t, h, w order (space first); one projection in and one out; a convolution, a
selection and a scan for each direction, whose outputs are added. Differs from VideoMamba: no class token.

A scan multiplies data with data, so a count of operators files it under attention: with strict multiply-adds, 2 a
state and token. The public convention has 4.5, see `scan_flops_public`.
"""

from dataclasses import dataclass
from math import ceil, log

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.scan import scan_flops_public, scan_macs, selective_scan
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class SelectiveScanConfig(AttentionConfig):
    """Mamba's widths: E = expand * c inner channels of `state_dim` states; `num_heads` only shapes `core`'s input."""

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

    def __init__(self, config: SelectiveScanConfig) -> None:
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

    def __init__(self, config: SelectiveScanConfig) -> None:
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
        step: Float[Tensor, "b e n"],
        write: Float[Tensor, "b s n"],
        read: Float[Tensor, "b s n"],
    ) -> Float[Tensor, "b e n"]:
        """The operator, and what passes by it unscanned."""
        delta = F.softplus(step + self.step_bias.unsqueeze(-1))
        y: Tensor = selective_scan(u, delta, -self.log_rates.exp(), write, read)
        return y + self.skip.unsqueeze(-1) * u


class SelectiveScan(nn.Module):
    """Two scans, one in each direction, between one projection in and one out."""

    def __init__(self, config: SelectiveScanConfig) -> None:
        super().__init__()
        self.config = config
        self.proj_in = nn.Linear(config.embed_dim, 2 * config.inner_dim, bias=False)
        self.forwards = DirectedScan(config)
        self.backwards = DirectedScan(config)
        self.proj = nn.Linear(config.inner_dim, config.embed_dim, bias=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """Both scans alone, on given q, k, v, by the correspondence of Dao & Gu, "Transformers are SSMs", 2024, sec. 4.

        C is q, B is k and u is v: B and C are the first `state_dim` channels of k and q (zeros where there are fewer),
        u is `v` once for each of the `expand` sets of inner channels, whose outputs are added; steps are the biases.
        """
        shape, states = v.shape, self.config.state_dim
        q, k, v = (rearrange(x, "b heads t h w d -> b (heads d) (t h w)") for x in (q, k, v))
        read, write = (F.pad(x[:, :states], (0, 0, 0, max(0, states - x.shape[1]))) for x in (q, k))
        u = repeat(v, "b c n -> b (expand c) n", expand=self.config.expand)
        there = self.forwards.scan(u, torch.zeros_like(u), write, read)
        back = self.backwards.scan(u.flip(-1), torch.zeros_like(u), write.flip(-1), read.flip(-1)).flip(-1)
        y = reduce(there + back, "b (expand c) n -> b c n", "sum", expand=self.config.expand)
        return rearrange(y, "b (heads d) n -> b heads n d", heads=shape[1]).reshape(shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        inner, gate = rearrange(self.proj_in(x), "b t h w (two e) -> two b e (t h w)", two=2)
        y = (self.forwards(inner) + self.backwards(inner.flip(-1)).flip(-1)) * F.silu(gate)
        update: Tensor = self.proj(rearrange(y, "b e n -> b n e"))
        return update.reshape(x.shape)


def build(grid: TokenGrid, dim: int, num_heads: int) -> SelectiveScan:  # noqa: ARG001 - every grid will do
    """A bidirectional Mamba layer with 16 states a channel, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return SelectiveScan(SelectiveScanConfig(embed_dim=dim, num_heads=num_heads))


def core_macs(grid: TokenGrid, config: SelectiveScanConfig) -> int:
    """Strict MACs of both scans of one clip, 4 n E S; 1 multiply-add = 1 MAC, the preparation of the steps excluded."""
    return 2 * scan_macs(grid.tokens, config.inner_dim, config.state_dim)


def public_core_flops(grid: TokenGrid, config: SelectiveScanConfig) -> int:
    """FLOPs of both scans of one clip in the public convention, 18 n E S: 2.25 times 2 `core_macs`."""
    return 2 * scan_flops_public(grid.tokens, config.inner_dim, config.state_dim)


def mixing_extra_macs(grid: TokenGrid, config: SelectiveScanConfig) -> int:
    """MACs of both selections on one clip: convolution, E (R + 2 S) for the selection and R E for the steps."""
    rank, states = config.step_rank, config.state_dim
    return 2 * grid.tokens * config.inner_dim * (config.conv_width + (rank + 2 * states) + rank)


def macs(grid: TokenGrid, config: SelectiveScanConfig) -> int:
    """MACs of the whole layer on one clip: scans, selections and 3 E c = 6 c^2 a token."""
    projections = 3 * grid.tokens * config.inner_dim * config.embed_dim
    return core_macs(grid, config) + mixing_extra_macs(grid, config) + projections
