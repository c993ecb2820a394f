from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.vivit import (
    VIVIT_B_16X2_FE,
    VIVIT_L_16X2_FE,
    FactorisedEncoderViViT,
    GridViViT,
    ViViT,
    factorised_dot_product_blocks,
    factorised_self_attention_blocks,
    vivit_b_16x2,
    vivit_b_16x2_fdp,
    vivit_b_16x2_fe,
    vivit_b_16x2_fsa,
    vivit_h_14x2,
    vivit_l_16x2,
    vivit_l_16x2_fe,
)
from vbench_models.video import Clip, UnsupportedClipError

BUILDERS = [vivit_b_16x2, vivit_b_16x2_fe, vivit_b_16x2_fsa, vivit_b_16x2_fdp]
CLIP = Clip(frames=32, height=224, width=224)
TINY = replace(VIVIT_B_16X2_FE, embed_dim=24, depth=2, num_heads=4, temporal_depth=1, num_classes=5)
SMALL = [
    partial(ViViT, TINY),
    partial(FactorisedEncoderViViT, TINY),
    lambda clip: GridViViT(TINY, clip, factorised_self_attention_blocks(TINY)),
    lambda clip: GridViViT(TINY, clip, factorised_dot_product_blocks(TINY)),
]

every_model = pytest.mark.parametrize("build", BUILDERS)


def params_and_macs(build: Callable[[Clip], nn.Module], clip: Clip) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(clip)
        assert model(torch.empty(1, 3, clip.frames, clip.height, clip.width)).shape == (1, 400)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def test_model_1_has_the_official_parameters_and_macs() -> None:
    assert params_and_macs(vivit_b_16x2, CLIP) == (88_954_000, 451_524_753_408)


@pytest.mark.parametrize(
    ("build", "params", "giga_macs"),
    [
        (vivit_b_16x2_fe, 115_062_928, 283.342),
        (vivit_b_16x2_fsa, 117_319_312, 371.094),
        (vivit_b_16x2_fdp, 88_952_464, 276.182),
    ],
)
def test_the_other_models_have_the_official_parameters_and_macs(
    build: Callable[[Clip], nn.Module], params: int, giga_macs: float
) -> None:
    counted, macs = params_and_macs(build, CLIP)
    assert (counted, round(macs / 1e9, 3)) == (params, giga_macs)


@pytest.mark.parametrize(
    ("build", "params", "macs"),
    [
        (vivit_b_16x2, 89_310_352, 549_108_185_088),
        (vivit_b_16x2_fe, 115_033_744, 322_848_294_912),
        (vivit_b_16x2_fsa, 117_675_664, 423_479_193_600),
        (vivit_b_16x2_fdp, 89_308_816, 315_784_704_000),
    ],
)
def test_a_longer_and_oblong_clip_has_the_parameters_and_macs_of_the_official_jaxpr(
    build: Callable[[Clip], nn.Module], params: int, macs: int
) -> None:
    assert params_and_macs(build, Clip(frames=48, height=160, width=240)) == (params, macs)


@pytest.mark.parametrize(
    ("build", "frames", "size", "params", "giga_macs"),
    [
        (vivit_l_16x2, 32, 224, 307_508_624, 1435.969),
        (vivit_l_16x2, 32, 288, 309_605_776, 2895.385),
        (vivit_l_16x2, 32, 320, 310_850_960, 3956.999),
        (vivit_l_16x2_fe, 32, 224, 354_903_440, 988.184),
        (vivit_l_16x2_fe, 128, 224, 354_952_592, 3952.608),
        (vivit_h_14x2, 32, 224, 636_945_040, 3958.836),
    ],
)
def test_the_larger_models_have_the_official_parameters_and_macs(
    build: Callable[[Clip], nn.Module], frames: int, size: int, params: int, giga_macs: float
) -> None:
    counted, macs = params_and_macs(build, Clip(frames=frames, height=size, width=size))
    assert (counted, round(macs / 1e9, 3)) == (params, giga_macs)


def test_the_released_kinetics_configuration_of_the_large_factorised_encoder_is_one_replace_away() -> None:
    released = replace(VIVIT_L_16X2_FE, temporal_depth=24)
    assert params_and_macs(lambda clip: FactorisedEncoderViViT(released, clip), CLIP)[0] == 606_827_920


@pytest.mark.parametrize("build", SMALL)
@pytest.mark.parametrize("size", [(2, 32, 32), (4, 16, 48), (6, 48, 16)])
def test_clips_of_several_sizes_run(build: Callable[[Clip], nn.Module], size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = build(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


def test_a_clip_that_patches_of_14_do_not_tile_is_refused_by_the_huge_model() -> None:
    message = r"^height must be a multiple of 14, the tubelet's; got height=256, nearest: 252, 266$"
    with pytest.raises(UnsupportedClipError, match=message):
        vivit_h_14x2(Clip(frames=32, height=256, width=224))


@every_model
def test_an_odd_number_of_frames_is_refused(build: Callable[[Clip], nn.Module]) -> None:
    message = r"^frames must be a multiple of 2, the tubelet's; got frames=7, nearest: 6, 8$"
    with torch.device("meta"), pytest.raises(UnsupportedClipError, match=message):
        build(Clip(frames=7, height=224, width=224))


def test_the_first_encoder_of_model_2_sees_one_time_step_at_a_time() -> None:
    model = FactorisedEncoderViViT(TINY, Clip(frames=4, height=32, width=32))
    gathered = []
    model.space_encoder.register_forward_hook(lambda _module, _inputs, output: gathered.append(output))
    video = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    other = video.clone()
    other[:, :, 2:] += 1
    model(video)
    model(other)
    assert torch.equal(gathered[0][0], gathered[1][0])
    assert not torch.allclose(gathered[0][1], gathered[1][1])
