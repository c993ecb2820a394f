"""SlowFast: its published sizes, what each pathway sees, and how they meet."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures import slowfast
from vbench_models.architectures.slowfast import (
    SLOWFAST_R50_8X8,
    SLOWFAST_R101,
    SLOWFAST_R101_NL,
    SlowFast,
    SlowFastConfig,
    evenly_spread,
)
from vbench_models.layers.nonlocal_block import DotProductNonLocal
from vbench_models.layers.resnet3d import Bottleneck
from vbench_models.video import Clip, UnsupportedClipError

Builder = Callable[[Clip], SlowFast]

SMALL = SlowFastConfig(
    stem_channels=16, beta_inverse=4, slow_kernels=((1,), (1,), (3,), (3,)), fast_kernels=((3,),) * 4, num_classes=5
)
SMALL_CLIP = Clip(frames=8, height=36, width=40)

# From PySlowFast 287ec00 itself, at the crop of its training; at 256 its head classifies four positions instead of one.
COUNTED = [
    ("slowfast_r50_4x16", 32, 34_480_216, {224: 27_638_665_216, 256: 36_101_963_776}),
    ("slowfast_r50_8x8", 32, 34_566_488, {224: 50_308_583_424, 256: 65_711_652_864}),
    ("slowfast_r101_8x8", 32, 53_774_808, {224: 81_547_759_616, 256: 106_513_842_176}),
    ("slowfast_r101_16x8", 64, 53_774_808, {224: 163_094_597_632, 256: 213_023_997_952}),
    ("slowfast_r101_16x8_nl", 64, 60_080_088, {224: 182_978_744_320, 256: 242_015_027_200}),
]
CLASSIFIER = (2048 + 256) * 400


def meta_model(builder: Builder, clip: Clip) -> SlowFast:
    with torch.device("meta"):
        return builder(clip).eval()


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video)
    return int(counter.get_total_flops()) // 2


def seen_by(module: nn.Module, model: nn.Module, video: Tensor) -> tuple[Any, ...]:
    """The inputs of `module` when `model` is given `video`."""
    seen: list[tuple[Any, ...]] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        model(video)
    handle.remove()
    return seen[0]


def noisy(config: SlowFastConfig, clip: Clip) -> SlowFast:
    torch.manual_seed(0)
    return SlowFast(config, clip).double().eval()


@pytest.mark.parametrize(("name", "frames", "parameters", "macs"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(
    name: str, frames: int, parameters: int, macs: dict[int, int]
) -> None:
    training, testing = (Clip(frames=frames, height=side, width=side) for side in (224, 256))
    model = meta_model(getattr(slowfast, name), training)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert count(model, training) == macs[224]
    assert count(model, testing) == macs[256] - 3 * CLASSIFIER


def test_twice_the_frames_cost_twice_as_much_but_for_the_classifier() -> None:
    shorter, longer = (Clip(frames=frames, height=96, width=64) for frames in (32, 64))
    costs = [count(meta_model(slowfast.slowfast_r101_8x8, clip), clip) - CLASSIFIER for clip in (shorter, longer)]
    assert costs[1] == 2 * costs[0]


def test_all_blocks_over_time_make_the_larger_network_of_pytorchvideo() -> None:
    spans = tuple((3,) * depth for depth in (3, 4, 23, 3))
    all_blocks = replace(SLOWFAST_R101, slow_kernels=((1,) * 3, (1,) * 4, *spans[2:]), fast_kernels=spans)
    model = meta_model(lambda clip: SlowFast(all_blocks, clip), Clip(frames=32, height=256, width=256))
    assert sum(parameter.numel() for parameter in model.parameters()) == 62_826_968


def test_the_slow_pathway_sees_frames_spread_from_the_first_to_the_last() -> None:
    assert evenly_spread(32, 4) == [0, 10, 20, 31]  # 31 i / 3, rounded down
    assert evenly_spread(32, 8) == [0, 4, 8, 13, 17, 22, 26, 31]
    assert evenly_spread(4, 1) == [0]
    model, video = noisy(SMALL, replace(SMALL_CLIP, frames=32)), torch.randn(1, 3, 32, 36, 40).double()
    (seen,) = seen_by(model.slow_stem, model, video)
    assert torch.equal(seen, video[:, :, [0, 4, 8, 13, 17, 22, 26, 31]])


def test_neither_pathway_strides_time_and_the_fast_one_has_an_eighth_of_the_channels() -> None:
    clip = Clip(frames=24, height=160, width=96)
    model = meta_model(slowfast.slowfast_r50_8x8, clip)
    slow, fast = seen_by(model.head, model, torch.empty(1, 3, 24, 160, 96, device="meta"))
    assert slow.shape == (1, 2048, 6, 5, 3)
    assert fast.shape == (1, 256, 24, 5, 3)


@pytest.mark.parametrize("pathway", ["slow", "fast"])
def test_of_the_third_stage_of_101_layers_only_six_blocks_span_time(pathway: str) -> None:
    model = meta_model(slowfast.slowfast_r101_8x8, Clip(frames=32, height=64, width=64))
    blocks = [block for block in model.get_submodule(f"{pathway}_stages.2") if isinstance(block, Bottleneck)]
    assert [block.narrow.get_parameter("0.weight").shape[2] for block in blocks] == [3] * 6 + [1] * 17


def test_frames_that_the_slow_pathway_does_not_see_reach_it_through_the_laterals_alone() -> None:
    model, video = noisy(SMALL, SMALL_CLIP), torch.randn(1, 3, 8, 36, 40).double()
    changed = video.clone()
    changed[:, :, 3] += 1  # of 8 frames, 0 and 7 are seen
    before, after = (seen_by(model.head, model, x) for x in (video, changed))
    assert all((a - b).abs().max() > 1e-6 for a, b in zip(before, after, strict=True))
    for lateral in model.laterals:
        nn.init.zeros_(lateral.get_parameter("conv.1.weight"))
    before, after = (seen_by(model.head, model, x) for x in (video, changed))
    assert torch.equal(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-6


def test_the_fast_pathway_hears_nothing_from_the_slow_one() -> None:
    model, video = noisy(SMALL, SMALL_CLIP), torch.randn(1, 3, 8, 36, 40).double()
    _, before = seen_by(model.head, model, video)
    nn.init.zeros_(model.slow_stem.get_parameter("conv.0.weight"))
    _, after = seen_by(model.head, model, video)
    assert torch.equal(before, after)


def test_non_local_blocks_stand_behind_the_seventh_fourteenth_and_twenty_first_block_of_the_slow_third_stage() -> None:
    model = meta_model(slowfast.slowfast_r101_16x8_nl, Clip(frames=64, height=64, width=64))
    found = [name for name, module in model.named_modules() if isinstance(module, DotProductNonLocal)]
    assert found == [f"slow_stages.2.{place}" for place in (7, 15, 23)]  # each moves the later ones by one


def test_new_non_local_blocks_change_nothing() -> None:
    with_blocks = noisy(replace(SMALL, nonlocal_after=((), (0,), (0,), ())), SMALL_CLIP)
    without = noisy(SMALL, SMALL_CLIP)
    shared = {name: tensor for name, tensor in with_blocks.state_dict().items() if name in without.state_dict()}
    without.load_state_dict(shared, strict=True)
    video = torch.randn(2, 3, 8, 36, 40).double()
    with torch.no_grad():
        torch.testing.assert_close(with_blocks(video), without(video))


@pytest.mark.parametrize(("frames", "nearest"), [(30, "28, 32"), (3, "4")])
def test_frames_on_which_the_pathways_do_not_meet_are_refused(frames: int, nearest: str) -> None:
    with pytest.raises(UnsupportedClipError, match=rf"multiple of 4.*got frames={frames}, nearest: {nearest}$"):
        SlowFast(SLOWFAST_R50_8X8, Clip(frames=frames, height=224, width=224))


def test_a_size_that_the_non_local_pool_would_empty_is_refused_and_the_next_is_taken() -> None:
    with pytest.raises(UnsupportedClipError, match=r"at least 17.*got height=17, width=16"):
        SlowFast(SLOWFAST_R101_NL, Clip(frames=4, height=17, width=16))
    clip = Clip(frames=4, height=17, width=17)
    assert count(meta_model(slowfast.slowfast_r101_16x8_nl, clip), clip) > 0


@pytest.mark.parametrize("size", [(4, 1, 1), (12, 30, 49)])
def test_any_size_gives_different_logits_for_different_videos(size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = noisy(SMALL, Clip(frames=frames, height=height, width=width))
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size).double())
    assert logits.shape == (2, 5)
    assert (logits[0] - logits[1]).abs().max() > 1e-6
