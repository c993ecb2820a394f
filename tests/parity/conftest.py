"""The helpers of `seeded` as fixtures: with pytest's importlib mode, tests do not import one another."""

import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.parity import seeded


@pytest.fixture(scope="session")
def fill_with_noise() -> Callable[[nn.Module, int], None]:
    return seeded.fill_with_noise


@pytest.fixture(scope="session")
def relative_difference() -> Callable[[Tensor, Tensor], float]:
    return seeded.relative_difference


@pytest.fixture(scope="session")
def torchvision_importable() -> None:
    """Make `import torchvision` work where its compiled operators do not load.

    Its wheel is compiled for CUDA builds of torch. Beside a CPU build the import fails, because it describes operators
    that were never defined. Its models need none of them, so declaring two signatures is enough.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
