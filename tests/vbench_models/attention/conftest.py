"""What the patterns' tests hold them against: attention written out under a mask, and torch's own counter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.video import TokenGrid


@pytest.fixture(scope="session")
def dense_attention() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The sum softmax(q k^T / sqrt(d) + mask) v over all n tokens of `b heads t h w d`; `allowed` is n x n."""

    def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
        shape, (q, k, v) = q.shape, (x.flatten(2, 4) for x in (q, k, v))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        return (scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ v).reshape(shape)

    return attend


@pytest.fixture(scope="session")
def same() -> Callable[[TokenGrid, str], Tensor]:
    """Whether two tokens agree in each of the named axes, n x n; with no axis named, every pair does."""

    def mask(grid: TokenGrid, axes: str) -> Tensor:
        places = [(t, h, w) for t in range(grid.t) for h in range(grid.h) for w in range(grid.w)]
        fixed = ["thw".index(axis) for axis in axes]
        return torch.tensor([[all(a[i] == b[i] for i in fixed) for b in places] for a in places])

    return mask


@pytest.fixture(scope="session")
def qkv() -> Callable[..., list[Tensor]]:
    """Seeded q, k, v in double precision for a grid."""

    def draw(grid: TokenGrid, *, batch: int = 2, heads: int = 4, head_dim: int = 3) -> list[Tensor]:
        generator = torch.Generator().manual_seed(grid.tokens)
        shape = (3, batch, heads, grid.t, grid.h, grid.w, head_dim)
        return list(torch.randn(shape, generator=generator, dtype=torch.float64))

    return draw


@pytest.fixture(scope="session")
def count_macs() -> Callable[..., int]:
    """MACs of one call on the meta device; torch counts two FLOPs for each."""

    def count(module: nn.Module, *shape: int) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.to("meta")(torch.empty(shape, device="meta"))
        flops = counter.get_total_flops()
        assert flops % 2 == 0
        return flops // 2

    return count
