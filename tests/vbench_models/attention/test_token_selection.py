from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vbench_models.attention.token_selection import TokenSelectionAttention, TokenSelectionConfig
from vbench_models.video import ModelError, TokenGrid

CONFIG = TokenSelectionConfig(embed_dim=12, num_heads=4, keep=0.4)
every_grid = pytest.mark.parametrize("grid", [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(1, 1, 1)], ids=str)


def attention(config: TokenSelectionConfig = CONFIG) -> TokenSelectionAttention:
    torch.manual_seed(0)
    return TokenSelectionAttention(config).double()


def highest(selection: TokenSelectionAttention, tokens: Tensor) -> Tensor:
    """Whether each token of `b n c` is among the best, found by comparing every score with every other."""
    scores = (F.gelu(tokens @ selection.score.hidden) @ selection.score.out)[..., 0]
    rank = (scores[:, None, :] > scores[:, :, None]).sum(-1)
    return rank < max(1, round(selection.config.keep * tokens.shape[1]))


@every_grid
def test_core_equals_dense_attention_under_the_mask_of_what_was_kept(
    grid: TokenGrid, dense_attention: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    selection, (q, k, v) = attention(), qkv(grid)
    kept = highest(selection, k.permute(0, 2, 3, 4, 1, 5).flatten(4).flatten(1, 3))
    expected = dense_attention(q, k, v, kept[:, None, None, :]) * kept.reshape(2, 1, grid.t, grid.h, grid.w, 1)
    torch.testing.assert_close(selection.core(q, k, v), expected)


@every_grid
def test_the_update_is_that_of_attention_among_the_kept_tokens_times_their_sigmoid(grid: TokenGrid) -> None:
    selection = attention()
    x = torch.randn(2, grid.t, grid.h, grid.w, 12, dtype=torch.float64)
    update = selection(x).flatten(1, 3)
    for clip, kept, given in zip(x.flatten(1, 3), highest(selection, x.flatten(1, 3)), update, strict=True):
        q, k, v = selection.qkv(clip[kept]).unflatten(-1, (3, 4, 3)).permute(1, 2, 0, 3)
        out = ((q @ k.mT / 3**0.5).softmax(-1) @ v).permute(1, 0, 2).flatten(1)
        score = F.gelu(clip[kept] @ selection.score.hidden) @ selection.score.out
        torch.testing.assert_close(given[kept], selection.proj(out) * score.sigmoid())
        assert not given[~kept].any()


def test_keeping_every_token_is_joint_attention(
    dense_attention: Callable[..., Tensor], same: Callable[..., Tensor], qkv: Callable[..., list[Tensor]]
) -> None:
    grid = TokenGrid(2, 3, 3)
    q, k, v = qkv(grid)
    expected = dense_attention(q, k, v, same(grid, ""))
    torch.testing.assert_close(attention(replace(CONFIG, keep=1.0)).core(q, k, v), expected)


def test_a_fraction_of_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="got keep=0"):
        replace(CONFIG, keep=0.0)
