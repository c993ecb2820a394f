"""Video Swin: its published size, its grids, and clips that nothing divides."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.video_swin import (
    VIDEO_SWIN_T,
    PatchMerging,
    VideoSwin,
    pad_to_tubelets,
    stage_grids,
    video_swin_b,
    video_swin_l,
    video_swin_l_384,
    video_swin_s,
    video_swin_t,
)
from vbench_models.attention.shifted_window import ShiftedWindowAttention
from vbench_models.video import Clip, TokenGrid

DEFAULT = Clip(frames=32, height=224, width=224)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(video)
    return int(counter.get_total_flops()) // 2


LARGE = replace(DEFAULT, height=384, width=384)


@pytest.mark.parametrize(
    ("build", "clip", "expected_parameters", "expected_macs"),
    [
        (video_swin_t, DEFAULT, 28_158_070, 87_764_152_320),
        (video_swin_s, DEFAULT, 49_816_678, 165_682_262_016),
        (video_swin_b, DEFAULT, 88_048_984, 281_332_826_112),
        (video_swin_l, DEFAULT, 196_953_916, 603_268_669_440),
        (video_swin_l_384, LARGE, 199_999_516, 2_106_380_083_200),
    ],
    ids=["T", "S", "B", "L", "L-384"],
)
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(
    build: Callable[[Clip], VideoSwin], clip: Clip, expected_parameters: int, expected_macs: int
) -> None:
    with torch.device("meta"):
        model = build(clip)
    assert parameters(model) == expected_parameters
    assert count(model, clip) == expected_macs


def test_multiply_adds_grow_linearly_with_the_clip_on_multiples_of_the_windows() -> None:
    longer = replace(DEFAULT, frames=64)
    larger = replace(DEFAULT, height=448)
    with torch.device("meta"):
        base, twice_as_long, twice_as_high = (count(video_swin_t(c), c) for c in (DEFAULT, longer, larger))
    head = 768 * 400
    assert twice_as_long - head == twice_as_high - head == 2 * (base - head)


def test_grids_round_up_and_keep_time() -> None:
    assert stage_grids(VIDEO_SWIN_T, DEFAULT) == [TokenGrid(16, side, side) for side in (56, 28, 14, 7)]
    assert stage_grids(VIDEO_SWIN_T, Clip(frames=5, height=30, width=18)) == [
        TokenGrid(3, 8, 5),
        TokenGrid(3, 4, 3),
        TokenGrid(3, 2, 2),
        TokenGrid(3, 1, 1),
    ]


def test_every_other_block_is_shifted_unless_its_window_covers_the_grid() -> None:
    with torch.device("meta"):
        model = video_swin_t(DEFAULT)
    shifts = [
        tuple(axis.shift for axis in module.cut)
        for module in model.modules()
        if isinstance(module, ShiftedWindowAttention)
    ]
    assert shifts == [(0, 0, 0), (4, 3, 3)] * 5 + [(0, 0, 0), (4, 0, 0)]


def test_merging_reads_rows_before_columns_and_pads_with_zeros() -> None:
    torch.manual_seed(0)
    merging = PatchMerging(4)
    x = torch.randn(1, 2, 3, 5, 4)
    zero = torch.zeros(1, 2, 4)
    neighbours = torch.cat([x[:, :, 2, 4], zero, zero, zero], dim=-1)
    torch.testing.assert_close(merging(x)[:, :, 1, 2], merging.reduction(merging.norm(neighbours)))
    neighbours = torch.cat([x[:, :, 0, 0], x[:, :, 1, 0], x[:, :, 0, 1], x[:, :, 1, 1]], dim=-1)
    torch.testing.assert_close(merging(x)[:, :, 0, 0], merging.reduction(merging.norm(neighbours)))


def test_a_clip_is_padded_at_its_far_end_only() -> None:
    video = torch.randn(1, 3, 3, 6, 9)
    padded = pad_to_tubelets(video, (2, 4, 4))
    assert padded.shape == (1, 3, 4, 8, 12)
    assert torch.equal(padded[:, :, :3, :6, :9], video)
    assert padded.count_nonzero() == video.count_nonzero()


@pytest.mark.parametrize("size", [(2, 32, 32), (18, 36, 64), (1, 5, 7)])
def test_clips_that_nothing_divides_give_different_logits_for_different_videos(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    frames, height, width = size
    model = video_swin_t(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 400)
    assert logits.isfinite().all()
    assert (logits[0] - logits[1]).abs().max() > 1e-3
