from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.attention import joint
from vbench_models.video import TokenGrid


@pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 1)], ids=str)
def test_joint_attention_equals_dense_attention_among_all_tokens(
    grid: TokenGrid,
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    expected = dense_attention(q, k, v, same(grid, ""))
    torch.testing.assert_close(joint.build(grid, 12, 4).core(q, k, v), expected)


def test_joint_attention_commutes_with_any_order_of_the_tokens() -> None:
    grid = TokenGrid(2, 3, 4)
    attention = joint.build(grid, 12, 4).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, grid.tokens, 12, generator=generator, dtype=torch.float64)
    order = torch.randperm(grid.tokens, generator=generator)

    def attend(tokens: Tensor) -> Tensor:
        return attention(tokens.reshape(1, 2, 3, 4, 12)).flatten(1, 3)

    torch.testing.assert_close(attend(x[:, order]), attend(x)[:, order])
