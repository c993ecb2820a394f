from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.attention import space, space_time_mixing
from vbench_models.attention.space_time_mixing import SpaceTimeMixingAttention, SpaceTimeMixingConfig
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(4, 1, 2), TokenGrid(2, 2, 2)]


def shifted(x: Tensor, fold: int) -> Tensor:
    """The shift number by number: channel c of all heads, side by side, comes from frame t + 1, t - 1 or t."""
    out = torch.zeros_like(x)
    heads, frames, width = x.shape[1], x.shape[2], x.shape[-1]
    for channel in range(heads * width):
        head, place = divmod(channel, width)
        step = 1 if channel < fold else -1 if channel < 2 * fold else 0
        for t in range(frames):
            if 0 <= t + step < frames:
                out[:, head, t, ..., place] = x[:, head, t + step, ..., place]
    return out


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("shift_div", [2, 4, 8, 13])
def test_mixing_equals_dense_attention_within_frames_over_shifted_keys_and_values(
    grid: TokenGrid,
    shift_div: int,
    dense_attention: Callable[..., Tensor],
    same: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)  # 4 heads of 3 channels
    attention = SpaceTimeMixingAttention(SpaceTimeMixingConfig(embed_dim=12, num_heads=4, shift_div=shift_div))
    fold = 12 // shift_div
    expected = dense_attention(q, shifted(k, fold), shifted(v, fold), same(grid, "t"))
    torch.testing.assert_close(attention.core(q, k, v), expected)


def test_at_vit_b_width_the_shift_takes_one_and_a_half_heads_each_way() -> None:
    """96 of 768 channels, as the official code has it: within no head is the first eighth taken apart."""
    attention = space_time_mixing.build(TokenGrid(3, 1, 1), 768, 12)
    x = torch.arange(3.0)[None, None, :, None, None, None].expand(1, 12, 3, 1, 1, 64)
    frame = attention._shift(x)[0, :, 1, 0, 0].flatten()
    assert (frame == torch.tensor([2.0, 0.0, 1.0]).repeat_interleave(torch.tensor([96, 96, 576]))).all()


def test_a_frame_changes_with_its_two_neighbours_and_no_other() -> None:
    attention = space_time_mixing.build(TokenGrid(5, 2, 2), 48, 6)
    x = torch.randn(1, 5, 2, 2, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    attention(x)[:, 2].square().sum().backward()
    assert x.grad is not None
    assert [bool(frame.any()) for frame in x.grad[0]] == [False, True, True, True, False]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_cost_is_that_of_space_only_attention(grid: TokenGrid, same: Callable[..., Tensor]) -> None:
    config = SpaceTimeMixingConfig(embed_dim=48, num_heads=6)
    assert space_time_mixing.core_macs(grid, config) == space.core_macs(grid, config)
    assert space_time_mixing.macs(grid, config) == space.macs(grid, config)
    pairs = int(same(grid, "t").sum())
    assert space_time_mixing.computed_pairs(grid, config) == space_time_mixing.useful_pairs(grid, config) == pairs


def test_a_shift_that_leaves_no_channel_in_place_is_allowed_and_one_beyond_is_refused() -> None:
    assert SpaceTimeMixingConfig(shift_div=2).shift_div == 2
    with pytest.raises(ModelError, match=r"^shift_div must be at least 2; got shift_div=1$"):
        SpaceTimeMixingConfig(shift_div=1)
