"""The image ResNet: its published sizes, its pitches, where it is cut, and its frozen norm."""

import pytest
import torch
from torch import Tensor, nn

from vbench_models.layers.frozen_norm import FrozenBatchNorm2d
from vbench_models.layers.resnet import RESNET_50, RESNET_101, STAGES, WIDTHS, Bottleneck, ResNet
from vbench_models.video import ModelError


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes(features: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return [tuple(feature.shape) for feature in features]


@pytest.mark.parametrize(
    ("depths", "expected"), [(RESNET_50, 23_508_032), (RESNET_101, 42_500_160)], ids=["ResNet-50", "ResNet-101"]
)
def test_parameters_equal_the_published_ones_without_the_classifier(
    depths: tuple[int, int, int, int], expected: int
) -> None:
    with torch.device("meta"):
        assert parameters(ResNet(depths)) == expected


def test_a_network_cut_after_res4_has_the_published_parameters_of_that_part() -> None:
    with torch.device("meta"):
        network = ResNet(stages=("res2", "res3", "res4"))
    assert parameters(network) == 8_543_296  # XMem's key encoder, a ResNet-50 to res4, has 8.54 M
    assert "res5" not in network.stages


def test_the_pitch_doubles_from_stage_to_stage_and_odd_sizes_round_up() -> None:
    with torch.device("meta"):
        network = ResNet(stages=STAGES)
        features = network(torch.empty(2, 3, 75, 130))
    assert shapes(features) == [(2, 256, 19, 33), (2, 512, 10, 17), (2, 1024, 5, 9), (2, 2048, 3, 5)]
    assert [feature.shape[1] for feature in features] == list(WIDTHS.values())


def test_features_come_in_the_order_asked_for() -> None:
    with torch.device("meta"):
        features = ResNet(stages=("res4", "res2"))(torch.empty(1, 3, 32, 32))
    assert shapes(features) == [(1, 1024, 2, 2), (1, 256, 8, 8)]


def test_the_stride_is_on_the_three_by_three_convolution() -> None:
    with torch.device("meta"):
        blocks = [module for module in ResNet().modules() if isinstance(module, Bottleneck)]
    strides = [(block.narrow[0].stride, block.look[0].stride) for block in blocks]
    firsts = {3, 7, 13}  # the first blocks of res3, res4 and res5
    assert strides == [((1, 1), (2, 2) if index in firsts else (1, 1)) for index in range(16)]


def test_from_stem_is_the_rest_of_the_forward() -> None:
    torch.manual_seed(0)
    network = ResNet((1, 1, 1, 1), stages=("res2", "res3")).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        whole, rest = network(image), network.from_stem(network.stem(image))
    assert all(torch.equal(a, b) for a, b in zip(whole, rest, strict=True))


def test_frozen_norm_equals_batch_norm_in_inference_and_stays_so_in_training() -> None:
    generator = torch.Generator().manual_seed(0)
    theirs, ours = nn.BatchNorm2d(5), FrozenBatchNorm2d(5)
    for name, tensor in theirs.state_dict().items():
        if name != "num_batches_tracked":
            tensor.copy_(0.5 + torch.rand(5, generator=generator))
            getattr(ours, name).copy_(tensor)
    x = torch.randn(2, 5, 3, 4, generator=generator)
    expected = theirs.eval()(x)
    torch.testing.assert_close(ours.eval()(x), expected)
    torch.testing.assert_close(ours.train()(x), expected)


def test_frozen_norms_leave_no_parameters_but_are_stored() -> None:
    with torch.device("meta"):
        learnt, frozen = ResNet(), ResNet(norm=FrozenBatchNorm2d)
    scales = sum(2 * module.num_features for module in learnt.modules() if isinstance(module, nn.BatchNorm2d))
    assert parameters(learnt) - parameters(frozen) == scales == 53_120
    stored = {name for name in learnt.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(frozen.state_dict()) == stored


def test_a_network_without_features_is_refused() -> None:
    with pytest.raises(ModelError, match="some of res2, res3, res4, res5; got none"):
        ResNet(stages=())
