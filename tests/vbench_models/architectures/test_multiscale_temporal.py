"""The multi-scale temporal transformer: its cost by hand, the frames of each stream, and what the fusion takes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.multiscale_temporal import MULTISCALE_TEMPORAL, MultiscaleTemporal, multiscale_temporal
from vbench_models.architectures.timesformer import TIMESFORMER_B, TimeSformer, divided_block
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=32, height=224, width=224)
OTHER = Clip(frames=12, height=112, width=160)

WIDTH, DEPTH, CLASSES = 768, 12, 400
HEAD = WIDTH * CLASSES

TINY = replace(MULTISCALE_TEMPORAL, patch_size=4, embed_dim=12, depth=2, num_heads=3, num_classes=5)
TINY_CLIP = Clip(frames=8, height=8, width=12)


def stream_params(frames: int, places: int) -> int:
    """A block: two attentions of 4 c^2 + 4 c, c^2 + c between them, 8 c^2 + 5 c behind, three norms of 2 c."""
    block = 17 * WIDTH**2 + 20 * WIDTH
    embedding = 3 * 16 * 16 * WIDTH + WIDTH
    places_times_and_class = (1 + places + frames + 1) * WIDTH
    return embedding + places_times_and_class + DEPTH * block + 2 * WIDTH


def stream_macs(frames: int, places: int) -> int:
    """Time sees every patch, space every frame behind a copy of the class token, the MLP every token."""
    patches = frames * places
    time = 5 * patches * WIDTH**2 + 2 * patches * frames * WIDTH
    space = 4 * frames * (places + 1) * WIDTH**2 + 2 * frames * (places + 1) ** 2 * WIDTH
    return patches * 3 * 16 * 16 * WIDTH + DEPTH * (time + space + 8 * (patches + 1) * WIDTH**2)


def params_and_macs(clip: Clip) -> tuple[int, int]:
    with torch.device("meta"):
        model, video = multiscale_temporal(clip).eval(), torch.empty(1, 3, clip.frames, clip.height, clip.width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert model(video).shape == (1, CLASSES)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def tiny() -> MultiscaleTemporal:
    torch.manual_seed(0)
    return MultiscaleTemporal(TINY, TINY_CLIP).eval()


def video() -> Tensor:
    shape = (2, 3, TINY_CLIP.frames, TINY_CLIP.height, TINY_CLIP.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def with_another_frame(frame: int) -> Tensor:
    changed = video()
    changed[:, :, frame] += 1
    return changed


def test_the_closed_forms_give_the_official_timesformer() -> None:
    assert stream_params(8, 14 * 14) + HEAD + CLASSES == 121_566_352
    assert stream_macs(8, 14 * 14) + HEAD == 195_830_280_192


@pytest.mark.parametrize("clip", [DEFAULT, OTHER], ids=["default", "other"])
def test_parameters_and_macs_are_those_of_three_streams_and_a_linear_layer(clip: Clip) -> None:
    places = clip.height // 16 * (clip.width // 16)
    rates = [clip.frames // stride for stride in (4, 2, 1)]
    params, macs = params_and_macs(clip)
    fusion = 3 * WIDTH * WIDTH
    assert params == sum(stream_params(t, places) for t in rates) + fusion + WIDTH + HEAD + CLASSES
    assert macs == sum(stream_macs(t, places) for t in rates) + fusion + HEAD


@torch.no_grad()
@pytest.mark.parametrize("frame", range(TINY_CLIP.frames))
def test_a_stream_sees_the_frames_on_its_stride_and_no_others(frame: int) -> None:
    model = tiny()
    changed = [not torch.equal(stream(video()), stream(with_another_frame(frame))) for stream in model.streams]
    assert changed == [frame % stride == 0 for stride in (4, 2, 1)]


@torch.no_grad()
@pytest.mark.parametrize(("index", "frames"), [(0, [0, 4]), (1, [0, 2, 4, 6]), (2, [0, 1, 2, 3, 4, 5, 6, 7])])
def test_a_stream_is_a_timesformer_on_its_frames(index: int, frames: list[int]) -> None:
    config = replace(TIMESFORMER_B, tubelet_size=(1, 4, 4), embed_dim=12, depth=2, num_heads=3, num_classes=5)
    timesformer = TimeSformer(config, replace(TINY_CLIP, frames=len(frames)), divided_block)
    timesformer.head = nn.Identity()
    stream = tiny().streams[index]
    timesformer.load_state_dict(stream.state_dict())
    torch.testing.assert_close(stream(video()), timesformer(video()[:, :, frames]))


@torch.no_grad()
def test_the_fusion_takes_the_streams_side_by_side() -> None:
    model = tiny()
    assert not torch.equal(model(video()), model(with_another_frame(3)))
    model.fusion.weight[:, 2 * 12 :] = 0  # the columns of the stream at the full rate, alone in seeing frame 3
    assert torch.equal(model(video()), model(with_another_frame(3)))
    assert not torch.equal(model(video()), model(with_another_frame(2)))


def test_frames_that_a_stride_does_not_divide_are_refused() -> None:
    with pytest.raises(UnsupportedClipError, match=r"frames must be a multiple of 4, .* got frames=30"):
        multiscale_temporal(replace(DEFAULT, frames=30))
