"""PCSA: its published size and cost, its trunk, and what attention across frames does and does not see."""

import pytest
import torch
from torch import Tensor, nn

from vbench.measure.count import Tally, tally
from vbench_models.architectures.pcsa import PCSA, attention_grid, pcsa, trunk_rows
from vbench_models.attention.constrained import core_macs
from vbench_models.layers.mobilenet import LARGE
from vbench_models.video import Clip, TokenGrid

DEFAULT = Clip(frames=5, height=256, width=448)
ONE_FRAME = Clip(frames=1, height=256, width=448)
ODD = Clip(batch=2, frames=3, height=75, width=130)
SMALL = Clip(frames=3, height=48, width=64)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def counted(clip: Clip) -> Tally:
    with torch.device("meta"):
        return tally(pcsa(clip).eval(), torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width))


@pytest.fixture(scope="module")
def network() -> PCSA:
    """Weights so large that the maps are far from constant; in double precision, as they make rounding show."""
    torch.manual_seed(0)
    network = pcsa(SMALL).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return network.double()


def video() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 3, 3, 48, 64, generator=generator, dtype=torch.float64)


def test_parameters_equal_the_published_ones_part_by_part() -> None:
    with torch.device("meta"):
        network = pcsa(DEFAULT)
    assert parameters(network) == 2_626_316
    assert parameters(network.trunk) == 2_478_718
    assert parameters(network.branches) == 139_021
    assert parameters(network.attention) == 4_096


@pytest.mark.parametrize(
    ("clip", "outside_attention", "attention"),
    [
        (DEFAULT, 13_417_242_080, 186_368_000),
        (ONE_FRAME, 2_683_448_416, 7_454_720),
    ],
    ids=str,
)
def test_multiply_adds_equal_the_official_ones(clip: Clip, outside_attention: int, attention: int) -> None:
    """Attention: 2 d for each of 260 window places of four heads, of each of t^2 pairs of frames, at 32 x 56 places."""
    count = counted(clip)
    assert attention == 2 * 8 * (7**2 + 7**2 + 9**2 + 9**2) * clip.frames**2 * 32 * 56
    assert (count.macs - count.attention_macs, count.attention_macs) == (outside_attention, attention)


def test_multiply_adds_outside_the_attention_equal_the_official_ones_at_a_size_that_8_does_not_divide() -> None:
    count = counted(ODD)
    with torch.device("meta"):
        config = pcsa(ODD).attention.config
    assert attention_grid(ODD) == TokenGrid(3, 10, 17)
    assert count.attention_macs == 2 * core_macs(attention_grid(ODD), config)
    assert count.macs - count.attention_macs == 1_515_124_032


def test_the_trunk_is_mobilenet_but_for_two_strides_one_width_and_how_much_it_squeezes() -> None:
    rows = trunk_rows()
    assert [index for index, (a, b) in enumerate(zip(rows, LARGE, strict=True)) if a.stride != b.stride] == [3, 12]
    assert [(a.expanded, b.expanded) for a, b in zip(rows, LARGE, strict=True) if a.expanded != b.expanded] == [
        (672, 960)
    ]
    assert all(row.squeezed in (0, row.expanded // 4) for row in rows)


def test_features_are_an_eighth_and_a_quarter_of_the_frame() -> None:
    with torch.device("meta"):
        low, high = pcsa(DEFAULT).trunk(torch.empty(5, 3, 256, 448))
    assert low.shape == (5, 24, 64, 112)
    assert high.shape == (5, 160, 32, 56)


def test_every_pixel_of_every_frame_has_a_saliency_between_zero_and_one() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        masks = pcsa(ODD).eval()(torch.randn(2, 3, 3, 75, 130)).masks
    assert masks.shape == (2, 3, 75, 130)
    assert ((masks > 0) & (masks < 1)).all()


def test_frames_in_another_order_have_their_maps_in_that_order(network: PCSA) -> None:
    """Nothing says which frame comes first."""
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        maps, of_reordered = network(video()).masks, network(video()[:, :, order]).masks
    assert maps.std() > 1e-2
    torch.testing.assert_close(of_reordered, maps[:, order])


def test_only_attention_lets_a_frame_see_the_others(network: PCSA) -> None:
    other = video().clone()
    other[:, :, 2] = 0
    with torch.no_grad():
        seen = (network(video()).masks - network(other).masks)[:, :2].abs().max()
        out = network.attention.proj.weight.clone()
        network.attention.proj.weight.zero_()
        unseen = network(video()).masks[:, :2]
        torch.testing.assert_close(unseen, network(other).masks[:, :2])
        torch.testing.assert_close(unseen[:, :1], pcsa_of_one_frame(network, video()[:, :, :1]))
        network.attention.proj.weight.copy_(out)
    assert seen > 1e-4


def pcsa_of_one_frame(network: PCSA, frame: Tensor) -> Tensor:
    single = pcsa(Clip(frames=1, height=48, width=64)).eval().double()
    single.load_state_dict(network.state_dict())
    masks: Tensor = single(frame).masks
    return masks


def test_attention_reaches_no_further_than_its_widest_window() -> None:
    """Radius 4 at dilation 2: eight places, in every frame."""
    with torch.device("meta"):
        config = pcsa(DEFAULT).attention.config
    torch.manual_seed(0)
    attention = type(pcsa(SMALL).attention)(config, TokenGrid(2, 1, 24))
    x = torch.randn(1, 2, 1, 24, 32)
    changed = x.clone()
    changed[:, 1, :, 0] += 10
    with torch.no_grad():
        reached = (attention(x) - attention(changed)).abs().amax((0, 2, 4)) > 1e-6
    assert not reached[0, 9:].any()
    assert reached[0, [0, 1, 2, 3, 4, 6, 8]].all()
    assert not reached[0, [5, 7]].any()  # beyond the undilated windows, only even distances


def test_nothing_in_the_attention_has_a_bias(network: PCSA) -> None:
    assert [name for name, _ in network.attention.named_parameters()] == ["qkv.weight", "proj.weight"]
