from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.timesformer import (
    TIMESFORMER_B,
    DividedBlock,
    SpaceTimeSformer,
    TimeSformer,
    timesformer_b,
    timesformer_b_joint,
    timesformer_b_space,
)
from vbench_models.video import Clip, UnsupportedClipError

BUILDERS = [timesformer_b, timesformer_b_joint, timesformer_b_space]
TINY = replace(TIMESFORMER_B, embed_dim=24, depth=2, num_heads=3, num_classes=5)

every_scheme = pytest.mark.parametrize("build", BUILDERS)


def params_and_macs(build: Callable[[Clip], nn.Module], frames: int) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(Clip(frames=frames, height=224, width=224))
        assert model(torch.empty(1, 3, frames, 224, 224)).shape == (1, 400)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def test_divided_has_the_official_parameters_and_macs() -> None:
    assert params_and_macs(timesformer_b, 8) == (121_566_352, 195_830_280_192)


@pytest.mark.parametrize(
    ("build", "params", "giga_macs"),
    [(timesformer_b_space, 86_106_256, 140.505), (timesformer_b_joint, 86_112_400, 179.563)],
)
def test_the_other_schemes_have_the_official_parameters_and_macs(
    build: Callable[[Clip], nn.Module], params: int, giga_macs: float
) -> None:
    counted, macs = params_and_macs(build, 8)
    assert (counted, round(macs / 1e9, 3)) == (params, giga_macs)


@pytest.mark.parametrize(("build", "giga_macs"), [(timesformer_b, 785.9), (timesformer_b_joint, 1261.8)])
def test_at_32_frames_the_official_macs_remain(build: Callable[[Clip], nn.Module], giga_macs: float) -> None:
    assert round(params_and_macs(build, 32)[1] / 1e9, 1) == giga_macs


@every_scheme
@pytest.mark.parametrize("size", [(2, 32, 32), (1, 16, 48), (3, 48, 16)])
def test_clips_of_several_sizes_run(build: Callable[[Clip], nn.Module], size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = build(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 400)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


@every_scheme
def test_a_clip_that_the_patches_do_not_tile_is_refused(build: Callable[[Clip], nn.Module]) -> None:
    message = r"^width must be a multiple of 16, the tubelet's; got width=230, nearest: 224, 240$"
    with pytest.raises(UnsupportedClipError, match=message):
        build(Clip(frames=8, height=224, width=230))


def shuffled_and_not(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Logits of a clip with its frames reversed, and as it is."""
    video = torch.randn(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        return model.double()(video.flip(2)), model(video)


def test_space_only_does_not_see_the_order_of_the_frames() -> None:
    torch.testing.assert_close(*shuffled_and_not(SpaceTimeSformer(TINY, Clip(frames=3, height=32, width=32))))


def test_divided_sees_the_order_of_the_frames_only_by_its_table_of_times() -> None:
    model = TimeSformer(TINY, Clip(frames=3, height=32, width=32))
    assert not torch.allclose(*shuffled_and_not(model))
    nn.init.zeros_(model.tokens.times)
    torch.testing.assert_close(*shuffled_and_not(model))


def test_attention_over_time_does_not_touch_the_class_token() -> None:
    """Over one frame, a change of the class token reaches the patches through space alone."""
    block = DividedBlock(TINY, num_frames=1)
    for parameter in block.space_attention.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 0] += 1
    assert torch.equal(block(x)[:, 1:], block(other)[:, 1:])
    assert not torch.allclose(block(x)[:, 0], block(other)[:, 0])
