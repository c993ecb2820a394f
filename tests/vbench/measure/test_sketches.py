"""Counts beside the catalog's, against closed forms by hand; and that the sketch computes what the pattern does."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from einops import rearrange

from vbench.analysis.claims import KEPT_FRACTIONS
from vbench.measure.sketches import (
    GRID,
    STRIDED_GRID,
    BlindClassToken,
    MaskedStrided,
    blind_class_token,
    core_by_fraction,
    gated_by_fraction,
    masked_strided_macs,
    strided_macs,
    swin_window,
)
from vbench.measure.subject import PATTERN_DIM, PATTERN_HEADS
from vbench_models.architectures.plain_divided import PLAIN_DIVIDED, PlainDivided
from vbench_models.attention.core import CoreOnly
from vbench_models.attention.strided import StridedAttention, StridedConfig
from vbench_models.relevance.gated_temporal import GatedTemporalConfig, kept_frames, macs, macs_of_kept
from vbench_models.video import Clip

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


def test_a_gate_that_gathers_costs_its_closed_form_and_one_that_masks_that_of_all_frames() -> None:
    counted = gated_by_fraction(KEPT_FRACTIONS)
    for fraction in KEPT_FRACTIONS:
        config = GatedTemporalConfig(embed_dim=PATTERN_DIM, num_heads=PATTERN_HEADS, keep=fraction)
        assert kept_frames(STRIDED_GRID.t, config) == fraction * STRIDED_GRID.t
        assert counted["gathered"][fraction] == macs(STRIDED_GRID, config)
        assert counted["masked"][fraction] == macs_of_kept(STRIDED_GRID, config, kept=STRIDED_GRID.t)


def test_every_fraction_keeps_whole_blocks_so_that_none_is_rounded() -> None:
    assert all(Fraction(fraction) * GRID.tokens % 128 == 0 for fraction in KEPT_FRACTIONS)


def test_the_window_s_shift_is_half_of_it() -> None:
    size, shift, video = swin_window()
    assert all(side > extent for side, extent in zip(video, size, strict=True))
    assert shift == tuple(extent // 2 for extent in size)


def test_the_sketch_of_a_class_token_that_sees_no_patch_has_the_printed_parameters() -> None:
    with torch.device("meta"):
        sketch = BlindClassToken(PLAIN_DIVIDED, Clip(frames=8, height=224, width=224))
    assert sum(parameter.numel() for parameter in sketch.parameters()) == 114_478_480


def test_the_sketch_ignores_the_video() -> None:
    assert blind_class_token() == (0.0, 0.0)


def test_the_mean_of_the_sketch_s_patches_does_not_ignore_the_video() -> None:
    torch.manual_seed(0)
    clip = Clip(frames=4, height=32, width=48)
    network = PlainDivided(replace(PLAIN_DIVIDED, embed_dim=48, depth=2, num_heads=3), clip).eval()
    video = torch.randn(2, 3, 4, 32, 48, requires_grad=True)
    one, other = network(video)
    (gradient,) = torch.autograd.grad(one.square().sum(), video)
    assert (one - other).abs().max() > 1e-2
    assert (gradient[0].flatten(1).abs().amax(1) > 0).all()
    assert not gradient[1].any()
