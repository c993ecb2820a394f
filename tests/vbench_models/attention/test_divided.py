from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vbench_models.attention import divided
from vbench_models.video import TokenGrid

GRIDS = [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 2), TokenGrid(5, 3, 1)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(
    ("build", "masks"), [(divided.build, ("hw", "t")), (divided.build_space_first, ("t", "hw"))], ids=("time", "space")
)
def test_each_step_equals_dense_attention_under_its_mask(
    grid: TokenGrid,
    build: Callable[..., nn.Module],
    masks: tuple[str, str],
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    first = dense_attention(q, k, v, same(grid, masks[0]))
    expected = dense_attention(first, k, v, same(grid, masks[1]))
    torch.testing.assert_close(build(grid, 12, 4).core(q, k, v), expected)


def test_the_two_orders_differ(qkv: Callable[..., list[Tensor]]) -> None:
    grid = TokenGrid(3, 2, 5)
    q, k, v = qkv(grid)
    one, other = divided.build(grid, 12, 4), divided.build_space_first(grid, 12, 4)
    assert not torch.allclose(one.core(q, k, v), other.core(q, k, v))
