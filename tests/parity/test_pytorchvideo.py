"""I3D-R50 and SlowFast against pytorchvideo's: the same tensors in both, and the same logits out of both."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.i3d import I3D_R50, I3DResNet, i3d_r50
from vbench_models.architectures.slowfast import (
    SLOWFAST_R50_8X8,
    SLOWFAST_R101,
    SlowFast,
    SlowFastConfig,
    slowfast_r50_8x8,
    slowfast_r101_16x8,
)
from vbench_models.video import Clip

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

# pytorchvideo compiles a few functions as it is imported, by a call that torch 2.13 announces the end of.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

TRAINING = Clip(frames=8, height=224, width=224)  # where pytorchvideo's pool of 4 x 7 x 7 covers all positions
TESTING = Clip(frames=8, height=256, width=256)
LONGER = Clip(batch=2, frames=11, height=96, width=130)

SLOWFAST = {  # key -> their name, our builder, its configuration, frames
    "slowfast_r50_8x8": ("slowfast_r50", slowfast_r50_8x8, SLOWFAST_R50_8X8, 32),
    "slowfast_r101_16x8": ("slowfast_16x8_r101_50_50", slowfast_r101_16x8, SLOWFAST_R101, 64),
}

CONV_NORM = {
    "0.weight": "conv.weight",
    "1.weight": "norm.weight",
    "1.bias": "norm.bias",
    "1.running_mean": "norm.running_mean",
    "1.running_var": "norm.running_var",
    "1.num_batches_tracked": "norm.num_batches_tracked",
}


@pytest.fixture
def theirs(torchvision_importable: None, fill_with_noise: Fill) -> Any:
    from pytorchvideo.models.hub import i3d_r50 as build  # type: ignore[import-untyped]

    model = build().eval()
    fill_with_noise(model, 1)
    return model


def with_a_global_pool(theirs: Any) -> Any:
    """Their network, but its head averages over all positions whatever the clip."""
    theirs = deepcopy(theirs)
    theirs.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
    return theirs


def name_map() -> dict[str, str]:
    """From each of our tensors to theirs; their third block is the pool over time."""
    names = {"head.fc.weight": "blocks.6.proj.weight", "head.fc.bias": "blocks.6.proj.bias"}
    names |= {f"stem.conv.{ours}": f"blocks.0.{theirs}" for ours, theirs in CONV_NORM.items()}
    for stage, kernels in enumerate(I3D_R50.temporal_kernels):
        their_stage = 1 if stage == 0 else stage + 2
        for block in range(len(kernels)):
            names |= bottleneck(f"stages.{stage}.{block}", f"blocks.{their_stage}.res_blocks.{block}", block)
    return names


def bottleneck(ours: str, theirs: str, number: int) -> dict[str, str]:
    """One block; the first of a stage projects its shortcut."""
    names = {}
    for part, letter in {"narrow": "a", "look": "b", "widen": "c"}.items():
        names |= branch(f"{ours}.{part}", f"{theirs}.branch2.conv_{letter}", f"{theirs}.branch2.norm_{letter}")
    if number == 0:
        names |= branch(f"{ours}.shortcut", f"{theirs}.branch1_conv", f"{theirs}.branch1_norm")
    return names


def branch(ours: str, conv: str, norm: str) -> dict[str, str]:
    """One convolution and its norm."""
    return {
        f"{ours}.{our_name}": their_name.replace("conv", conv, 1).replace("norm", norm, 1)
        for our_name, their_name in CONV_NORM.items()
    }


def twin(theirs: nn.Module, clip: Clip) -> I3DResNet:
    """Our network with their tensors: every one of theirs is used, every one of ours is set."""
    names, state = name_map(), theirs.state_dict()
    assert set(names.values()) == set(state)
    ours = i3d_r50(clip).eval()
    ours.load_state_dict({our_name: state[their_name] for our_name, their_name in names.items()}, strict=True)
    return ours


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        deepcopy(model).to("meta")(video)
    return int(counter.get_total_flops()) // 2


def assert_same_logits(ours: nn.Module, theirs: nn.Module, clip: Clip, relative_difference: Distance) -> None:
    video = torch.randn(clip.batch, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        our_logits, their_logits = ours(video), theirs(video)
    assert their_logits.std() > 0.1
    assert relative_difference(our_logits, their_logits) < 1e-4


def test_logits_equal_those_of_pytorchvideo(theirs: Any, relative_difference: Distance) -> None:
    assert_same_logits(twin(theirs, TRAINING), theirs, TRAINING, relative_difference)


@pytest.mark.parametrize("clip", [TESTING, LONGER], ids=str)
def test_logits_equal_those_of_pytorchvideo_with_a_global_pool(
    theirs: Any, clip: Clip, relative_difference: Distance
) -> None:
    assert_same_logits(twin(theirs, clip), with_a_global_pool(theirs), clip, relative_difference)


def test_parameters_and_multiply_adds_equal_those_of_pytorchvideo(theirs: Any) -> None:
    ours = twin(theirs, TRAINING)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert count(ours, TRAINING) == count(theirs, TRAINING)
    assert count(ours, TESTING) == count(with_a_global_pool(theirs), TESTING)


def test_the_sliding_pool_of_pytorchvideo_costs_the_classifier_at_three_more_positions(theirs: Any) -> None:
    assert count(theirs, TESTING) - count(twin(theirs, TESTING), TESTING) == 3 * 2048 * 400


@pytest.fixture(scope="module", params=SLOWFAST)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def slowfast_theirs(torchvision_importable: None, fill_with_noise: Fill, key: str) -> Any:
    model = with_global_pools(build_slowfast(key))
    fill_with_noise(model, 1)
    return model


def build_slowfast(key: str) -> Any:
    from pytorchvideo.models import hub

    return getattr(hub, SLOWFAST[key][0])().eval()


def with_global_pools(theirs: Any) -> Any:
    """Both pathways are averaged over all positions whatever the clip."""
    theirs.blocks[5].pool = nn.ModuleList((nn.AdaptiveAvgPool3d(1), nn.AdaptiveAvgPool3d(1)))
    return theirs


class OnOneVideo(nn.Module):
    """Their network on the video that ours takes: the slow pathway's frames are picked as PySlowFast's loader does."""

    def __init__(self, theirs: nn.Module, alpha: int) -> None:
        super().__init__()
        self.theirs = theirs
        self.alpha = alpha

    def forward(self, video: Tensor) -> Tensor:
        frames = video.shape[2]
        slow = torch.linspace(0, frames - 1, frames // self.alpha).long().to(video.device)
        logits: Tensor = self.theirs([video.index_select(2, slow), video])
        return logits


def slowfast_name_map(config: SlowFastConfig) -> dict[str, str]:
    """From each of our tensors to theirs."""
    names = {f"head.fc.{kind}": f"blocks.6.proj.{kind}" for kind in ("weight", "bias")}
    for index in range(len(config.slow_kernels)):
        fusion = f"blocks.{index}.multipathway_fusion"
        names |= branch(f"laterals.{index}.conv", f"{fusion}.conv_fast_to_slow", f"{fusion}.norm")
    for number, (pathway, stages) in enumerate({"slow": config.slow_kernels, "fast": config.fast_kernels}.items()):
        stem = f"blocks.0.multipathway_blocks.{number}"
        names |= branch(f"{pathway}_stem.conv", f"{stem}.conv", f"{stem}.norm")
        for stage, kernels in enumerate(stages):
            for block in range(len(kernels)):
                ours = f"{pathway}_stages.{stage}.{block}"
                names |= bottleneck(ours, f"blocks.{stage + 1}.multipathway_blocks.{number}.res_blocks.{block}", block)
    return names


def slowfast_twin(theirs: nn.Module, key: str, clip: Clip) -> SlowFast:
    """Our network with their tensors: every one of theirs is used, every one of ours is set."""
    _, build, config, _ = SLOWFAST[key]
    names, state = slowfast_name_map(config), theirs.state_dict()
    assert set(names.values()) == set(state)
    ours = build(clip).eval()
    ours.load_state_dict({our_name: state[their_name] for our_name, their_name in names.items()}, strict=True)
    return ours


@pytest.mark.slow
def test_slowfast_logits_equal_those_of_pytorchvideo_at_the_default_clip(
    key: str, slowfast_theirs: Any, relative_difference: Distance
) -> None:
    _, _, config, frames = SLOWFAST[key]
    clip = Clip(frames=frames, height=256, width=256)
    ours = slowfast_twin(slowfast_theirs, key, clip)
    assert_same_logits(ours, OnOneVideo(slowfast_theirs, config.alpha), clip, relative_difference)


def test_slowfast_logits_equal_those_of_pytorchvideo_on_half_the_frames(
    key: str, slowfast_theirs: Any, relative_difference: Distance
) -> None:
    _, _, config, frames = SLOWFAST[key]
    clip = Clip(batch=2, frames=frames // 2, height=66, width=49)
    ours = slowfast_twin(slowfast_theirs, key, clip)
    assert_same_logits(ours, OnOneVideo(slowfast_theirs, config.alpha), clip, relative_difference)


def test_slowfast_parameters_and_multiply_adds_equal_those_of_pytorchvideo(
    torchvision_importable: None, key: str
) -> None:
    _, build, config, frames = SLOWFAST[key]
    clip = Clip(frames=frames, height=256, width=256)
    with torch.device("meta"):
        ours, theirs = build(clip).eval(), with_global_pools(build_slowfast(key))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert count(ours, clip) == count(OnOneVideo(theirs, config.alpha), clip)
