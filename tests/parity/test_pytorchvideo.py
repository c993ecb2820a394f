"""I3D-R50 against pytorchvideo's: the same tensors in both, and the same logits out of both."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.i3d import I3D_R50, I3DResNet, i3d_r50
from vbench_models.video import Clip

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

# pytorchvideo compiles a few functions as it is imported, by a call that torch 2.13 announces the end of.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

TRAINING = Clip(frames=8, height=224, width=224)  # where pytorchvideo's pool of 4 x 7 x 7 covers all positions
TESTING = Clip(frames=8, height=256, width=256)
LONGER = Clip(batch=2, frames=11, height=96, width=130)

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
            ours, theirs = f"stages.{stage}.{block}", f"blocks.{their_stage}.res_blocks.{block}"
            for part, letter in {"narrow": "a", "look": "b", "widen": "c"}.items():
                names |= branch(f"{ours}.{part}", f"{theirs}.branch2.conv_{letter}", f"{theirs}.branch2.norm_{letter}")
            if block == 0:
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
