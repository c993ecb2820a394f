"""vbench from Python: objects in hand cost what names cost, and fresh processes get them, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vbench
from vbench.errors import VbenchError
from vbench.measure.held import named

pytest_plugins = ["pytester"]

DIM, HEADS = 64, 2


class Joint(nn.Module):
    """Attention of every token to every token, 64 channels wide."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, h, w, c = tokens.shape
        q, k, v = self.qkv(tokens).reshape(b, t * h * w, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, h, w, c))


class Network(nn.Module):
    """A video network: one convolution, the mean, one matrix."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv3d(3, width, 4, stride=4), nn.Linear(width, 10)

    def forward(self, video: Tensor) -> Tensor:
        return self.head(self.stem(video).mean((2, 3, 4)))


def frame_means(tokens: Tensor) -> Tensor:
    """Each token against its frame's mean: a product of two tokens for every token."""
    mean = tokens.mean((2, 3), keepdim=True).flatten(2, 3)
    weights = torch.einsum("bthwc,btnc->bthwn", tokens, mean)
    return torch.einsum("bthwn,btnc->bthwc", weights, mean)


def test_a_module_in_hand_is_certified_by_what_its_products_are() -> None:
    found = vbench.certify(Joint(), claim="(T*H*W)**2")
    assert (found.name, found.verdict) == ("Joint", "exact")
    assert vbench.certify(Joint(), claim="T*H*W").verdict == "under-states"


def test_a_function_and_a_lambda_are_patterns() -> None:
    assert vbench.certify(frame_means, claim="T*H*W").verdict == "exact"
    assert vbench.certify(lambda x: frame_means(x) + x, claim="T*H*W", dim=32).verdict == "exact"


def test_a_network_in_hand_is_counted_as_its_layers_say() -> None:
    found = vbench.count(Network(), frames=8, height=16, width=32)
    positions = (8 // 4) * (16 // 4) * (32 // 4)
    assert found.params == 3 * 8 * 4**3 + 8 + 8 * 10 + 10
    assert found.macs == 3 * 8 * 4**3 * positions + 8 * 10
    assert (found.name, found.flops) == ("Network", 2 * found.macs)


def test_a_key_counts_the_same_as_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from vbench.cli import main

    with pytest.raises(SystemExit):
        main(["count", "video_swin_t", "--frames", "4", "--size", "64", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert vbench.count("video_swin_t", frames=4, height=64, width=64).to_json() == printed


def test_a_network_of_a_test_is_measured_in_fresh_processes() -> None:
    found = vbench.measure(Network(), frames=4, height=8, width=8, threads=1, processes=2)
    assert len(found.record.processes) == 2
    assert 0 < found.latency_s.low <= found.latency_s.estimate <= found.latency_s.high
    assert found.record.counts.params == sum(parameter.numel() for parameter in Network().parameters())


def test_two_networks_in_hand_are_compared_under_their_names() -> None:
    class Wide(Network):
        def __init__(self) -> None:
            super().__init__(width=512)

    found = vbench.compare(Network(), Wide(), frames=4, height=8, width=8, budget_s=3)
    assert (found.a.name, found.b.name) == ("Network", "Wide")
    positions = (4 // 4) * (8 // 4) * (8 // 4)
    assert [side.macs for side in (found.a, found.b)] == [
        3 * width * 4**3 * positions + width * 10 for width in (8, 512)
    ]
    assert found.pairs == len(found.measured) > 0


def test_the_longest_clip_of_a_module_in_hand_is_within_its_memory() -> None:
    found = vbench.fit(Network(), "700MiB", height=224, width=224)
    assert found.name == "Network"
    assert found.frames is not None
    assert found.predicted_peak_bytes + found.room_bytes <= 700 * 2**20 < (found.above_predicted_peak_bytes or 0)
    assert found.frames < (found.next_frames or 0) <= (found.above_frames or 0)


def test_what_a_fresh_process_reads_back_has_the_same_weights() -> None:
    network = Network()
    with named(network) as name:
        place, _, function = name.rpartition(":")
        scope: dict[str, object] = {}
        exec(compile(Path(place).read_text(), place, "exec"), scope)
        again = scope[function]()  # type: ignore[operator]
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: vbench.count("timesfomer_b"), "did you mean 'timesformer_b'"),
        (lambda: vbench.certify(3), "a name, a module or a function is wanted; got int"),  # type: ignore[arg-type]
        (lambda: vbench.certify(frame_means, claim="T*Q"), "has symbols Q"),
        (lambda: vbench.count(Joint(), frames=8), "attention pattern"),
        (lambda: vbench.compare("c3d"), "compare takes two models"),
        (lambda: vbench.fit(Network(), "2 parsecs"), "parsecs"),
        (lambda: vbench.measure(Network(), frames=2, height=8, width=8), "Network failed"),
    ],
)
def test_a_mistake_is_one_line(call, said: str) -> None:
    with pytest.raises(VbenchError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_room_is_still_there_beside_the_function() -> None:
    from vbench.measure.cost import Cost

    assert callable(vbench.measure)
    assert isinstance(vbench.count("core:joint", grid="2x4x4"), Cost)


def test_the_fixture_passes_what_is_so_and_fails_what_is_not_with_the_formula(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_linear(cost):
            cost.grows_as("linformer", "T*H*W")

        def test_small(cost):
            cost.is_within("video_swin_t", frames=4, height=64, width=64, params=29e6)

        def test_joint_is_not_linear(cost):
            cost.grows_as("joint", "T*H*W")

        def test_too_large(cost):
            cost.is_within("video_swin_t", frames=4, height=64, width=64, params=1e6, macs=1e15)
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["the cost does not grow as T?H?W", "video_swin_t: params 28,* > 1,000,000"])
