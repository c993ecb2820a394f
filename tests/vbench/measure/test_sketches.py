"""Counts beside the catalog's, against closed forms by hand; and that the sketch computes what the pattern does."""

from fractions import Fraction

import pytest
import torch
from einops import rearrange

from vbench.analysis.claims import KEPT_FRACTIONS
from vbench.measure.sketches import (
    GRID,
    STRIDED_GRID,
    MaskedStrided,
    core_by_fraction,
    masked_strided_macs,
    strided_macs,
    swin_window,
)
from vbench.measure.subject import PATTERN_DIM, PATTERN_HEADS
from vbench_models.attention.core import CoreOnly
from vbench_models.attention.strided import StridedAttention, StridedConfig

PAIR = 2 * PATTERN_DIM  # q k^T and the sum of v
STRIDE = 4


def test_masking_costs_as_much_as_attention_to_every_frame() -> None:
    grid = STRIDED_GRID
    assert masked_strided_macs() == grid.h * grid.w * grid.t**2 * PAIR


def test_skipping_costs_one_stride_th_of_masking() -> None:
    assert StridedConfig().stride == STRIDE
    assert STRIDED_GRID.t % STRIDE == 0
    assert Fraction(strided_macs(), masked_strided_macs()) == Fraction(1, STRIDE)


@pytest.mark.parametrize("frames", [8, 6, 1])
def test_masking_and_skipping_have_the_same_output(frames: int) -> None:
    generator = torch.Generator().manual_seed(frames)
    qkv = torch.randn(2, frames, 2, 3, 3 * PATTERN_DIM, generator=generator, dtype=torch.float64)
    masked = rearrange(MaskedStrided(STRIDE)(qkv), "b h w heads t d -> b heads t h w d")
    skipping = CoreOnly(StridedAttention(StridedConfig(stride=STRIDE)), PATTERN_HEADS)
    torch.testing.assert_close(masked, skipping(qkv))


def test_pruning_is_linear_in_the_kept_fraction() -> None:
    n = GRID.tokens
    expected = {fraction: n * round(fraction * n) * PAIR for fraction in KEPT_FRACTIONS}
    assert core_by_fraction(KEPT_FRACTIONS)["pruned"] == expected


def test_token_selection_is_quadratic_in_the_kept_fraction() -> None:
    n = GRID.tokens
    expected = {fraction: round(fraction * n) ** 2 * PAIR for fraction in KEPT_FRACTIONS}
    assert core_by_fraction(KEPT_FRACTIONS)["token_selection"] == expected


def test_every_fraction_keeps_whole_blocks_so_that_none_is_rounded() -> None:
    assert all(Fraction(fraction) * GRID.tokens % 128 == 0 for fraction in KEPT_FRACTIONS)


def test_the_window_s_shift_is_half_of_it() -> None:
    size, shift = swin_window()
    assert shift == tuple(extent // 2 for extent in size)
