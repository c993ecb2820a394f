"""Selective scan: a state space along the tokens whose steps the tokens choose, in both directions.

Gu & Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, sec. 3,
https://arxiv.org/abs/2312.00752, in the bidirectional form of Li et al., "VideoMamba", ECCV 2024, sec. 3.2,
https://arxiv.org/abs/2403.06977: tokens in t, h, w order (space first); one projection in and one out; a convolution, a
selection and a scan for each direction, whose outputs are added. Differs from VideoMamba: no class token.

A scan multiplies data with data, so a count of operators files it under attention: with strict multiply-adds, 2 a
state and token. The public convention has 4.5, see `scan_flops_public`.
"""

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.mamba import BidirectionalMamba, MambaConfig
from vbench_models.layers.scan import scan_flops_public, scan_macs
from vbench_models.video import TokenGrid


@dataclass(frozen=True, kw_only=True)
class SelectiveScanConfig(MambaConfig, AttentionConfig):
    """Mamba's widths; `num_heads` only shapes `core`'s input."""


class SelectiveScan(nn.Module):
    """The layer along the tokens of a grid."""

    def __init__(self, config: SelectiveScanConfig) -> None:
        super().__init__()
        self.config = config
        self.mamba = BidirectionalMamba(config)

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
        q, k = (rearrange(x, "b heads t h w d -> b t h w (heads d)")[..., :states] for x in (q, k))
        read, write = (rearrange(F.pad(x, (0, states - x.shape[-1])), "b t h w s -> b s (t h w)") for x in (q, k))
        u = repeat(v, "b heads t h w d -> b (t h w) (expand heads d)", expand=self.config.expand).mT  # as `v` lies
        step = u.new_zeros(len(u), 1, 1)  # the biases alone, the same at every token
        there = self.mamba.forwards.scan(u, step, write, read)
        back = self.mamba.backwards.scan(u.flip(-1), step, write.flip(-1), read.flip(-1)).flip(-1)
        y = reduce(torch.add, (there + back).chunk(self.config.expand, dim=1))
        return rearrange(y, "b (heads d) n -> b heads n d", heads=shape[1]).reshape(shape)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        """The update of every token; the residual is the caller's."""
        update: Tensor = self.mamba(rearrange(x, "b t h w c -> b (t h w) c"))
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
