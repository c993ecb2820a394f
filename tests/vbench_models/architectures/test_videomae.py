"""VideoMAE: its published sizes, its tube mask, what its encoder sees, and the loss written out."""

from collections.abc import Callable
from dataclasses import replace
from math import cos, sin

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.videomae import (
    VIDEOMAE_B,
    Attention,
    PretrainingConfig,
    VideoMAE,
    VideoMAEPretraining,
    normalised_patches,
    others,
    sinusoids,
    videomae_b,
    videomae_b_pretrain,
    videomae_l,
    videomae_s,
)
from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=16, height=224, width=224)
OTHER = Clip(batch=2, frames=6, height=64, width=96)
SMALL = replace(VIDEOMAE_B, embed_dim=24, depth=2, num_heads=2, num_classes=5)
SMALL_PRETRAINING = PretrainingConfig(encoder=SMALL, decoder_dim=12, decoder_depth=1, decoder_heads=2)


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    further = getattr(model, "further_inputs", lambda _: ())(video)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(video, *further)
    return int(counter.get_total_flops()) // 2


def block_macs(tokens: int, dim: int) -> int:
    """Four projections, a perceptron of ratio 4, and the two products of attention."""
    return 12 * tokens * dim**2 + 2 * tokens**2 * dim


def video_of(clip: Clip) -> Tensor:
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def small_pretraining(clip: Clip) -> VideoMAEPretraining:
    torch.manual_seed(0)
    return VideoMAEPretraining(SMALL_PRETRAINING, clip).eval()


@pytest.mark.parametrize(
    ("build", "expected_parameters", "expected_macs"),
    [
        (videomae_s, 22_033_936, 56_878_061_568),
        (videomae_b, 86_534_800, 180_344_893_440),
        (videomae_l, 304_270_736, 596_833_091_584),
        (videomae_b_pretrain, 94_210_944, 35_439_771_648),
    ],
    ids=["S", "B", "L", "B in pre-training"],
)
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(
    build: Callable[[Clip], nn.Module], expected_parameters: int, expected_macs: int
) -> None:
    with torch.device("meta"):
        model = build(DEFAULT)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected_parameters
    assert count(model, DEFAULT) == expected_macs


@pytest.mark.parametrize("clip", [DEFAULT, OTHER], ids=str)
def test_a_step_of_pre_training_costs_its_visible_tokens_in_the_encoder_and_all_in_the_decoder(clip: Clip) -> None:
    times, places = clip.frames // 2, clip.height // 16 * (clip.width // 16)
    tokens, visible = times * places, times * (places - places * 9 // 10)
    tubelet = 3 * 2 * 16 * 16
    expected = tokens * tubelet * 768 + 12 * block_macs(visible, 768) + visible * 768 * 384
    expected += 4 * block_macs(tokens, 384) + (tokens - visible) * 384 * tubelet
    with torch.device("meta"):
        assert count(videomae_b_pretrain(clip), clip) == clip.batch * expected


def test_a_tube_hides_the_same_nine_tenths_of_every_frame() -> None:
    with torch.device("meta"):
        model = videomae_b_pretrain(DEFAULT)
    torch.manual_seed(0)
    (visible,) = model.further_inputs(torch.empty(3, 3, 16, 224, 224))
    assert visible.shape == (3, 160)
    frames = visible.unflatten(1, (8, 20)) - 196 * torch.arange(8)[:, None]
    assert (frames == frames[:, :1]).all()
    assert ((frames >= 0) & (frames < 196)).all()
    assert all(len(set(clip.tolist())) == 20 for clip in frames[:, 0])
    assert len({tuple(clip.tolist()) for clip in frames[:, 0]}) == 3


def test_a_tube_mask_is_drawn_anew_and_every_place_can_be_seen() -> None:
    model = small_pretraining(OTHER)
    torch.manual_seed(0)
    draws = [model.further_inputs(video_of(OTHER))[0] for _ in range(100)]
    assert set(torch.cat(draws)[:, :3].flatten().tolist()) == set(range(24))


def test_hidden_pixels_do_not_reach_the_encoder() -> None:
    model = small_pretraining(OTHER)
    video = video_of(OTHER)
    (visible,) = model.further_inputs(video)
    patches = video.unflatten(2, (3, 2)).unflatten(4, (4, 16)).unflatten(6, (6, 16))  # b c t dt h dh w dw
    keep = torch.zeros(2, 72).scatter(1, visible, 1).view(2, 1, 3, 1, 4, 1, 6, 1)
    changed = (patches * keep + 7 * (1 - keep)).reshape(video.shape)
    with torch.no_grad():
        before, after = model(video, visible), model(changed, visible)
    torch.testing.assert_close(before.pixels, after.pixels)
    assert (before.loss - after.loss).abs() > 1e-3


def test_the_encoder_alone_is_a_vit_on_the_visible_tokens() -> None:
    model = small_pretraining(OTHER)
    video = video_of(OTHER)
    (visible,) = model.further_inputs(video)
    tokens = model.embedding(video).flatten(1, 3) + model.encoder_positions
    chosen = torch.stack([tokens[clip, visible[clip]] for clip in range(2)])
    torch.testing.assert_close(model.encode(video, visible), model.encoder_norm(model.encoder(chosen)))


def test_the_loss_is_the_mean_squared_error_over_hidden_patches_normalised_one_by_one() -> None:
    model = small_pretraining(OTHER)
    video = 3 * video_of(OTHER) + 2
    (visible,) = model.further_inputs(video)
    with torch.no_grad():
        out = model(video, visible)
    assert out.hidden.shape == (2, 72 - visible.shape[1])
    errors = []
    for clip in range(2):
        for row, place in enumerate(out.hidden[clip].tolist()):
            t, h, w = place // 24, place // 6 % 4, place % 6
            pixels = video[clip, :, 2 * t : 2 * t + 2, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16].flatten(1)
            wanted = ((pixels - pixels.mean(1, keepdim=True)) / pixels.std(1, keepdim=True)).mT.flatten()
            errors.append((out.pixels[clip, row] - wanted) ** 2)
    torch.testing.assert_close(out.loss, torch.stack(errors).mean())


def test_visible_and_hidden_are_all_places() -> None:
    visible = torch.tensor([[0, 3, 4], [5, 1, 2]])
    assert others(visible, 6).tolist() == [[1, 2, 5], [0, 3, 4]]


def test_a_uniform_patch_is_predicted_as_zero() -> None:
    assert (normalised_patches(torch.ones(1, 3, 2, 16, 16), (2, 16, 16), torch.tensor([[0]])) == 0).all()


def test_positions_are_sines_and_cosines_and_no_parameters() -> None:
    table = sinusoids(50, 12)
    for place, channel in ((0, 0), (1, 0), (7, 5), (49, 11), (49, 4)):
        angle = place / 10_000 ** (2 * (channel // 2) / 12)
        assert table[place, channel].item() == pytest.approx(cos(angle) if channel % 2 else sin(angle), abs=1e-6)
    assert not any("positions" in name for name in small_pretraining(OTHER).state_dict())


def test_a_bias_of_the_keys_would_change_nothing() -> None:
    torch.manual_seed(0)
    attention = Attention(AttentionConfig(embed_dim=8, num_heads=2)).double()
    nn.init.normal_(attention.q_bias)
    nn.init.normal_(attention.v_bias)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    bias = torch.cat([attention.q_bias, torch.randn(8, dtype=torch.float64), attention.v_bias])
    q, k, v = (x @ attention.qkv.weight.mT + bias).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    expected = attention.proj(((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), expected)


def test_the_classifier_sees_where_and_when_a_tubelet_is() -> None:
    torch.manual_seed(0)
    clip = Clip(frames=4, height=32, width=32)
    model = VideoMAE(SMALL, clip).double().eval()
    video = video_of(clip).double()
    logits = model(video)
    assert (model(video.flip(2)) - logits).abs().max() > 1e-3
    swapped = torch.cat((video[:, :, 2:], video[:, :, :2]), dim=2)  # tubelets unchanged, their order is not
    assert (model(swapped) - logits).abs().max() > 1e-4
    model.positions.zero_()
    torch.testing.assert_close(model(swapped), model(video))


def test_a_clip_that_tubelets_do_not_tile_or_of_one_patch_a_frame_is_refused() -> None:
    with pytest.raises(UnsupportedClipError, match="frames must be a multiple of 2"):
        videomae_b(Clip(frames=5, height=32, width=32))
    with pytest.raises(UnsupportedClipError, match="got 1 x 1 patches a frame"):
        videomae_b_pretrain(Clip(frames=4, height=16, width=16))


def test_a_step_trains_every_parameter_in_half_precision() -> None:
    model = small_pretraining(OTHER).to(torch.bfloat16)
    video = video_of(OTHER).to(torch.bfloat16)
    out = model(video, *model.further_inputs(video))
    assert out.pixels.dtype == torch.bfloat16
    out.loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
