"""The scan against a plain loop over tokens, and the layer against its parts applied by hand."""

import importlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.attention import selective_scan as pattern
from vbench_models.layers import scan
from vbench_models.layers.mamba import DirectedScan
from vbench_models.video import TokenGrid

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs(n: int, *, channels: int = 5, states: int = 3, dtype: torch.dtype = torch.float64) -> Inputs:
    generator = torch.Generator().manual_seed(n)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    steps, rates = F.softplus(draw(2, channels, n)), -draw(channels, states).exp()
    return draw(2, channels, n), steps, rates, draw(2, states, n), draw(2, states, n)


def loop(u: Tensor, delta: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The definition, one token after another."""
    state, outputs = torch.zeros(len(u), *rates.shape, dtype=u.dtype), []
    for i in range(u.shape[-1]):
        step = delta[:, :, i, None]
        state = torch.exp(step * rates) * state + step * u[:, :, i, None] * write[:, None, :, i]
        outputs.append((state * read[:, None, :, i]).sum(-1))
    return torch.stack(outputs, dim=-1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 10, 50, 257])
def test_the_scan_equals_a_loop_over_tokens(n: int) -> None:
    given = inputs(n)
    torch.testing.assert_close(scan.selective_scan(*given), loop(*given))


@pytest.mark.parametrize("n", [7, 50])
@pytest.mark.parametrize("tokens_of_a_block", [0, 1, 3, 10, 49])
@pytest.mark.parametrize("lanes", [1, 2, 6])
def test_blocks_and_lanes_of_tokens_equal_a_loop_over_them(
    n: int, tokens_of_a_block: int, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tuple(x.requires_grad_() for x in inputs(n))
    states_of_a_token = 2 * 5 * 3
    monkeypatch.setitem(scan.BLOCK_STATES, "cpu", tokens_of_a_block * states_of_a_token)
    monkeypatch.setitem(scan.STEP_STATES, "cpu", lanes * states_of_a_token)
    scanned, expected = scan.selective_scan(*given), loop(*given)
    torch.testing.assert_close(scanned, expected)
    gradients = torch.autograd.grad(scanned.square().sum(), given)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.square().sum(), given))


def test_long_decays_do_not_overflow() -> None:
    u, delta, rates, write, read = inputs(400, dtype=torch.float32)
    given = (u, 20 * delta, 16 * rates, write, read)
    torch.testing.assert_close(scan.selective_scan(*given), loop(*given))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_scan_has_a_gradient_and_a_fake(n: int) -> None:
    given = tuple(x.requires_grad_() for x in inputs(n))
    assert torch.autograd.gradcheck(scan.selective_scan, given)
    torch.library.opcheck(scan.selective_scan, given)
    torch.library.opcheck(scan.selective_scan_backward, tuple(x.detach() for x in (given[0], *given)))


def test_gradients_equal_those_of_the_loop_through_many_chunks() -> None:
    given = tuple(x.requires_grad_() for x in inputs(50))
    expected = torch.autograd.grad(loop(*given).square().sum(), given)
    torch.testing.assert_close(torch.autograd.grad(scan.selective_scan(*given).square().sum(), given), expected)


def test_half_precision_in_is_half_precision_out_and_single_inside() -> None:
    given = tuple(x.bfloat16() for x in inputs(60, dtype=torch.float32))
    out = scan.selective_scan(*given)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, loop(*(x.float() for x in given)).bfloat16())


def test_two_multiply_adds_a_state_and_the_public_nine_flops() -> None:
    with FlopCounterMode(display=False) as counter:
        scan.selective_scan(*(x.to("meta") for x in inputs(11)))
    assert counter.get_total_flops() == 2 * 2 * (2 * 5 * 3 * 11)
    assert scan.scan_flops_public(11, 5, 3) == 9 * 11 * 5 * 3


def test_backward_is_one_operator_of_seven_multiply_adds_a_state() -> None:
    given = tuple(x.to("meta").requires_grad_() for x in inputs(11))
    with FlopCounterMode(display=False) as counter:
        scan.selective_scan(*given).sum().backward()
    counts = {str(name): flops for name, flops in counter.get_flop_counts()["Global"].items()}
    states = 2 * 5 * 3 * 11
    assert counts == {"vbench.selective_scan": 2 * 2 * states, "vbench.selective_scan_backward": 2 * 7 * states}


def test_the_layer_states_both_conventions() -> None:
    grid, config = TokenGrid(2, 3, 5), pattern.SelectiveScanConfig(embed_dim=48, num_heads=6)
    assert 4 * pattern.public_core_flops(grid, config) == 9 * 2 * pattern.core_macs(grid, config)


def test_importing_the_operator_twice_is_harmless() -> None:
    importlib.reload(scan)
    assert scan.selective_scan(*inputs(3)).shape == (2, 5, 3)


def directed(one: DirectedScan, x: Tensor) -> Tensor:
    """One direction by hand, from `b e n`: causal convolution, selection, softplus of the steps, scan, skip."""
    selection, width = one.selection, one.selection.conv.weight.shape[-1]
    u = torch.stack([
        sum(
            selection.conv.weight[:, 0, tap] * x[..., i - width + 1 + tap]
            for tap in range(width)
            if i - width + 1 + tap >= 0
        )
        + selection.conv.bias
        for i in range(x.shape[-1])
    ], dim=-1)  # fmt: skip
    u = u * u.sigmoid()
    rank, write, read = (u.mT @ selection.select.weight.T).split(selection.widths, dim=-1)
    delta = F.softplus((rank @ selection.step.weight.T).mT + one.step_bias[:, None])
    return loop(u, delta, -one.log_rates.exp(), write.mT, read.mT) + one.skip[:, None] * u


def test_the_layer_equals_its_parts_in_both_directions() -> None:
    torch.manual_seed(0)
    grid = TokenGrid(2, 3, 4)
    module = pattern.build(grid, 12, 4).double()
    layer = module.mamba
    x = torch.randn(2, 2, 3, 4, 12, dtype=torch.float64)
    inner, gate = (x.flatten(1, 3) @ layer.proj_in.weight.T).mT.chunk(2, dim=1)
    y = directed(layer.forwards, inner) + directed(layer.backwards, inner.flip(-1)).flip(-1)
    expected = (y * gate * gate.sigmoid()).mT @ layer.proj.weight.T
    torch.testing.assert_close(module(x).flatten(1, 3), expected)


def test_core_reads_with_q_writes_with_k_and_scans_v() -> None:
    torch.manual_seed(0)
    layer = pattern.build(TokenGrid(2, 3, 4), 20, 5).double()
    q, k, v = torch.randn(3, 2, 5, 2, 3, 4, 4, dtype=torch.float64)
    read, write, u = (x.permute(0, 1, 5, 2, 3, 4).reshape(2, 20, 24) for x in (q, k, v))
    read, write, u = read[:, :16], write[:, :16], torch.cat((u, u), dim=1)

    def one_way(one: DirectedScan, *given: Tensor) -> Tensor:
        u, write, read = given
        delta = F.softplus(one.step_bias)[:, None].expand_as(u)
        return loop(u, delta, -one.log_rates.exp(), write, read) + one.skip[:, None] * u

    back = one_way(layer.mamba.backwards, u.flip(-1), write.flip(-1), read.flip(-1)).flip(-1)
    there = one_way(layer.mamba.forwards, u, write, read)
    expected = sum((there + back).chunk(2, dim=1)).reshape(2, 5, 4, 24).mT.reshape(v.shape)
    torch.testing.assert_close(layer.core(q, k, v), expected)


def test_the_steps_start_between_a_thousandth_and_a_tenth() -> None:
    steps = F.softplus(pattern.build(TokenGrid(1, 1, 1), 48, 6).mamba.forwards.step_bias)
    assert ((steps > 0.00099) & (steps < 0.101)).all()
