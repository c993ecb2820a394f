"""VideoMamba: its parameters, the published figures out of its modules, the full count, what its class token sees."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.videomamba import (
    VIDEOMAMBA_TI,
    VideoMamba,
    videomamba_m,
    videomamba_s,
    videomamba_ti,
)
from vbench_models.layers.mamba import BidirectionalMamba, MambaConfig
from vbench_models.layers.scan import scan_macs
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=8, height=224, width=224)
SIZES = [(videomamba_ti, 192, 24), (videomamba_s, 384, 24), (videomamba_m, 576, 32)]
Build = Callable[[Clip], VideoMamba]


def build_on_meta(build: Build, clip: Clip) -> VideoMamba:
    with torch.device("meta"):
        return build(clip).eval()


def video_of(clip: Clip) -> Tensor:
    return torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")


def count(model: nn.Module, clip: Clip) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video_of(clip))
    return int(counter.get_total_flops()) // 2


def published_figure(model: VideoMamba, clip: Clip) -> int:
    """What the authors' counter saw: projections in and out, patch embedding, five for each element of a norm."""
    seen = 0

    def add(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal seen
        weights = 5 if isinstance(module, nn.RMSNorm) else module.weight[0].numel()
        seen += weights * output.numel()

    for name, module in model.named_modules():
        if isinstance(module, nn.RMSNorm | nn.Conv3d) or name.endswith(("mamba.proj_in", "mamba.proj")):
            module.register_forward_hook(add)
    with torch.no_grad():
        model(video_of(clip))
    return seen


@pytest.mark.parametrize(
    ("build", "parameters", "macs_without_scans"),
    [
        (videomamba_ti, 7_033_744, 10_295_380_992),
        (videomamba_s, 25_568_656, 38_636_722_176),
        (videomamba_m, 73_875_856, 113_134_076_928),
    ],
)
def test_parameters_and_macs_equal_those_of_the_official_code_and_the_scans(
    build: Build, parameters: int, macs_without_scans: int
) -> None:
    model = build_on_meta(build, DEFAULT)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    scan = scan_macs(1 + 8 * 14 * 14, 2 * model.config.embed_dim, 16)
    assert count(model, DEFAULT) == macs_without_scans + 2 * model.config.depth * scan


@pytest.mark.parametrize(("build", "embed_dim", "depth"), SIZES)
@pytest.mark.parametrize("clip", [DEFAULT, Clip(frames=3, height=64, width=48)], ids=str)
def test_the_full_count_is_the_sum_of_its_layers(build: Build, embed_dim: int, depth: int, clip: Clip) -> None:
    patches = clip.frames * clip.height * clip.width // 256
    tokens, inner, rank = 1 + patches, 2 * embed_dim, -(-embed_dim // 16)
    one_way = inner * (4 + (rank + 32) + rank) + 2 * inner * 16  # convolution, selection, steps, scan
    block = tokens * (3 * embed_dim * inner + 2 * one_way)
    expected = patches * 768 * embed_dim + depth * block + embed_dim * 400
    assert count(build_on_meta(build, clip), clip) == expected


@pytest.mark.parametrize(
    ("build", "frames", "size", "published", "giga"),
    [
        (videomamba_ti, 8, 224, 9, 8.60),
        (videomamba_ti, 16, 224, 17, 17.19),
        (videomamba_ti, 32, 224, 34, 34.38),
        (videomamba_s, 8, 224, 34, 33.85),
        (videomamba_s, 16, 224, 68, 67.69),
        (videomamba_s, 32, 224, 135, 135.35),
        (videomamba_m, 8, 224, 101, 100.79),
        (videomamba_m, 16, 224, 202, 201.52),
        (videomamba_m, 32, 224, 403, 402.97),
        (videomamba_m, 64, 384, 2368, 2368.15),
    ],
)
def test_the_published_figures_leave_out_convolutions_selections_and_scans(
    build: Build, frames: int, size: int, published: int, giga: float
) -> None:
    clip = Clip(frames=frames, height=size, width=size)
    model = build_on_meta(build, clip)
    figure = published_figure(model, clip)
    assert round(figure / 1e9) == published
    assert figure / 1e9 == pytest.approx(giga, abs=0.0051)
    assert 1.15 < count(model, clip) / figure < 1.35


def tiny(clip: Clip) -> VideoMamba:
    torch.manual_seed(0)
    return VideoMamba(replace(VIDEOMAMBA_TI, embed_dim=32, depth=2), clip).eval()


def test_the_class_token_sees_every_pixel_of_every_frame() -> None:
    clip = Clip(frames=3, height=32, width=48)
    video = torch.randn(1, 3, 3, 32, 48, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(tiny(clip)(video).square().sum(), video)
    assert (gradient.abs().amax(1) > 0).all()


def test_frames_in_another_order_are_another_video() -> None:
    clip = Clip(frames=3, height=32, width=32)
    video = torch.randn(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = tiny(clip)
    with torch.no_grad():
        assert not torch.allclose(model(video), model(video.flip(2)), atol=1e-4)


def test_a_reversed_sequence_through_exchanged_directions_is_reversed() -> None:
    torch.manual_seed(0)
    config = MambaConfig(embed_dim=24)
    one, other = BidirectionalMamba(config).double(), BidirectionalMamba(config).double()
    exchanged = {"forwards": "backwards", "backwards": "forwards"}
    other.load_state_dict({
        ".".join([exchanged.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]): weight
        for name, weight in one.state_dict().items()
    })  # fmt: skip
    x = torch.randn(2, 11, 24, dtype=torch.float64)
    torch.testing.assert_close(other(x.flip(1)).flip(1), one(x))
    assert not torch.allclose(one(x.flip(1)).flip(1), one(x))


def test_half_precision_runs() -> None:
    clip = Clip(batch=2, frames=2, height=32, width=32)
    model, video = tiny(clip), torch.randn(2, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, logits = model(video), model.bfloat16()(video.bfloat16())
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).norm() / expected.norm() < 0.05


def test_patches_that_do_not_tile_the_clip_are_refused() -> None:
    message = r"^width must be a multiple of 16, the tubelet's; got width=40, nearest: 32, 48$"
    with pytest.raises(UnsupportedClipError, match=message):
        videomamba_ti(Clip(frames=1, height=32, width=40))
