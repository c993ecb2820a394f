"""MobileNetV3: its published size, its pitches, where features are tapped, and how channels are weighed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from vbench_models.layers.mobilenet import (
    LARGE,
    MOBILENET_V3_LARGE,
    MOBILENET_V3_LARGE_CHANNELS,
    InvertedResidual,
    MobileNetV3,
    Row,
    SqueezeExcite,
    mobilenet_v3_large,
)


def shapes(features: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return [tuple(feature.shape) for feature in features]


def test_parameters_equal_torchvision_s_without_the_classifier() -> None:
    with torch.device("meta"):
        network = mobilenet_v3_large()
    classifier = 960 * 1280 + 1280 + 1280 * 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) == 5_483_032 - classifier == 2_971_952


def test_a_thirty_second_of_the_image_is_left_and_odd_sizes_round_up() -> None:
    with torch.device("meta"):
        (last,) = mobilenet_v3_large()(torch.empty(2, 3, 75, 130))
    assert last.shape == (2, MOBILENET_V3_LARGE_CHANNELS, 3, 5)


def test_taps_are_the_features_after_those_blocks_and_the_last_may_go_unwidened() -> None:
    torch.manual_seed(0)
    network = MobileNetV3(replace(MOBILENET_V3_LARGE, rows=LARGE[:4], taps=(0, 2), last_channels=0)).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        features = network(image)
        expected = network.blocks[0](network.stem(image))
    assert shapes(features) == [(1, 16, 16, 16), (1, 24, 8, 8), (1, 40, 4, 4)]
    assert torch.equal(features[0], expected)


def test_the_shortcut_is_there_where_the_shape_stays() -> None:
    with torch.device("meta"):
        blocks = [block for block in mobilenet_v3_large().blocks if isinstance(block, InvertedResidual)]
    with_shortcut = [index for index, block in enumerate(blocks) if block.has_shortcut]
    assert with_shortcut == [0, 2, 4, 5, 7, 8, 9, 11, 13, 14]


def test_channels_are_weighed_by_the_means_of_all_channels() -> None:
    torch.manual_seed(0)
    weigh, x = SqueezeExcite(6, 3), torch.randn(2, 6, 4, 5)
    with torch.no_grad():
        hidden = (x.mean((2, 3)) @ weigh.fc1.weight.T + weigh.fc1.bias).clamp(min=0)
        gates = ((hidden @ weigh.fc2.weight.T + weigh.fc2.bias + 3) / 6).clamp(0, 1)
        torch.testing.assert_close(weigh(x), x * gates[:, :, None, None])


@pytest.mark.parametrize(
    ("squeeze_first", "order"), [(True, [SqueezeExcite, nn.ReLU]), (False, [nn.ReLU, SqueezeExcite])]
)
def test_channels_are_weighed_on_the_side_of_the_activation_that_is_asked_for(
    squeeze_first: bool, order: list[type[nn.Module]]
) -> None:
    block = InvertedResidual(8, Row(3, 16, 8, 4, nn.ReLU), nn.BatchNorm2d, squeeze_first=squeeze_first)
    assert [type(layer) for layer in block.layers[-3:-1]] == order
