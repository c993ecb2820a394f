"""Shifted windows against attention over the whole grid, pair by pair, and their closed forms against the counter."""

from dataclasses import replace
from itertools import groupby, product

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.attention.shifted_window import (
    ShiftedWindowAttention,
    ShiftedWindowConfig,
    build,
    computed_pairs,
    core_macs,
    macs,
    useful_pairs,
)
from vbench_models.video import ModelError, TokenGrid

Thw = tuple[int, int, int]

SMALL = ShiftedWindowConfig(embed_dim=12, num_heads=2, window_size=(2, 3, 3), shift_size=(1, 1, 1))
REGULAR = replace(SMALL, shift_size=(0, 0, 0))
PAPER = ShiftedWindowConfig(embed_dim=12, num_heads=2)
PAPER_REGULAR = replace(PAPER, shift_size=(0, 0, 0))

DIVIDED = TokenGrid(4, 6, 6)
PADDED = TokenGrid(3, 5, 7)
CLIPPED_IN_TIME = TokenGrid(1, 6, 9)
CLIPPED_IN_SPACE = TokenGrid(4, 2, 6)
ONE_WINDOW = TokenGrid(2, 3, 3)
SMALL_GRIDS = [DIVIDED, PADDED, CLIPPED_IN_TIME, CLIPPED_IN_SPACE, ONE_WINDOW]

COUNTED_GRIDS = [
    TokenGrid(16, 56, 56),
    TokenGrid(8, 14, 14),
    TokenGrid(8, 7, 7),
    TokenGrid(16, 7, 7),
    TokenGrid(4, 14, 14),
    TokenGrid(1, 1, 1),
    TokenGrid(1, 28, 14),
    TokenGrid(9, 8, 8),
    TokenGrid(16, 14, 15),
    TokenGrid(5, 20, 3),
    TokenGrid(12, 9, 31),
    TokenGrid(32, 6, 50),
    TokenGrid(7, 6, 5),
]


def shift_of(attention: ShiftedWindowAttention) -> tuple[int, ...]:
    return tuple(axis.shift for axis in attention.cut)


def axes_of(grid: TokenGrid, config: ShiftedWindowConfig) -> list[tuple[int, int, int, int]]:
    """(tokens, padded tokens, window, shift) of every axis, written out as the official code has them."""
    axes = []
    for extent, size, shift in zip((grid.t, grid.h, grid.w), config.window_size, config.shift_size, strict=True):
        if extent <= size:
            axes.append((extent, extent, extent, 0))
        else:
            axes.append((extent, extent + (size - extent % size) % size, size, shift))
    return axes


def window_and_place(position: int, padded: int, size: int, shift: int) -> tuple[int, int, bool]:
    """The window that one coordinate falls in, its place there, and whether the cyclic shift wrapped it around."""
    rolled = (position - shift) % padded
    return rolled // size, rolled % size, position < shift


def positions(grid: TokenGrid, config: ShiftedWindowConfig) -> list[tuple[int, ...]]:
    """All positions of the padded grid, in the order of its flattened tokens."""
    return list(product(*(range(padded) for _, padded, _, _ in axes_of(grid, config))))


def dense_bias(attention: ShiftedWindowAttention, grid: TokenGrid, config: ShiftedWindowConfig) -> Tensor:
    """Additive scores (heads, n, n) over the whole padded grid: a bias within a window, minus infinity elsewhere."""
    axes = axes_of(grid, config)
    _, height, width = config.window_size
    tokens = [
        [window_and_place(p, padded, size, shift) for p, (_, padded, size, shift) in zip(at, axes, strict=True)]
        for at in positions(grid, config)
    ]
    scores = torch.full((config.num_heads, len(tokens), len(tokens)), -torch.inf)
    for i, query in enumerate(tokens):
        for j, key in enumerate(tokens):
            if all(a[0] == b[0] and a[2] == b[2] for a, b in zip(query, key, strict=True)):
                offset = [
                    a - b for a, b in zip(table_place(query, axes, config), table_place(key, axes, config), strict=True)
                ]
                t, h, w = (o + size - 1 for o, size in zip(offset, config.window_size, strict=True))
                row = t * (2 * height - 1) * (2 * width - 1) + h * (2 * width - 1) + w
                scores[:, i, j] = attention.position_bias.table[row]
    return scores


def table_place(
    token: list[tuple[int, int, bool]], axes: list[tuple[int, int, int, int]], config: ShiftedWindowConfig
) -> tuple[int, int, int]:
    """Where the bias table sees a token: at the place that its rank in the clipped window has in the full one."""
    (t, h, w), (_, clipped_h, clipped_w) = (place for _, place, _ in token), (size for _, _, size, _ in axes)
    rank = (t * clipped_h + h) * clipped_w + w
    _, height, width = config.window_size
    return rank // (height * width), rank // width % height, rank % width


def count(module: ShiftedWindowAttention, grid: TokenGrid, dim: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.empty(1, grid.t, grid.h, grid.w, dim, device="meta"))
    return int(counter.get_total_flops()) // 2


def attention_on(grid: TokenGrid, config: ShiftedWindowConfig) -> ShiftedWindowAttention:
    torch.manual_seed(0)
    attention = ShiftedWindowAttention(config, grid)
    torch.nn.init.normal_(attention.position_bias.table)
    return attention


@pytest.mark.parametrize("grid", SMALL_GRIDS, ids=str)
@pytest.mark.parametrize("config", [SMALL, REGULAR], ids=["shifted", "regular"])
def test_core_equals_dense_attention_under_its_mask_and_bias(grid: TokenGrid, config: ShiftedWindowConfig) -> None:
    attention = attention_on(grid, config)
    q, k, v = torch.randn(3, 2, config.num_heads, grid.t, grid.h, grid.w, 6)
    padded = [axis[1] for axis in axes_of(grid, config)]
    whole = torch.zeros(3, 2, config.num_heads, *padded, 6)
    whole[..., : grid.t, : grid.h, : grid.w, :] = torch.stack([q, k, v])

    dense_q, dense_k, dense_v = whole.flatten(3, 5)
    scores = dense_q @ dense_k.mT / 6**0.5 + dense_bias(attention, grid, config)
    expected = (scores.softmax(-1) @ dense_v).unflatten(2, padded)[:, :, : grid.t, : grid.h, : grid.w]

    torch.testing.assert_close(attention.core(q, k, v), expected)


@pytest.mark.parametrize("grid", SMALL_GRIDS, ids=str)
@pytest.mark.parametrize("config", [SMALL, REGULAR], ids=["shifted", "regular"])
def test_forward_projects_the_padding_too_and_then_equals_dense_attention(
    grid: TokenGrid, config: ShiftedWindowConfig
) -> None:
    attention = attention_on(grid, config)
    x = torch.randn(2, grid.t, grid.h, grid.w, config.embed_dim)
    padded = [axis[1] for axis in axes_of(grid, config)]
    whole = torch.zeros(2, *padded, config.embed_dim)
    whole[:, : grid.t, : grid.h, : grid.w] = x

    q, k, v = attention.qkv(whole.flatten(1, 3)).unflatten(-1, (3, config.num_heads, 6)).permute(2, 0, 3, 1, 4)
    scores = q @ k.mT / 6**0.5 + dense_bias(attention, grid, config)
    update = attention.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    expected = update.unflatten(1, padded)[:, : grid.t, : grid.h, : grid.w]
    torch.testing.assert_close(attention(x), expected)


def test_a_token_reaches_only_its_own_run_of_neighbours() -> None:
    attention = attention_on(DIVIDED, SMALL)
    q, k, v = torch.randn(3, 1, 2, 4, 6, 6, 6)
    changed = v.clone()
    changed[..., 0, 0, 0, :] += 1
    difference = (attention.core(q, k, changed) - attention.core(q, k, v)).abs().amax((0, 1, -1))
    assert difference[0, 0, 0] > 0
    assert difference.count_nonzero() == 1


def test_the_window_at_the_far_end_does_not_mix_with_what_the_shift_wrapped_around() -> None:
    attention = attention_on(DIVIDED, SMALL)
    q, k, v = torch.randn(3, 1, 2, 4, 6, 6, 6)
    changed = v.clone()
    changed[..., -1, -1, -1, :] += 1
    reached = (attention.core(q, k, changed) - attention.core(q, k, v)).abs().amax((0, 1, -1)).nonzero()
    assert reached.tolist() == [[3, h, w] for h in (4, 5) for w in (4, 5)]


@pytest.mark.parametrize("grid", COUNTED_GRIDS, ids=str)
@pytest.mark.parametrize("config", [PAPER, PAPER_REGULAR], ids=["shifted", "regular"])
def test_closed_form_equals_the_count_to_the_multiply_add(grid: TokenGrid, config: ShiftedWindowConfig) -> None:
    with torch.device("meta"):
        attention = ShiftedWindowAttention(config, grid)
    assert count(attention, grid, config.embed_dim) == macs(grid, config)


@pytest.mark.parametrize("grid", COUNTED_GRIDS, ids=str)
def test_core_closed_form_equals_the_count_to_the_multiply_add(grid: TokenGrid) -> None:
    q = torch.empty(1, 2, grid.t, grid.h, grid.w, 6, device="meta")
    with torch.device("meta"), torch.no_grad():
        attention = ShiftedWindowAttention(PAPER, grid)
        with FlopCounterMode(display=False) as counter:
            attention.core(q, q, q)
    assert counter.get_total_flops() == 2 * core_macs(grid, PAPER)


@pytest.mark.parametrize("axis", ["t", "h", "w"])
def test_cost_grows_linearly_along_every_axis_on_multiples_of_the_window(axis: str) -> None:
    one = TokenGrid(8, 14, 14)
    for times in (2, 3, 5):
        many = replace(one, **{axis: times * getattr(one, axis)})
        assert core_macs(many, PAPER) == times * core_macs(one, PAPER)
        assert macs(many, PAPER) == times * macs(one, PAPER)


@pytest.mark.parametrize("grid", SMALL_GRIDS, ids=str)
@pytest.mark.parametrize("config", [SMALL, REGULAR], ids=["shifted", "regular"])
def test_pairs_equal_those_counted_one_by_one(grid: TokenGrid, config: ShiftedWindowConfig) -> None:
    axes = axes_of(grid, config)
    computed = useful = 0
    for query, key in product(positions(grid, config), repeat=2):
        places = [
            (window_and_place(a, padded, size, shift), window_and_place(b, padded, size, shift))
            for a, b, (_, padded, size, shift) in zip(query, key, axes, strict=True)
        ]
        together = all(a[0] == b[0] for a, b in places)
        real = all(a < extent and b < extent for a, b, (extent, *_) in zip(query, key, axes, strict=True))
        computed += together
        useful += together and real and all(a[2] == b[2] for a, b in places)
    assert computed_pairs(grid, config) == computed
    assert useful_pairs(grid, config) == useful


def test_all_pairs_are_useful_in_regular_windows_that_divide_the_grid() -> None:
    assert useful_pairs(TokenGrid(16, 14, 21), PAPER_REGULAR) == computed_pairs(TokenGrid(16, 14, 21), PAPER_REGULAR)
    assert useful_pairs(TokenGrid(16, 14, 21), PAPER) < computed_pairs(TokenGrid(16, 14, 21), PAPER)


def test_a_clipped_window_keeps_the_full_bias_table() -> None:
    table = ShiftedWindowAttention(PAPER, TokenGrid(4, 7, 3)).position_bias.table
    assert table.shape == (15 * 13 * 13, 2)


def test_even_layers_are_regular_and_odd_ones_shifted() -> None:
    grid = TokenGrid(16, 14, 14)
    assert [shift_of(build(grid, 12, 2, layer=layer)) for layer in range(3)] == [(0, 0, 0), (4, 3, 3), (0, 0, 0)]
    assert shift_of(build(grid, 12, 2)) == (4, 3, 3)


def test_core_runs_without_the_projections() -> None:
    attention = attention_on(DIVIDED, SMALL)
    q, k, v = torch.randn(3, 1, 2, 4, 6, 6, 6)
    expected = attention.core(q, k, v)
    del attention.qkv, attention.proj
    assert [name for name, _ in attention.named_parameters()] == ["position_bias.table"]
    torch.testing.assert_close(attention.core(q, k, v), expected)


@pytest.mark.parametrize("grid", SMALL_GRIDS, ids=str)
def test_windows_that_share_a_mask_are_as_many_as_the_reference_finds(grid: TokenGrid) -> None:
    """A kind of windows is a set of axes along which one window holds tokens from both ends."""
    axes = axes_of(grid, SMALL)
    wrapped: dict[tuple[int, ...], list[bool]] = {}
    for at in positions(grid, SMALL):
        places = [
            window_and_place(p, padded, size, shift) for p, (_, padded, size, shift) in zip(at, axes, strict=True)
        ]
        seen = wrapped.setdefault(tuple(window for window, _, _ in places), [False] * 3)
        for axis, (_, _, around) in enumerate(places):
            seen[axis] |= around
    kinds = sorted(wrapped.values())
    expected = [len(list(same)) for _, same in groupby(kinds)]
    assert ShiftedWindowAttention(SMALL, grid).kind_counts == expected


@torch.no_grad()
def test_a_mask_is_made_for_a_kind_of_windows_and_not_for_each_window() -> None:
    attention = attention_on(TokenGrid(4, 12, 12), SMALL)
    masks = list(attention._masks())
    assert len(masks) == len(attention.kind_counts) == 8
    assert {mask.shape for mask in masks} == {(1, 2, 18, 18)}
    assert sum(attention.kind_counts) == 2 * 4 * 4
    assert masks[0].isfinite().all()


def test_buffers_stay_small_and_out_of_the_checkpoint_on_a_large_grid() -> None:
    grid = TokenGrid(32, 112, 112)
    with torch.device("meta"):
        attention = ShiftedWindowAttention(PAPER, grid)
    assert attention.order.numel() == grid.tokens
    assert attention.run.shape == (8, 8 * 7 * 7)  # a mask is made from it, kind by kind
    assert attention.position_bias.index.shape == (8 * 7 * 7, 8 * 7 * 7)
    assert not any(name.endswith(("run", "index", "order", "back")) for name in attention.state_dict())


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ModelError, match="got embed_dim=10, num_heads=3"):
        build(DIVIDED, 10, 3)


@pytest.mark.parametrize("shift_size", [(2, 0, 0), (0, 3, 0), (0, 0, -1)])
def test_a_shift_of_a_window_or_more_is_refused(shift_size: Thw) -> None:
    with pytest.raises(ModelError, match="smaller than its window"):
        replace(SMALL, shift_size=shift_size)
