from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.attention import space
from vbench_models.video import ModelError, TokenGrid


@pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 1)], ids=str)
def test_space_attention_equals_dense_attention_under_a_same_frame_mask(
    grid: TokenGrid,
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    expected = dense_attention(q, k, v, same(grid, "t"))
    torch.testing.assert_close(space.build(grid, 12, 4).core(q, k, v), expected)


def test_a_frame_does_not_change_with_another_frame() -> None:
    grid = TokenGrid(2, 3, 4)
    attention = space.build(grid, 12, 4)
    x = torch.randn(1, 2, 3, 4, 12, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 1] += 1
    assert torch.equal(attention(x)[:, 0], attention(other)[:, 0])
    assert not torch.allclose(attention(x)[:, 1], attention(other)[:, 1])


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^embed_dim must be a multiple of num_heads; got embed_dim=768, num_heads=7"):
        space.build(TokenGrid(2, 2, 2), 768, 7)
