from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.vivit import (
    VIVIT_B_16X2,
    VIVIT_B_16X2_FE,
    FactorisedEncoderViViT,
    ViViT,
    vivit_b_16x2,
    vivit_b_16x2_fdp,
    vivit_b_16x2_fe,
    vivit_b_16x2_fsa,
)
from vbench_models.video import Clip, UnsupportedClipError

BUILDERS = [vivit_b_16x2, vivit_b_16x2_fe, vivit_b_16x2_fsa, vivit_b_16x2_fdp]
CLIP = Clip(frames=32, height=224, width=224)

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
    ("size", "params", "giga_macs"),
    [(224, 307_508_624, 1435.969), (320, 310_850_960, 3956.999)],
)
def test_the_large_model_is_one_replace_away(size: int, params: int, giga_macs: float) -> None:
    large = replace(VIVIT_B_16X2, embed_dim=1024, depth=24, num_heads=16)
    counted, macs = params_and_macs(lambda clip: ViViT(large, clip), Clip(frames=32, height=size, width=size))
    assert (counted, round(macs / 1e9, 3)) == (params, giga_macs)


@pytest.mark.parametrize(("temporal_depth", "params"), [(4, 354_903_440), (24, 606_827_920)])
def test_the_large_factorised_encoder_is_one_replace_away(temporal_depth: int, params: int) -> None:
    large = replace(VIVIT_B_16X2_FE, embed_dim=1024, depth=24, num_heads=16, temporal_depth=temporal_depth)
    assert params_and_macs(lambda clip: FactorisedEncoderViViT(large, clip), CLIP)[0] == params


@every_model
@pytest.mark.parametrize("size", [(2, 32, 32), (4, 16, 48), (6, 48, 16)])
def test_clips_of_several_sizes_run(build: Callable[[Clip], nn.Module], size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = build(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 400)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


@every_model
def test_an_odd_number_of_frames_is_refused(build: Callable[[Clip], nn.Module]) -> None:
    message = r"^frames must be a multiple of 2, the tubelet's; got frames=7, nearest: 6, 8$"
    with pytest.raises(UnsupportedClipError, match=message):
        build(Clip(frames=7, height=224, width=224))


def test_the_first_encoder_of_model_2_sees_one_time_step_at_a_time() -> None:
    tiny = replace(VIVIT_B_16X2_FE, embed_dim=24, depth=2, num_heads=3, temporal_depth=1)
    model = FactorisedEncoderViViT(tiny, Clip(frames=4, height=32, width=32))
    gathered = []
    model.space_encoder.register_forward_hook(lambda _module, _inputs, output: gathered.append(output))
    video = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    other = video.clone()
    other[:, :, 2:] += 1
    model(video)
    model(other)
    assert torch.equal(gathered[0][0], gathered[1][0])
    assert not torch.allclose(gathered[0][1], gathered[1][1])
