"""The two teaching models: parameters of the sketches that they stand for, MACs by hand, and what their order means."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.plain_divided import PLAIN_DIVIDED, PlainDivided, plain_divided
from vbench_models.architectures.plain_factorized import PLAIN_FACTORIZED, PlainFactorized, plain_factorized
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT, OTHER = Clip(frames=8, height=224, width=224), Clip(frames=5, height=48, width=32)
C = 768
ATTENTION, MLP, NORM = 4 * C * C + 4 * C, 8 * C * C + 5 * C, 2 * C
Build = Callable[[Clip], nn.Module]
both = pytest.mark.parametrize("build", [plain_divided, plain_factorized])


def count(build: Build, clip: Clip) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(clip)
        assert model(torch.empty(1, 3, clip.frames, clip.height, clip.width)).shape == (1, 400)
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2


def test_the_divided_one_has_the_sketch_s_parameters_but_for_its_class_token() -> None:
    outside = (768 * C + C) + (196 + 8) * C + NORM + (C * 400 + 400)
    assert count(plain_divided, DEFAULT)[0] == 114_478_480 - C == 12 * (2 * ATTENTION + MLP + 3 * NORM) + outside


def test_the_factorised_one_has_the_sketch_s_parameters() -> None:
    outside = (768 * C + C) + (1 + 197 + 8) * C + 2 * NORM + (C * 400 + 400)
    assert count(plain_factorized, DEFAULT)[0] == 114_465_424 == (12 + 4) * (ATTENTION + MLP + 2 * NORM) + outside


@pytest.mark.parametrize("clip", [DEFAULT, OTHER], ids=str)
def test_macs_of_the_divided_one(clip: Clip) -> None:
    t, hw = clip.frames, clip.height * clip.width // 256
    block = 16 * t * hw * C**2 + 2 * t * hw * (t + hw) * C
    assert count(plain_divided, clip)[1] == t * hw * 768 * C + 12 * block + 400 * C


@pytest.mark.parametrize("clip", [DEFAULT, OTHER], ids=str)
def test_macs_of_the_factorised_one(clip: Clip) -> None:
    t, hw = clip.frames, clip.height * clip.width // 256
    within, between = (12 * n * C**2 + 2 * n**2 * C for n in (1 + hw, t))
    assert count(plain_factorized, clip)[1] == t * hw * 768 * C + 12 * t * within + 4 * between + 400 * C


def tiny_divided(clip: Clip) -> PlainDivided:
    torch.manual_seed(0)
    return PlainDivided(replace(PLAIN_DIVIDED, embed_dim=24, depth=2, num_heads=3), clip).eval()


def tiny_factorized(clip: Clip) -> PlainFactorized:
    torch.manual_seed(0)
    config = replace(PLAIN_FACTORIZED, embed_dim=24, depth=2, temporal_depth=2, num_heads=3)
    return PlainFactorized(config, clip).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("build", [tiny_divided, tiny_factorized])
@torch.no_grad()
def test_the_order_of_frames_is_known_by_their_positions_alone(build: Build) -> None:
    model, video = build(Clip(frames=5, height=32, width=48)), noise(1, 3, 5, 32, 48)
    model.times.normal_()
    assert not torch.allclose(model(video), model(video.flip(2)), atol=1e-3)
    model.times.zero_()
    torch.testing.assert_close(model(video.flip(2)), model(video))


@pytest.mark.parametrize("build", [tiny_divided, tiny_factorized])
def test_every_pixel_reaches_the_logits(build: Build) -> None:
    model, video = build(Clip(frames=3, height=32, width=32)), noise(1, 3, 3, 32, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(model(video).square().sum(), video)
    assert (gradient.abs().amax(1) > 0).all()


def test_a_divided_block_looks_along_time_before_it_looks_around() -> None:
    model = tiny_divided(Clip(frames=3, height=32, width=32))
    block, x = model.blocks[0].double(), noise(1, 3, 2, 2, 24).double()
    others = x.clone()
    others[:, :, 0, 0] += 1  # one place in every frame
    after_time = x + block.time_attention(block.time_norm(x))
    changed = (others + block.time_attention(block.time_norm(others)) - after_time).abs().amax((0, 4)) > 1e-9
    assert changed.tolist() == [[[True, False], [False, False]]] * 3
    expected = after_time + block.space_attention(block.space_norm(after_time))
    torch.testing.assert_close(block(x), expected + block.mlp(block.mlp_norm(expected)))


def test_the_first_blocks_of_the_factorised_one_see_one_frame_at_a_time() -> None:
    model, video = tiny_factorized(Clip(frames=4, height=32, width=32)), noise(1, 3, 4, 32, 32)
    frames: list[Tensor] = []
    model.space_norm.register_forward_hook(lambda _module, _inputs, output: frames.append(output))
    other = video.clone()
    other[:, :, 2] += 1
    with torch.no_grad():
        model(video)
        model(other)
    assert [torch.allclose(one, two) for one, two in zip(*frames, strict=True)] == [True, True, False, True]


@both
def test_patches_that_do_not_tile_the_clip_are_refused(build: Build) -> None:
    message = r"^height must be a multiple of 16, the tubelet's; got height=40, nearest: 32, 48$"
    with pytest.raises(UnsupportedClipError, match=message):
        build(Clip(frames=3, height=40, width=48))
