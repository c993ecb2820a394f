"""MViTv2: its published sizes, what its official code counts elsewhere, its stages, and its attention."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.mvitv2 import (
    HALVING,
    KEEPING,
    MVITV2_L,
    MVITV2_S,
    BlockPlan,
    MViTv2,
    OpeningBlock,
    PooledAttention,
    block_plans,
    mvitv2_b_32x3,
    mvitv2_l_40x3,
    mvitv2_s_16x4,
)
from vbench_models.layers import cache
from vbench_models.layers.decomposed_positions import distances, stretched
from vbench_models.layers.pooled_attention import Pooling
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError

TINY = replace(MVITV2_S, embed_dim=8, num_heads=2, depths=(1, 2, 1, 1), num_classes=5)
SHORT = Clip(frames=16, height=224, width=224)
LARGE = Clip(frames=40, height=312, width=312)


def square(frames: int, side: int) -> Clip:
    return Clip(frames=frames, height=side, width=side)


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(video)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(
    ("build", "clip", "parameters", "macs"),
    [
        (mvitv2_s_16x4, SHORT, 34_537_744, 64_223_815_872),
        (mvitv2_b_32x3, square(32, 224), 51_230_128, 224_472_840_192),
        (mvitv2_l_40x3, LARGE, 213_390_112, 2_823_404_064_192),
        (mvitv2_s_16x4, square(6, 136), 34_476_688, 8_080_073_280),  # 34 tokens a side become 17, 9, 5
        (mvitv2_b_32x3, square(8, 112), 51_088_432, 9_756_198_912),
        (mvitv2_l_40x3, square(2, 312), 213_258_784, 82_273_112_064),
    ],
)
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(
    build: Callable[[Clip], MViTv2], clip: Clip, parameters: int, macs: int
) -> None:
    with torch.device("meta"):
        model = build(clip)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count(model, clip) == macs


def test_no_block_pools_time_and_channels_double_within_the_first_attention_of_a_stage() -> None:
    with torch.device("meta"):
        model = mvitv2_s_16x4(SHORT)
    shapes: list[torch.Size] = []
    for block in model.blocks:
        block.attention.register_forward_hook(lambda _, __, out: shapes.append(out.shape[1:]))
    count(model, SHORT)
    stages = ((56, 96),), ((28, 192),) * 2, ((14, 384),) * 11, ((7, 768),) * 2
    assert shapes == [(1 + 8 * side**2, channels) for stage in stages for side, channels in stage]


def test_tables_are_as_long_as_the_grid_rounded_down_asks_for_though_poolings_round_up() -> None:
    plans = list(block_plans(MVITV2_L, LARGE))
    assert [plan.q_grid.h for plan in plans if plan.dim != plan.out_dim] == [39, 20, 10]
    assert [plans[block].side_entries for block in (0, 2, 8, 9, 44, 45)] == [155, 77, 37, 37, 37, 17]
    with torch.device("meta"):
        tables = MViTv2(MVITV2_L, LARGE).blocks[45].attention.positions
    assert tables.heights.shape == tables.widths.shape == (17, 72)
    assert tables.times.shape == (39, 72)


def test_both_sides_have_tables_for_the_longer_one() -> None:
    with torch.device("meta"):
        tables = mvitv2_s_16x4(Clip(frames=16, height=96, width=224)).blocks[0].attention.positions
    assert tables.heights.shape == tables.widths.shape == (111, 96)


def seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return module.double()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


PLANS = {
    "first block": BlockPlan(
        dim=8,
        out_dim=8,
        num_heads=2,
        grid=TokenGrid(2, 5, 3),
        side=5,
        q_pooling=KEEPING,
        kv_pooling=Pooling((3, 3, 3), (1, 4, 4)),
    ),
    "opens a stage": BlockPlan(
        dim=4,
        out_dim=8,
        num_heads=2,
        grid=TokenGrid(2, 5, 6),
        side=6,
        q_pooling=HALVING,
        kv_pooling=Pooling((3, 3, 3), (1, 1, 1)),
    ),
    "tables too short": BlockPlan(
        dim=8,
        out_dim=8,
        num_heads=1,
        grid=TokenGrid(1, 4, 3),
        side=3,
        q_pooling=KEEPING,
        kv_pooling=Pooling((3, 3, 3), (1, 2, 2)),
    ),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_attention_equals_a_loop_over_pairs_of_queries_and_keys(plan: BlockPlan) -> None:
    attention = seeded(PooledAttention(plan))
    assert isinstance(attention, PooledAttention)
    x = noise(1, 1 + plan.grid.tokens, plan.dim)
    expected = attention.proj(torch.cat([head_by_head(attention, x, head) for head in range(plan.num_heads)], -1))
    torch.testing.assert_close(attention(x)[0], expected)


def head_by_head(attention: PooledAttention, x: Tensor, head: int) -> Tensor:
    """What the tokens of one head gather, `n d`: a class token first, then t, h, w in this order."""
    pools = attention.pool_q(attention.q(x)), attention.pool_k(attention.k(x)), attention.pool_v(attention.v(x))
    q, k, v = (pooled[0, head] for pooled in pools)
    tables = attention.positions
    q_grid, k_grid = tables.q_grid, tables.k_grid
    q_places, k_places = places(q_grid), places(k_grid)
    gathered = [(q[0] @ k.T / q.shape[-1] ** 0.5).softmax(-1) @ v]
    for query, at in zip(q[1:], q_places, strict=True):
        scores = [query @ k[0] / len(query) ** 0.5]
        for key, where in zip(k[1:], k_places, strict=True):
            vectors = [
                vector(tables.times, at[0], where[0], q_grid.t, k_grid.t),
                vector(tables.heights, at[1], where[1], q_grid.h, k_grid.h),
                vector(tables.widths, at[2], where[2], q_grid.w, k_grid.w),
            ]
            scores.append(query @ key / len(query) ** 0.5 + sum(query @ each for each in vectors))
        gathered.append(torch.stack(scores).softmax(-1) @ v + query)
    return torch.stack(gathered)


def places(grid: TokenGrid) -> list[tuple[int, int, int]]:
    return [(t, h, w) for t in range(grid.t) for h in range(grid.h) for w in range(grid.w)]


def vector(table: Tensor, query: int, key: int, queries: int, keys: int) -> Tensor:
    """The vector of a distance, both places given in steps of the finer grid, as the paper's code numbers them."""
    q_step, k_step = max(Fraction(keys, queries), Fraction(1)), max(Fraction(queries, keys), Fraction(1))
    distance = floor(query * q_step - key * k_step + (keys - 1) * k_step)
    length = 2 * max(queries, keys) - 1
    return F.interpolate(table.T[None], size=length, mode="linear")[0].T[distance]


@pytest.mark.parametrize(("have", "want"), [(5, 9), (9, 5), (1, 3), (37, 39), (4, 4)])
def test_tables_are_stretched_as_by_linear_interpolation(have: int, want: int) -> None:
    table = noise(have, 3)
    expected = F.interpolate(table.T[None], size=want, mode="linear")[0].T
    torch.testing.assert_close(stretched(table, want), expected)


@pytest.mark.parametrize(("queries", "keys"), [(56, 7), (28, 14), (39, 10), (7, 14), (20, 20), (5, 2)])
def test_distances_are_exact_before_they_are_rounded_down(queries: int, keys: int) -> None:
    q_step, k_step = max(Fraction(keys, queries), Fraction(1)), max(Fraction(queries, keys), Fraction(1))
    expected = [[floor(q * q_step + (keys - 1 - k) * k_step) for k in range(keys)] for q in range(queries)]
    assert distances(queries, keys).tolist() == expected


def test_the_shortcut_that_opens_a_stage_widens_normalised_tokens_and_then_pools_them() -> None:
    block = seeded(OpeningBlock(PLANS["opens a stage"], Pooling((1, 3, 3), (1, 2, 2)), 4.0))
    assert isinstance(block, OpeningBlock)
    nn.init.zeros_(block.attention.proj.weight)
    nn.init.zeros_(block.attention.proj.bias)
    block.feed_forward = nn.Identity()
    x = noise(1, 1 + 60, 4)
    widened = block.widen(F.layer_norm(x, (4,), block.attention_norm.weight, block.attention_norm.bias, 1e-6))[0]
    padded = F.pad(widened[1:].reshape(2, 5, 6, 8), (0, 0, 1, 1, 1, 1), value=-torch.inf)
    expected = [
        padded[t, h : h + 3, w : w + 3].amax((0, 1)) for t in range(2) for h in range(0, 5, 2) for w in range(0, 6, 2)
    ]
    torch.testing.assert_close(block(x)[0], torch.stack([widened[0], *expected]))


def test_a_part_at_a_time_is_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(batch=2, frames=6, height=36, width=52)
    model = seeded(MViTv2(TINY, clip)).eval()
    video = noise(2, 3, 6, 36, 52)
    with torch.no_grad():
        whole = model(video)
        monkeypatch.setattr(cache, "CACHED_VALUES", 1)
        gathered: list[int] = []
        gather = PooledAttention.gather

        def counting(self: PooledAttention, *qkv: Tensor) -> list[Tensor]:
            parts = list(gather(self, *qkv))
            gathered.append(len(parts))
            return parts

        monkeypatch.setattr(PooledAttention, "gather", counting)
        torch.testing.assert_close(model(video), whole)
    assert gathered == [3] * 5  # one frame of tokens at a time
    assert (whole[0] - whole[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (Clip(frames=3, height=64, width=64), "frames must be a multiple of 2"),
        (Clip(frames=4, height=64, width=66), "width must be a multiple of 4"),
        (Clip(frames=4, height=28, width=20), "must have 32 pixels or more.*height=28, width=20"),
    ],
)
def test_clips_that_do_not_fit_are_refused(clip: Clip, message: str) -> None:
    with pytest.raises(UnsupportedClipError, match=message):
        mvitv2_s_16x4(clip)


def test_one_side_may_be_short() -> None:
    model = seeded(MViTv2(TINY, Clip(frames=2, height=4, width=32))).eval()
    with torch.no_grad():
        assert model(noise(1, 3, 2, 4, 32)).isfinite().all()
