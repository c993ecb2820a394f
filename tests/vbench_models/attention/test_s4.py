"""S4 as a convolution against its recurrence, state by state, and the operator against a dense Toeplitz matrix."""

import importlib

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.attention import s4
from vbench_models.layers import cache
from vbench_models.layers import fft_convolution as operator
from vbench_models.layers.state_space import ImpulseResponses, TwoWayConvolution
from vbench_models.video import TokenGrid

GRIDS = [TokenGrid(3, 2, 5), TokenGrid(1, 3, 3), TokenGrid(1, 1, 1), TokenGrid(2, 1, 1), TokenGrid(2, 7, 5)]


def layer(state_dim: int = 6) -> s4.S4:
    torch.manual_seed(0)
    return s4.S4(s4.S4Config(embed_dim=4, num_heads=2, state_dim=state_dim)).double()


def recurrence(responses: ImpulseResponses, direction: int, x: Tensor) -> Tensor:
    """The outputs for `b c n`, token by token: x[i] = exp(dt A) x[i-1] + B' u[i], y[i] = 2 Re C x[i]."""
    rate = torch.complex(-responses.log_decay.exp(), responses.frequency)
    dt = responses.log_dt.exp()[:, None]
    decay, inlet = torch.exp(dt * rate), (torch.exp(dt * rate) - 1) / rate
    outlet = torch.complex(*responses.read[direction].unbind(-1))
    state, outputs = torch.zeros(len(x), *rate.shape, dtype=rate.dtype), []
    for u in x.unbind(-1):
        state = decay * state + inlet * u[:, :, None]
        outputs.append(2 * (outlet * state).sum(-1).real)
    return torch.stack(outputs, dim=-1)


def both_ways(convolution: TwoWayConvolution, x: Tensor) -> Tensor:
    """Forwards with the token itself, backwards from the token after it, and the skip."""
    later = torch.nn.functional.pad(x[..., 1:], (0, 1))
    backwards = recurrence(convolution.responses, 1, later.flip(-1)).flip(-1)
    return recurrence(convolution.responses, 0, x) + backwards + convolution.skip[:, None] * x


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_convolution_equals_the_recurrence_in_both_directions(grid: TokenGrid) -> None:
    convolution = layer().convolution
    x = torch.randn(2, 4, grid.tokens, dtype=torch.float64)
    torch.testing.assert_close(convolution(x), both_ways(convolution, x))


@pytest.mark.parametrize("cached", [1, 2**19])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_core_convolves_the_values(grid: TokenGrid, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)  # some tokens turned, some channels convolved at a time
    model = layer()
    v = torch.randn(2, 2, grid.t, grid.h, grid.w, 2, dtype=torch.float64)
    sequence = v.permute(0, 1, 5, 2, 3, 4).reshape(2, 4, grid.tokens)
    expected = both_ways(model.convolution, sequence).reshape(2, 2, 2, grid.tokens).mT.reshape(v.shape)
    torch.testing.assert_close(model.core(v, v, v), expected)


@pytest.mark.parametrize("cached", [1, 100, 2**19])
@pytest.mark.parametrize("n", [1, 2, 5, 12, 31])
def test_the_operator_equals_a_dense_toeplitz_matrix(n: int, cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", cached)
    x, kernel = torch.randn(2, 3, n, dtype=torch.float64), torch.randn(3, 2 * n - 1, dtype=torch.float64)
    i, j = torch.arange(n)[:, None], torch.arange(n)
    expected = torch.einsum("cij,bcj->bci", kernel[:, n - 1 + i - j], x)
    torch.testing.assert_close(operator.fft_convolution(x, kernel), expected)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_operator_has_a_gradient_and_a_fake(n: int) -> None:
    x = torch.randn(2, 3, n, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 2 * n - 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(operator.fft_convolution, (x, kernel))
    torch.library.opcheck(operator.fft_convolution, (x, kernel))
    torch.library.opcheck(operator.fft_correlation, (x.detach(), x.detach()))


def test_a_transform_costs_what_fftw_reports() -> None:
    assert operator.transform_macs(1024) == 5 * 1024 * 10 / 4  # 5 N log2 N FLOPs, half for a real one; 2 FLOPs a MAC
    assert operator.transform_macs(2) == 3


def test_forward_and_backward_are_counted_as_one_operator_each() -> None:
    x = torch.empty(2, 3, 8, device="meta", requires_grad=True)
    kernel = torch.empty(3, 15, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        operator.fft_convolution(x, kernel).sum().backward()
    counts = {str(name): flops for name, flops in counter.get_flop_counts()["Global"].items()}
    macs = (2 * 2 + 1) * 3 * (1.25 * 16 * 4) + 2 * 3 * 9 * 3
    assert counts == {"vbench.fft_convolution": 2 * 2 * macs, "vbench.fft_correlation": 2 * macs}


def test_importing_the_operator_twice_is_harmless() -> None:
    importlib.reload(operator)
    x = torch.randn(1, 2, 3)
    assert operator.fft_convolution(x, torch.randn(2, 5)).shape == x.shape
