from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from vbench_models.attention.specious_present import (
    CentredPresentConfig,
    PresentConfig,
    SpeciousPresentAttention,
    SpeciousPresentConfig,
    computed_pairs,
    core_macs,
    useful_pairs,
)
from vbench_models.video import ModelError, TokenGrid

GRIDS = [TokenGrid(9, 2, 2), TokenGrid(4, 3, 1), TokenGrid(3, 1, 2), TokenGrid(1, 2, 2)]
HALVES = [SpeciousPresentConfig(embed_dim=12, num_heads=4, window_size=size) for size in (2, 3, 4, 5, 8, 40)]
CENTRED = [CentredPresentConfig(embed_dim=12, num_heads=4, radius=radius) for radius in (0, 1, 2, 5, 40)]

every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
every_window = pytest.mark.parametrize("config", [*HALVES, *CENTRED], ids=lambda config: str(config.reach))


def mask(grid: TokenGrid, config: PresentConfig) -> Tensor:
    """The query's position, in the frames of the window as they are defined."""
    if isinstance(config, CentredPresentConfig):
        first, last = -config.radius, config.radius
    else:
        first, last = -(config.window_size // 2), config.window_size // 2 - 1
    places = list(product(range(grid.t), range(grid.h), range(grid.w)))
    return torch.tensor([[a[1:] == b[1:] and first <= b[0] - a[0] <= last for b in places] for a in places])


@every_grid
@every_window
def test_a_window_equals_dense_attention_under_its_mask(
    grid: TokenGrid,
    config: PresentConfig,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    attention = SpeciousPresentAttention(config, grid.t)
    torch.testing.assert_close(attention.core(q, k, v), dense_attention(q, k, v, mask(grid, config)))


@every_grid
@every_window
def test_useful_pairs_equal_those_of_the_mask(grid: TokenGrid, config: PresentConfig) -> None:
    assert useful_pairs(grid, config) == int(mask(grid, config).sum())


@every_window
def test_computed_in_vain_are_only_windows_that_reach_beyond_an_end(config: PresentConfig) -> None:
    """From one clip to a longer one, as many useful pairs are added as computed ones."""
    short, long = TokenGrid(90, 2, 3), TokenGrid(120, 2, 3)
    added = computed_pairs(long, config) - computed_pairs(short, config)
    assert useful_pairs(long, config) - useful_pairs(short, config) == added


@every_window
def test_the_core_is_linear_in_time_height_and_width_from_the_window_on(config: PresentConfig) -> None:
    one = core_macs(TokenGrid(64, 3, 5), config)
    assert core_macs(TokenGrid(192, 3, 5), config) == 3 * one
    assert core_macs(TokenGrid(64, 9, 5), config) == 3 * one
    assert core_macs(TokenGrid(64, 3, 15), config) == 3 * one


def test_a_window_that_would_not_hold_its_own_frame_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^window_size must be at least 2; got window_size=1$"):
        SpeciousPresentConfig(window_size=1)
    with pytest.raises(ModelError, match=r"^radius must be at least 0; got radius=-1$"):
        CentredPresentConfig(radius=-1)


def test_keys_and_values_are_copied_once_whatever_the_window(qkv: Callable[..., list[Tensor]]) -> None:
    grid = TokenGrid(9, 2, 2)
    _, k, _ = qkv(grid)
    attention = SpeciousPresentAttention(HALVES[4], grid.t)
    windows = attention._windows(k)
    frames = grid.t + attention.before + attention.after
    assert windows.untyped_storage().nbytes() == k.nbytes // grid.t * frames
    assert windows.numel() * windows.element_size() > 2 * windows.untyped_storage().nbytes()
