"""What operators allocate beside their results: the table against torch's CPU allocator, one operator at a time."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vbench.measure.footprint import threads
from vbench.measure.kernel_steps import RESULTS
from vbench.measure.memory import allocated_in_order, allocated_peak, bytes_of
from vbench.measure.scratch import SCRATCH, kernel_steps, scratch_bytes

aten = torch.ops.aten
ONES, ZEROS = [1, 1, 1], [0, 0, 0]


def noise(*shape: int) -> Tensor:
    return torch.randn(shape)


def swapped(*shape: int) -> Tensor:
    """Of this shape, and not contiguous."""
    return torch.randn(*shape[:-2], shape[-1], shape[-2]).mT


def heads_inside(*shape: int) -> Tensor:
    """`b heads n d` as a projection lays them out."""
    b, heads, n, d = shape
    return torch.randn(b, n, heads, d).transpose(1, 2)


def convolution(x: Tensor, weight: Tensor, stride: list[int], padding: list[int], groups: int = 1) -> tuple[Any, ...]:
    plain = len(stride) * [1], False, len(stride) * [0]
    return x, weight, torch.randn(len(weight)), stride, padding, *plain, groups


def backward(
    x: Tensor, weight: Tensor, stride: list[int], padding: list[int], groups: int = 1, *, of_x: bool = True
) -> tuple[Any, ...]:
    forward = convolution(x, weight, stride, padding, groups)
    grad = torch.randn_like(aten.convolution.default(*forward))
    return grad, x, weight, [len(weight)], *forward[3:], [of_x, True, True]


def halved(x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> tuple[Any, ...]:
    """A convolution in bf16, without a bias."""
    _, _, _, *rest = convolution(x, weight, stride, padding)
    return x.bfloat16(), weight.bfloat16(), None, *rest


def channels_last(*shape: int) -> Tensor:
    """A video or an image with the channels last in memory."""
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    return torch.randn(shape).to(memory_format=layout)


CASES = {
    "oneDNN, three channels: patches": (
        aten.convolution.default, convolution(noise(1, 3, 4, 64, 64), noise(96, 3, 2, 4, 4), [2, 4, 4], ZEROS),
    ),
    "oneDNN, blocks of channels": (
        aten.convolution.default, convolution(noise(1, 64, 16, 32, 32), noise(48, 64, 3, 3, 3), ONES, ONES),
    ),
    "oneDNN, channels that fill no block": (
        aten.convolution.default, convolution(noise(2, 40, 16, 32, 32), noise(24, 40, 3, 3, 3), ONES, ONES),
    ),
    "oneDNN, channel by channel": (
        aten.convolution.default, convolution(noise(8, 96, 4, 14, 14), noise(96, 1, 3, 3, 3), ONES, ONES, 96),
    ),
    "oneDNN, images": (
        aten.convolution.default, convolution(noise(4, 64, 28, 28), noise(64, 64, 3, 3), [2, 2], [1, 1]),
    ),
    "oneDNN, channels last": (
        aten.convolution.default,
        convolution(channels_last(4, 64, 56, 56), noise(64, 64, 3, 3), [1, 1], [1, 1]),
    ),
    "oneDNN, in bf16, one place": (
        aten.convolution.default, halved(noise(1, 64, 8, 28, 28), noise(256, 64, 1, 1, 1), ONES, ZEROS),
    ),
    "oneDNN, in bf16, one place, images": (
        aten.convolution.default, halved(noise(2, 256, 14, 14), noise(72, 256, 1, 1), [1, 1], [0, 0]),
    ),
    "oneDNN, in bf16, one place, channels shared among threads": (
        aten.convolution.default, halved(noise(1, 256, 8, 7, 7), noise(1024, 256, 1, 1, 1), ONES, ZEROS),
    ),
    "oneDNN, in bf16, one place, weights larger than a cache": (
        aten.convolution.default, halved(noise(1, 1024, 1, 7, 7), noise(512, 1024, 1, 1, 1), ONES, ZEROS),
    ),
    "oneDNN, in bf16, one place, as many clips as threads": (
        aten.convolution.default, halved(noise(4, 128, 3, 14, 14), noise(512, 128, 1, 1, 1), ONES, ZEROS),
    ),
    "oneDNN, in bf16, every second place": (
        aten.convolution.default, halved(noise(1, 64, 8, 28, 28), noise(256, 64, 1, 1, 1), [1, 2, 2], ZEROS),
    ),
    "oneDNN, in bf16": (
        aten.convolution.default, halved(noise(1, 64, 8, 28, 28), noise(64, 64, 1, 3, 3), ONES, [0, 1, 1]),
    ),
    "columns": (
        aten.convolution.default, convolution(noise(1, 16, 4, 16, 16), noise(32, 16, 3, 1, 1), ONES, [1, 0, 0]),
    ),
    "oneDNN, backward": (
        aten.convolution_backward.default, backward(noise(1, 64, 16, 32, 32), noise(48, 64, 3, 3, 3), ONES, ONES),
    ),
    "oneDNN, backward, large weights": (
        aten.convolution_backward.default, backward(noise(1, 256, 8, 12, 12), noise(256, 256, 3, 3, 3), ONES, ONES),
    ),
    "oneDNN, backward, patches of four": (
        aten.convolution_backward.default,
        backward(noise(1, 3, 4, 64, 64), noise(96, 3, 2, 4, 4), [2, 4, 4], ZEROS, of_x=False),
    ),
    "oneDNN, backward, patches of sixteen": (
        aten.convolution_backward.default,
        backward(noise(1, 3, 4, 64, 64), noise(96, 3, 2, 16, 16), [2, 16, 16], ZEROS, of_x=False),
    ),
    "oneDNN, backward, every second place": (
        aten.convolution_backward.default,
        backward(noise(1, 256, 8, 16, 16), noise(128, 256, 1, 1, 1), [1, 2, 2], ZEROS),
    ),
    "oneDNN, backward, channel by channel, last": (
        aten.convolution_backward.default,
        backward(channels_last(1, 96, 4, 16, 16), noise(96, 1, 3, 3, 3), [1, 2, 2], ONES, 96),
    ),
    "oneDNN, backward, channels last": (
        aten.convolution_backward.default,
        backward(channels_last(1, 3, 8, 64, 64), noise(96, 3, 3, 7, 7), [2, 4, 4], [1, 3, 3], of_x=False),
    ),
    "columns, backward": (
        aten.convolution_backward.default, backward(noise(1, 16, 4, 16, 16), noise(32, 16, 3, 1, 1), ONES, [1, 0, 0]),
    ),
    "layer norm": (aten.native_layer_norm.default, (noise(8, 49, 96), [96], noise(96), noise(96), 1e-5)),
    "layer norm, not contiguous": (
        aten.native_layer_norm.default, (swapped(8, 49, 96), [96], noise(96), noise(96), 1e-5),
    ),
    "layer norm, backward": (
        aten.native_layer_norm_backward.default,
        (
            noise(8, 49, 96), swapped(8, 49, 96), [96], noise(8, 49, 1), noise(8, 49, 1), noise(96), noise(96),
            [True] * 3,
        ),
    ),
    "batch norm": (
        aten.native_batch_norm.default,
        (noise(1, 64, 4, 8, 8), noise(64), noise(64), noise(64), noise(64).abs(), False, 0.1, 1e-5),
    ),
    "batch norm, in training": (
        aten.native_batch_norm.default,
        (noise(1, 64, 4, 8, 8), noise(64), noise(64), noise(64), noise(64).abs(), True, 0.1, 1e-5),
    ),
    "batch norm, backward": (
        aten.native_batch_norm_backward.default,
        (
            noise(1, 64, 4, 8, 8), noise(1, 64, 4, 8, 8), noise(64), noise(64), noise(64).abs(), noise(64),
            noise(64).abs(), True, 1e-5, [True] * 3,
        ),
    ),
    "softmax, not contiguous": (aten._softmax.default, (swapped(8, 50, 60), -1, False)),
    "softmax, backward": (
        aten._softmax_backward_data.default, (swapped(8, 50, 60), noise(8, 50, 60), -1, torch.float32),
    ),
    "softmax of rows that may be masked": (aten._safe_softmax.default, (noise(4, 3, 98, 98), -1)),
    "small images made larger": (aten.upsample_bilinear2d.default, (noise(4, 64, 16, 16), [32, 32], False)),
    "larger images": (aten.upsample_bilinear2d.default, (noise(1, 8, 64, 64), [128, 128], False)),
    "flash attention, short": (
        aten._scaled_dot_product_flash_attention_for_cpu.default, tuple(heads_inside(2, 3, 20, 32) for _ in "qkv"),
    ),
    "flash attention, a frame": (
        aten._scaled_dot_product_flash_attention_for_cpu.default, tuple(heads_inside(2, 3, 196, 64) for _ in "qkv"),
    ),
    "flash attention, a clip": (
        aten._scaled_dot_product_flash_attention_for_cpu.default, tuple(heads_inside(1, 3, 800, 64) for _ in "qkv"),
    ),
    "flash attention, bf16": (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        tuple(heads_inside(1, 3, 800, 64).bfloat16() for _ in "qkv"),
    ),
    "flash attention, backward": (
        aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
        (*(heads_inside(1, 3, 800, 64) for _ in ("grad", "q", "k", "v", "out")), noise(1, 800, 3).mT, 0.0, False),
    ),
    "flash attention, backward, heads outside": (
        aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
        (noise(2, 3, 196, 64), *(heads_inside(2, 3, 196, 64) for _ in "qkvo"), noise(2, 196, 3).mT, 0.0, False),
    ),
}  # fmt: skip

IN_PIECES = {"aten.convolution.default", "aten._safe_softmax.default"}  # and with one large result


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_highest_point_of_an_operator_is_its_results_and_its_scratch(case: str, threads: int) -> None:
    operator, args = CASES[case]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = bytes_of(operator(*args))
        predicted, observed = results + scratch_bytes(operator, args, {}), allocated_peak(lambda: operator(*args))
    finally:
        torch.set_num_threads(before)
    assert predicted == pytest.approx(observed, rel=0.005, abs=512)


@pytest.mark.parametrize("case", [case for case, (operator, _) in CASES.items() if str(operator) in IN_PIECES])
@pytest.mark.parametrize("thread_count", [1, 2, 3])
def test_an_operator_takes_and_gives_back_the_blocks_of_its_steps_in_their_order(case: str, thread_count: int) -> None:
    operator, args = CASES[case]
    results = bytes_of(operator(*args))
    large = 10_000 * thread_count  # biases, and what a kernel needs for each thread in any case, are not in the steps
    with threads(thread_count):
        expected = [results if block == RESULTS else size for block, size in kernel_steps(operator, args, {})]
        taken = [size for size in allocated_in_order(lambda: operator(*args)) if abs(size) > large]
    assert taken == pytest.approx([*(size for size in expected if abs(size) > large), -results])


def test_every_entry_of_the_table_is_tried() -> None:
    assert set(SCRATCH) == {str(operator) for operator, _ in CASES.values()}
