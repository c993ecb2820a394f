"""The audio-visual transformer: the official code's counts, and that only the bottleneck joins the two streams."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.audio_visual import AUDIO_VISUAL_B, AudioVisual, Fusion, audio_visual
from vbench_models.video import Clip, UnsupportedClipError

TINY = replace(AUDIO_VISUAL_B, embed_dim=24, depth=3, fusion_layer=1, num_heads=3)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(
    ("clip", "parameters", "macs"),
    [
        (Clip(frames=32, height=224, width=224), 174_910_864, 489_184_260_096),
        (Clip(frames=4, height=32, width=48), 172_511_632, 38_627_684_352),
    ],
    ids=str,
)
def test_parameters_and_macs_equal_those_of_the_official_code(clip: Clip, parameters: int, macs: int) -> None:
    video = torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = audio_visual(clip)
        assert model(video, *model.further_inputs(video)).shape == (1, 400)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert counter.get_total_flops() // 2 == macs


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_sound_is_eight_seconds_whatever_the_clip(dtype: torch.dtype) -> None:
    clip = Clip(batch=2, frames=2, height=16, width=16)
    torch.manual_seed(0)
    model, video = AudioVisual(TINY, clip).to(dtype), noise(2, 3, 2, 16, 16).to(dtype)
    (spectrogram,) = model.further_inputs(video)
    assert spectrogram.shape == (2, 3, 800, 128)
    assert spectrogram.dtype == dtype
    with torch.no_grad():
        assert model(video, spectrogram).isfinite().all()


def test_one_layer_of_fusion_tells_the_bottleneck_and_two_tell_the_other_stream() -> None:
    torch.manual_seed(0)
    layers = [Fusion(TINY), Fusion(TINY)]
    video, audio, bottleneck = (noise(1, n, 24).requires_grad_() for n in (6, 5, 4))
    once = layers[0](video, audio, bottleneck)
    seen_by_video, seen_by_bottleneck = (
        torch.autograd.grad(x.square().sum(), audio, retain_graph=True, allow_unused=True)[0]
        for x in (once[0], once[2])
    )
    assert seen_by_video is None
    assert (seen_by_bottleneck.abs().amax(-1) > 0).all()
    twice = layers[1](*once)
    for update, other in ((twice[0], audio), (twice[1], video)):
        (seen,) = torch.autograd.grad(update.square().sum(), other, retain_graph=True)
        assert (seen.abs().amax(-1) > 0).all()


def test_fusion_treats_both_streams_alike() -> None:
    torch.manual_seed(0)
    fusion, video, audio, bottleneck = Fusion(TINY), noise(1, 6, 24), noise(1, 5, 24), noise(1, 4, 24)
    swapped = Fusion(TINY)
    swapped.video, swapped.audio = fusion.audio, fusion.video
    one, other = fusion(video, audio, bottleneck), swapped(audio, video, bottleneck)
    torch.testing.assert_close((other[1], other[0], other[2]), one)


def test_a_stream_attends_to_itself_and_the_bottleneck_at_once() -> None:
    torch.manual_seed(0)
    fusion, video, audio, bottleneck = Fusion(TINY), noise(2, 6, 24), noise(2, 5, 24), noise(2, 4, 24)
    together = fusion.video(torch.cat((video, bottleneck), dim=1))
    heard = fusion.audio(torch.cat((audio, bottleneck), dim=1))[:, 5:]
    seen, _, mean = fusion(video, audio, bottleneck)
    torch.testing.assert_close(seen, together[:, :6])
    torch.testing.assert_close(mean, torch.stack((together[:, 6:], heard)).mean(0))


def test_both_sight_and_sound_reach_the_logits() -> None:
    torch.manual_seed(0)
    model = AudioVisual(TINY, Clip(frames=4, height=32, width=16)).eval()
    video, sound = noise(2, 3, 4, 32, 16).requires_grad_(), noise(2, 3, 800, 128).requires_grad_()
    logits = model(video, sound)
    for given, gradient in zip(
        (video, sound), torch.autograd.grad(logits[0].square().sum(), (video, sound)), strict=True
    ):
        assert gradient.shape == given.shape
        assert (gradient[0].abs().amax(0) > 0).all()
        assert not gradient[1].any()


def test_an_odd_number_of_frames_is_refused() -> None:
    message = r"^frames must be a multiple of 2, the tubelet's; got frames=7, nearest: 6, 8$"
    with pytest.raises(UnsupportedClipError, match=message):
        audio_visual(Clip(frames=7, height=224, width=224))
