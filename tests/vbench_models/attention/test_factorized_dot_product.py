from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.attention import factorized_dot_product
from vbench_models.video import ModelError, TokenGrid


@pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 2)], ids=str)
def test_each_half_of_the_heads_equals_dense_attention_under_its_mask(
    grid: TokenGrid,
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    out = factorized_dot_product.build(grid, 12, 4).core(q, k, v)
    torch.testing.assert_close(out[:, :2], dense_attention(q, k, v, same(grid, "hw"))[:, :2])
    torch.testing.assert_close(out[:, 2:], dense_attention(q, k, v, same(grid, "t"))[:, 2:])


def test_an_odd_number_of_heads_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^num_heads must be even; got num_heads=3, nearest: 2 or 4$"):
        factorized_dot_product.build(TokenGrid(2, 2, 2), 12, 3)
