"""TensorFlow's 'SAME' padding against its documentation's arithmetic, and layers against loops over their windows."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from vbench_models.layers.same_padding import SameConv3d, SameMaxPool3d, same_padding

CASES = [  # extent, kernel, stride of each axis: all of I3D's and CVRL's, on extents that do and do not divide
    ((5, 6, 7), (7, 7, 7), (2, 2, 2)),
    ((4, 5, 8), (1, 3, 3), (1, 2, 2)),
    ((5, 4, 3), (3, 3, 3), (2, 2, 2)),
    ((5, 4, 1), (2, 2, 2), (2, 2, 2)),
    ((3, 4, 2), (3, 3, 3), (1, 1, 1)),
]


def documented(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """As tensorflow.org writes it, by whether the stride divides the extent."""
    padded = max(kernel - (stride if extent % stride == 0 else extent % stride), 0)
    return padded // 2, padded - padded // 2


def windows(
    x: NDArray[np.float64], kernel: tuple[int, ...], stride: tuple[int, ...], fill: float
) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """The window behind every output position of `x`, c t h w, what lies outside filled."""
    extents = x.shape[1:]
    ends = [documented(*axis) for axis in zip(extents, kernel, stride, strict=True)]
    padded = np.pad(x, ((0, 0), *ends), constant_values=fill)
    outputs = [range(-(-extent // step)) for extent, step in zip(extents, stride, strict=True)]
    return {
        place: padded[(slice(None), *(slice(i * s, i * s + k) for i, s, k in zip(place, stride, kernel, strict=True)))]
        for place in itertools.product(*outputs)
    }


@given(extent=st.integers(1, 300), kernel=st.integers(1, 7), stride=st.integers(1, 4))
def test_padding_is_that_of_the_documentation(extent: int, kernel: int, stride: int) -> None:
    assert same_padding(extent, kernel, stride) == documented(extent, kernel, stride)


@pytest.mark.parametrize(("extents", "kernel", "stride"), CASES)
def test_a_convolution_is_the_sum_over_each_window(
    extents: tuple[int, int, int], kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    conv = SameConv3d(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, *extents, dtype=torch.float64)
    with torch.no_grad():
        out = conv(x)[0]
    found = windows(x[0].numpy(), kernel, stride, fill=0)
    assert out.shape[1:] == tuple(np.max(list(found), axis=0) + 1)
    for (t, h, w), window in found.items():
        expected = (conv.weight.detach().numpy() * window).sum(axis=(1, 2, 3, 4))
        np.testing.assert_allclose(out[:, t, h, w].numpy(), expected)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(("extents", "kernel", "stride"), CASES[1:])
def test_a_pool_is_the_greatest_of_each_window_even_where_all_are_negative(
    extents: tuple[int, int, int], kernel: tuple[int, int, int], stride: tuple[int, int, int], requires_grad: bool
) -> None:
    torch.manual_seed(0)
    x = (-1 - torch.rand(1, 2, *extents, dtype=torch.float64)).requires_grad_(requires_grad)
    out: Tensor = SameMaxPool3d(kernel, stride)(x)[0].detach()
    found = windows(x[0].detach().numpy(), kernel, stride, fill=-np.inf)
    assert out.shape[1:] == tuple(np.max(list(found), axis=0) + 1)
    for (t, h, w), window in found.items():
        np.testing.assert_array_equal(out[:, t, h, w].numpy(), window.max(axis=(1, 2, 3)))
