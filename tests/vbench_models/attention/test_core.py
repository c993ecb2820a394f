from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vbench_models import load
from vbench_models.attention.core import CoreOnly
from vbench_models.video import TokenGrid

NAMES = ["space", "joint", "divided", "divided_space_first", "axial", "factorized_dot_product"]
GRID = TokenGrid(3, 2, 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_core_has_no_parameters(name: str) -> None:
    assert sum(p.numel() for p in load(name)(GRID, 12, 4).parameters()) > 0
    assert list(load(f"core:{name}")(GRID, 12, 4).parameters()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_core_equals_the_core_of_its_pattern(name: str, qkv: Callable[..., list[Tensor]]) -> None:
    q, k, v = qkv(GRID)
    projected = torch.cat([x.permute(0, 2, 3, 4, 1, 5).flatten(4) for x in (q, k, v)], dim=-1)
    expected = load(name)(GRID, 12, 4).core(q, k, v)
    assert torch.equal(load(f"core:{name}")(GRID, 12, 4)(projected), expected)


class Biased(nn.Module):
    """A pattern whose attention has a table of its own, beside its projections."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(4))
        self.inner = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 36))

    def core(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q + k + v) * self.table[:, None, None, None, None]


def test_what_the_core_needs_stays_and_the_projections_go() -> None:
    core = CoreOnly(Biased(), num_heads=4)
    assert [name for name, _ in core.named_parameters()] == ["pattern.table"]
    assert core(torch.randn(1, 3, 2, 5, 36)).shape == (1, 4, 3, 2, 5, 3)
