"""The image ResNet against torchvision's: the same tensors in both, and the same features of every stage."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.layers.frozen_norm import FrozenBatchNorm2d
from vbench_models.layers.resnet import RESNET_50, RESNET_101, STAGES, ResNet

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

THEIR_STAGES = ("layer1", "layer2", "layer3", "layer4")
IMAGE, ODD = (1, 3, 224, 224), (2, 3, 75, 130)


@pytest.fixture(scope="module")
def theirs(torchvision_importable: None, fill_with_noise: Fill) -> Any:
    from torchvision.models import resnet50  # type: ignore[import-untyped]

    model = resnet50().eval()
    fill_with_noise(model, 1)
    return model


def name_map(depths: tuple[int, ...]) -> dict[str, str]:
    """From each of our modules to theirs."""
    names = {"stem.conv.0": "conv1", "stem.conv.1": "bn1"}
    for ours, theirs, depth in zip(STAGES, THEIR_STAGES, depths, strict=True):
        for block in range(depth):
            for number, part in enumerate(("narrow", "look", "widen"), start=1):
                names[f"stages.{ours}.{block}.{part}.0"] = f"{theirs}.{block}.conv{number}"
                names[f"stages.{ours}.{block}.{part}.1"] = f"{theirs}.{block}.bn{number}"
        for index in range(2):
            names[f"stages.{ours}.0.shortcut.{index}"] = f"{theirs}.0.downsample.{index}"
    return names


def twin(theirs: nn.Module, norm: Callable[[int], nn.Module]) -> ResNet:
    """Our network with their tensors: every one of theirs but the classifier's is used, every one of ours is set."""
    ours = ResNet(RESNET_50, stages=STAGES, norm=norm).eval()
    modules, state = name_map(RESNET_50), theirs.state_dict()
    tensors = {name: f"{modules[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}" for name in ours.state_dict()}
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert set(tensors.values()) | counters == {name for name in state if not name.startswith("fc.")}
    ours.load_state_dict({our_name: state[their_name] for our_name, their_name in tensors.items()}, strict=True)
    return ours


def their_features(theirs: Any, image: Tensor) -> list[Tensor]:
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    features = []
    for name in THEIR_STAGES:
        x = getattr(theirs, name)(x)
        features.append(x)
    return features


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, FrozenBatchNorm2d])
@pytest.mark.parametrize("size", [IMAGE, ODD], ids=str)
def test_features_of_every_stage_equal_those_of_torchvision(
    theirs: Any, norm: Callable[[int], nn.Module], size: tuple[int, ...], relative_difference: Distance
) -> None:
    image = torch.randn(size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, expected = twin(theirs, norm)(image), their_features(theirs, image)
    for our_feature, their_feature in zip(ours, expected, strict=True):
        assert their_feature.std() > 0.1
        assert relative_difference(our_feature, their_feature) < 1e-4


@pytest.mark.parametrize(("builder", "depths"), [("resnet50", RESNET_50), ("resnet101", RESNET_101)])
def test_parameters_and_multiply_adds_equal_those_of_torchvision_without_its_classifier(
    torchvision_importable: None, builder: str, depths: tuple[int, int, int, int]
) -> None:
    import torchvision.models

    with torch.device("meta"):
        ours, theirs = ResNet(depths), getattr(torchvision.models, builder)()
    assert sum(p.numel() for p in theirs.parameters()) - sum(p.numel() for p in ours.parameters()) == 2049 * 1000
    assert count(theirs) - count(ours) == 2048 * 1000


def count(model: nn.Module) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(IMAGE, device="meta"))
    return int(counter.get_total_flops()) // 2
