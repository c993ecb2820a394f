"""Segmentation models of ours: a mask of every frame's size, time that matters, motion that is a change."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from vbench_models.architectures.segment_dual_branch import changes, segment_dual_branch
from vbench_models.architectures.segment_encoder_decoder import SEGMENTER, segment_encoder_decoder
from vbench_models.layers.upsampling import Decoder
from vbench_models.video import Clip, UnsupportedClipError

DAVIS = Clip(frames=5, height=480, width=854)
ODD = Clip(frames=3, height=35, width=51)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise(clip: Clip) -> Tensor:
    return torch.randn(1, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(0))


def double_conv(channels: int, out: int) -> int:
    """Two 3 x 3 convolutions without bias, two norms."""
    return 9 * channels * out + 9 * out * out + 2 * 2 * out


def test_a_unet_of_halved_width_and_four_blocks_at_its_bottom() -> None:
    with torch.device("meta"):
        model = segment_encoder_decoder(DAVIS)
    widths = SEGMENTER.widths
    down = sum(double_conv(a, b) for a, b in zip((3, *widths), widths, strict=False))
    up = sum(double_conv(a + b, b) for b, a in itertools.pairwise(widths))
    c = widths[-1]
    block = 2 * 2 * c + 4 * (c * c + c) + 8 * c * c + 5 * c
    assert parameters(model) == down + up + 4 * block + DAVIS.frames * c + widths[0] + 1


@pytest.mark.parametrize("build", [segment_encoder_decoder, segment_dual_branch])
def test_masks_have_the_frame_s_size_at_sizes_that_nothing_divides(build: object) -> None:
    model = build(ODD).eval()  # type: ignore[operator]
    with torch.no_grad():
        assert model(noise(ODD)).logits.shape == (1, 3, 35, 51)


def test_the_real_size_runs_without_data() -> None:
    for build in (segment_encoder_decoder, segment_dual_branch):
        with torch.device("meta"):
            model = build(DAVIS).eval()
        video = torch.empty(1, 3, DAVIS.frames, DAVIS.height, DAVIS.width, device="meta")
        with torch.no_grad():
            assert model(video).logits.shape == (1, 5, 480, 854)


def test_other_frames_reach_a_frame_s_mask_over_time_alone() -> None:
    torch.manual_seed(0)
    model = segment_encoder_decoder(ODD).eval()
    video = noise(ODD)
    other = video.clone()
    other[:, :, 2] += 1.0
    with torch.no_grad():
        before, after = model(video).logits, model(other).logits
        assert not torch.equal(before[:, 0], after[:, 0])
        model.over_time = nn.Identity()
        before, after = model(video).logits, model(other).logits
    torch.testing.assert_close(before[:, 0], after[:, 0])


def test_a_change_is_a_difference_and_the_first_repeats_the_second() -> None:
    video = torch.arange(4.0).square().view(1, 1, 4, 1, 1)
    assert changes(video).flatten().tolist() == [1.0, 1.0, 3.0, 5.0]


def test_a_static_clip_leaves_the_motion_branch_without_a_signal() -> None:
    torch.manual_seed(0)
    model = segment_dual_branch(ODD).eval()
    seen: list[Tensor] = []
    model.motion.stem.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(noise(ODD)[:, :, :1].expand(-1, -1, 3, -1, -1))
    assert seen[0].count_nonzero() == 0


def test_motion_gates_appearance() -> None:
    torch.manual_seed(0)
    model = segment_dual_branch(ODD).eval()
    gate = model.gates[0]
    appearance = torch.randn(1, 256, 2, 2)
    with torch.no_grad():
        nn.init.zeros_(gate.gate.weight)
        nn.init.constant_(gate.gate.bias, 30.0)  # a sigmoid of one: twice the appearance
        torch.testing.assert_close(gate(appearance, torch.randn(1, 256, 2, 2)), gate.narrow(2 * appearance))


def test_a_single_frame_has_no_motion() -> None:
    with pytest.raises(UnsupportedClipError, match="at least 2"):
        segment_dual_branch(Clip(frames=1, height=64, width=64))


def test_a_frame_smaller_than_the_coarsest_position_is_refused() -> None:
    with pytest.raises(UnsupportedClipError, match="at least 16"):
        segment_encoder_decoder(Clip(frames=2, height=8, width=64))


def test_a_decoder_s_output_has_the_size_of_its_finest_level() -> None:
    decoder = Decoder(8, (4, 2)).eval()
    levels = (torch.randn(1, 4, 5, 7), torch.randn(1, 2, 11, 13))
    assert decoder(torch.randn(1, 8, 3, 4), levels).shape == (1, 1, 11, 13)
