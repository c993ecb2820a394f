from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.attention import axial
from vbench_models.video import TokenGrid


@pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 2)], ids=str)
def test_each_step_equals_dense_attention_under_its_mask(
    grid: TokenGrid,
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    expected = q
    for fixed in ("tw", "th", "hw"):  # along height, along width, along time
        expected = dense_attention(expected, k, v, same(grid, fixed))
    torch.testing.assert_close(axial.build(grid, 12, 4).core(q, k, v), expected)


def test_three_steps_reach_every_token_of_the_clip() -> None:
    grid = TokenGrid(2, 3, 4)
    attention = axial.build(grid, 12, 4)
    x = torch.randn(1, 2, 3, 4, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    attention(x)[0, 0, 0, 0].square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(-1) > 0).all()
