"""MobileNetV3-Large against torchvision's: the same tensors in both, and the same features."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.layers.mobilenet import LARGE, MobileNetV3, mobilenet_v3_large

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

IMAGE, ODD = (1, 3, 224, 224), (2, 3, 75, 130)


@pytest.fixture(scope="module")
def theirs(torchvision_importable: None, fill_with_noise: Fill) -> Any:
    from torchvision.models import mobilenet_v3_large as build  # type: ignore[import-untyped]

    model = build().eval()
    fill_with_noise(model, 1)
    return model


def name_map() -> dict[str, str]:
    """From each of our modules to theirs, which joins a convolution, its norm and its activation."""
    names = conv_norm("stem.0", "features.0") | conv_norm("last.0", "features.16")
    channels = 16
    for block, row in enumerate(LARGE):
        ours, theirs = f"blocks.{block}.layers", f"features.{block + 1}.block"
        expands, squeezes = row.expanded != channels, bool(row.squeezed)
        look, squeeze = (2, 4) if expands else (0, 2)
        if expands:
            names |= conv_norm(f"{ours}.0", f"{theirs}.0")
        names |= conv_norm(f"{ours}.{look}", f"{theirs}.{int(expands)}")
        if squeezes:
            names |= {f"{ours}.{squeeze}.{fc}": f"{theirs}.{expands + 1}.{fc}" for fc in ("fc1", "fc2")}
        names |= conv_norm(f"{ours}.{squeeze + squeezes}", f"{theirs}.{expands + 1 + squeezes}")
        channels = row.channels
    return names


def conv_norm(ours: str, theirs: str) -> dict[str, str]:
    """One convolution and its norm."""
    return {f"{ours}.{index}": f"{theirs}.{index}" for index in (0, 1)}


def twin(theirs: nn.Module) -> MobileNetV3:
    """Our network with their tensors: every one of theirs but the classifier's is used, every one of ours is set.

    Their squeezing layers are convolutions of one pixel, ours are linear.
    """
    ours, modules, state = mobilenet_v3_large().eval(), name_map(), theirs.state_dict()
    tensors = {name: f"{modules[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}" for name in ours.state_dict()}
    assert set(tensors.values()) == {name for name in state if not name.startswith("classifier.")}
    shaped = {name: state[tensors[name]].reshape(tensor.shape) for name, tensor in ours.state_dict().items()}
    ours.load_state_dict(shaped, strict=True)
    return ours


@pytest.mark.parametrize("size", [IMAGE, ODD], ids=str)
def test_features_equal_those_of_torchvision(theirs: Any, size: tuple[int, ...], relative_difference: Distance) -> None:
    image = torch.randn(size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, expected = twin(theirs)(image)[-1], theirs.features(image)
    assert expected.std() > 0.1
    assert relative_difference(ours, expected) < 1e-4


def test_parameters_and_multiply_adds_equal_those_of_torchvision(torchvision_importable: None) -> None:
    from torchvision.models import mobilenet_v3_large as build

    with torch.device("meta"):
        ours, theirs = mobilenet_v3_large(), build().features
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert count(ours) == count(theirs)


def count(model: nn.Module) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(IMAGE, device="meta"))
    return int(counter.get_total_flops()) // 2
