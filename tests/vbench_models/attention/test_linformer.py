from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vbench_models.attention.linformer import LinformerAttention, LinformerConfig, build
from vbench_models.video import ModelError, TokenGrid

CONFIG = LinformerConfig(embed_dim=12, num_heads=4, projected_length=5)


@pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(1, 2, 1)], ids=str)
def test_linformer_equals_attention_to_mixtures_of_the_keys(grid: TokenGrid, qkv: Callable[..., list[Tensor]]) -> None:
    linformer = LinformerAttention(CONFIG, grid).double()
    e, f = linformer.project_keys.weight, linformer.project_values.weight
    assert e.shape == (min(5, grid.tokens), grid.tokens)
    q, k, v = (x.flatten(2, 4) for x in qkv(grid))
    keys, values = torch.einsum("mn,bhnd->bhmd", e, k), torch.einsum("mn,bhnd->bhmd", f, v)
    expected = (q @ keys.mT / 3**0.5).softmax(-1) @ values
    torch.testing.assert_close(linformer.core(*qkv(grid)).flatten(2, 4), expected)


def test_projections_that_change_nothing_leave_joint_attention(
    dense_attention: Callable[..., Tensor], same: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    grid = TokenGrid(2, 3, 3)
    linformer = LinformerAttention(replace(CONFIG, projected_length=256), grid).double()
    for projection in (linformer.project_keys, linformer.project_values):
        torch.nn.init.eye_(projection.weight)
    q, k, v = qkv(grid)
    torch.testing.assert_close(linformer.core(q, k, v), dense_attention(q, k, v, same(grid, "")))


def test_another_grid_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^this module was built for 30 tokens; got 36"):
        build(TokenGrid(3, 2, 5), 12, 4)(torch.randn(1, 3, 3, 4, 12))
