from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from vbench_models.attention.local_global_temporal import (
    LocalGlobalTemporalAttention,
    LocalGlobalTemporalConfig,
    LocalGlobalWindowsAttention,
    LocalGlobalWindowsConfig,
    computed_pairs,
    core_macs,
    key_frames,
    useful_pairs,
)
from vbench_models.layers import cache
from vbench_models.video import ModelError, TokenGrid

Place = tuple[int, int, int]

GRIDS = [TokenGrid(9, 2, 2), TokenGrid(7, 1, 3), TokenGrid(2, 3, 1), TokenGrid(1, 2, 2)]
TEMPORAL = [
    LocalGlobalTemporalConfig(embed_dim=12, num_heads=4, local_frames=near, pool_stride=stride)
    for near, stride in ((1, 1), (2, 4), (3, 4), (4, 3), (5, 2), (30, 50))
]
WINDOW_GRIDS = [TokenGrid(5, 4, 6), TokenGrid(4, 3, 5), TokenGrid(1, 2, 2), TokenGrid(3, 7, 1)]
WINDOWS = [
    LocalGlobalWindowsConfig(embed_dim=12, num_heads=4, window_size=size, key_frames=count)
    for size, count in (((2, 2, 3), 1), ((2, 2, 3), 2), ((3, 4, 2), 3), ((1, 1, 1), 9), ((8, 8, 8), 2))
]


def places(grid: TokenGrid) -> list[Place]:
    return list(product(range(grid.t), range(grid.h), range(grid.w)))


def nearest(t: int, frames: int, count: int) -> set[int]:
    """The frames of the clip that lie nearest to t; of two at one distance the earlier first."""
    return set(sorted(range(frames), key=lambda s: (abs(s - t), s))[:count])


def means(x: Tensor, stride: int) -> Tensor:
    """One frame for every `stride` frames along axis 2, or for those that are left."""
    return torch.stack([x[:, :, t : t + stride].mean(2) for t in range(0, x.shape[2], stride)], dim=2)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("config", TEMPORAL, ids=lambda c: f"{c.local_frames}-{c.pool_stride}")
def test_near_and_pooled_frames_equal_dense_attention_under_its_mask(
    grid: TokenGrid,
    config: LocalGlobalTemporalConfig,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    longer = [torch.cat((x, means(x, config.pool_stride)), dim=2) for x in (k, v)]
    keys = places(replace(grid, t=longer[0].shape[2]))

    def sees(query: Place, key: Place) -> bool:
        is_pooled = key[0] >= grid.t
        return query[1:] == key[1:] and (is_pooled or key[0] in nearest(query[0], grid.t, config.local_frames))

    allowed = torch.tensor([[sees(query, key) for key in keys] for query in places(grid)])
    out = LocalGlobalTemporalAttention(config, grid.t).core(q, k, v)
    torch.testing.assert_close(out, dense_attention(q, *longer, allowed))
    assert computed_pairs(grid, config) == useful_pairs(grid, config) == int(allowed.sum())


def test_one_position_is_quadratic_in_time_and_linear_once_the_pooled_frames_are_fixed() -> None:
    config = LocalGlobalTemporalConfig(embed_dim=48, num_heads=6)

    def pairs(frames: int, stride: int) -> int:
        return computed_pairs(TokenGrid(frames, 3, 5), replace(config, pool_stride=stride))

    rest = [3 * 5 * frames * config.local_frames for frames in (64, 128)]
    assert pairs(128, 4) - rest[1] == 4 * (pairs(64, 4) - rest[0])
    assert pairs(128, 8) == 2 * pairs(64, 4)


def windows_mask(grid: TokenGrid, config: LocalGlobalWindowsConfig) -> Tensor:
    """The query's window, and every token of the key frames."""
    count = min(config.key_frames, grid.t)
    shared = {index * grid.t // count for index in range(count)}

    def window(place: Place) -> list[int]:
        return [axis // size for axis, size in zip(place, config.window_size, strict=True)]

    return torch.tensor(
        [[window(query) == window(key) or key[0] in shared for key in places(grid)] for query in places(grid)]
    )


@pytest.mark.parametrize("grid", WINDOW_GRIDS, ids=str)
@pytest.mark.parametrize("config", WINDOWS, ids=lambda c: f"{c.window_size}-{c.key_frames}")
def test_windows_and_key_frames_equal_dense_attention_under_their_mask(
    grid: TokenGrid,
    config: LocalGlobalWindowsConfig,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
) -> None:
    q, k, v = qkv(grid)
    allowed = windows_mask(grid, config)
    out = LocalGlobalWindowsAttention(config, grid).core(q, k, v)
    torch.testing.assert_close(out, dense_attention(q, k, v, allowed))
    assert useful_pairs(grid, config) == int(allowed.sum())


@pytest.mark.parametrize("cached", [1, 300])
def test_some_heads_and_windows_at_a_time_see_what_all_of_them_do(
    cached: int,
    dense_attention: Callable[..., Tensor],
    qkv: Callable[..., list[Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)
    grid, config = WINDOW_GRIDS[0], WINDOWS[1]
    q, k, v = qkv(grid)
    out = LocalGlobalWindowsAttention(config, grid).core(q, k, v)
    torch.testing.assert_close(out, dense_attention(q, k, v, windows_mask(grid, config)))


@pytest.mark.parametrize("grid", WINDOW_GRIDS, ids=str)
@pytest.mark.parametrize("config", WINDOWS, ids=lambda c: f"{c.window_size}-{c.key_frames}")
def test_computed_in_vain_are_only_the_key_frames_that_cross_the_own_window(
    grid: TokenGrid, config: LocalGlobalWindowsConfig
) -> None:
    shared = key_frames(grid, config)
    twice = sum(
        all(a // size == b // size for a, b, size in zip(query, key, config.window_size, strict=True))
        for query, key in product(places(grid), repeat=2)
        if key[0] in shared
    )
    assert computed_pairs(grid, config) - useful_pairs(grid, config) == twice


def test_key_frames_are_spread_evenly_from_the_first_on() -> None:
    config = LocalGlobalWindowsConfig(key_frames=4)
    assert key_frames(TokenGrid(16, 1, 1), config) == [0, 4, 8, 12]
    assert key_frames(TokenGrid(3, 1, 1), config) == [0, 1, 2]


def test_windows_are_linear_in_time_with_key_frames_fixed() -> None:
    config = LocalGlobalWindowsConfig(embed_dim=48, num_heads=6)
    assert core_macs(TokenGrid(64, 14, 7), config) == 4 * core_macs(TokenGrid(16, 14, 7), config)


def test_a_number_of_frames_below_one_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^local_frames must be at least 1; got local_frames=0$"):
        LocalGlobalTemporalConfig(local_frames=0)
    with pytest.raises(ModelError, match=r"^pool_stride must be at least 1"):
        LocalGlobalTemporalConfig(pool_stride=0)
    with pytest.raises(ModelError, match=r"^window_size must be at least 1"):
        LocalGlobalWindowsConfig(window_size=(4, 0, 7))
    with pytest.raises(ModelError, match=r"^key_frames must be at least 1"):
        LocalGlobalWindowsConfig(key_frames=0)
