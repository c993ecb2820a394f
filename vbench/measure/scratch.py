"""What an operator's CPU kernel allocates beside its results and frees before it returns: a table of its highest point.

A prediction on fake tensors sees results only. Each entry says in bytes how far the live tensors rise above what is
alive when the operator has returned, and where in torch's sources (aten/src/ATen/native) or in oneDNN's that is
written. Operators that are not in the table allocate nothing but their results, or next to nothing, as far as predicted
and observed peaks of layers and small networks tell (`benchmarks.memory`, torch 2.13). oneDNN's blocked layouts are
those of a CPU with AVX-512: channels in blocks of 16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vbench.measure.convolution_scratch import convolution_steps, of_convolution, of_convolution_backward
from vbench.measure.kernel_steps import Steps, after_results

KEYS_AT_ONCE = 512  # of the flash kernel's blocks
FLOAT_BYTES, PLACE_BYTES = 4, 8
SMALL_RESULT = 128  # height and width together, up to which bilinear sampling works with the channels last


def scratch_bytes(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Bytes above the operator's results at its highest point, on a CPU with torch's present number of threads."""
    return sum(scratch_pieces(operator, args, kwargs))


def scratch_pieces(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    """The blocks that these bytes are in, in the order in which they are taken."""
    model = SCRATCH.get(str(operator))
    size = model(*args, **kwargs) if model else []
    return size if isinstance(size, list) else [size]


def kernel_steps(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    """The same in steps: a convolution's around its results, those of all else after them."""
    if str(operator) == "aten.convolution.default":
        return convolution_steps(*args, **kwargs)
    return after_results(*scratch_pieces(operator, args, kwargs))


def copied(*tensors: Tensor | None) -> int:
    """Bytes of those that are not contiguous, of which the kernel makes contiguous copies."""
    return sum(x.numel() * x.element_size() for x in tensors if x is not None and not x.is_contiguous())


def of_layer_norm(x: Tensor, *_: Any) -> int:
    """The input, contiguous (layer_norm.cpp, `layer_norm_cpu`: `input.expect_contiguous()`)."""
    return copied(x)


def of_layer_norm_backward(grad: Tensor, x: Tensor, shape: list[int], *_: Any) -> int:
    """Contiguous operands, and sums of both parameters' gradients for each thread (layer_norm_kernel.cpp)."""
    width = torch.Size(shape).numel()
    return copied(grad, x) + 2 * torch.get_num_threads() * width * max(FLOAT_BYTES, x.element_size())


def of_batch_norm(x: Tensor, *_: Any) -> int:
    """A factor and a summand for each channel (batch_norm_kernel.cpp)."""
    return 2 * x.shape[1] * FLOAT_BYTES


def of_batch_norm_backward(grad: Tensor, x: Tensor, *_: Any) -> int:
    """Room for the input's gradient is made twice (Normalization.cpp, `batch_norm_backward_cpu`)."""
    return copied(grad) + x.numel() * x.element_size()


def of_softmax(x: Tensor, *_: Any) -> int:
    """The input, contiguous (SoftMax.cpp, `softmax_cpu_out`)."""
    return copied(x)


def of_softmax_backward(grad: Tensor, output: Tensor, *_: Any) -> int:
    """Contiguous operands (SoftMax.cpp, `softmax_backward_cpu_out`)."""
    return copied(grad, output)


def of_safe_softmax(x: Tensor, dim: int, *_: Any) -> list[int]:
    """One byte for each score and for each row: is it minus infinity (SoftMax.cpp, `_safe_softmax`), and a zero."""
    return [copied(x), x.numel(), x.numel() // x.shape[dim], x.element_size()]


def of_bilinear(x: Tensor, size: list[int] | None, *_: Any) -> int:
    """Places and weights of two neighbours along each axis; or, of small results, input and result channels last.

    cpu/UpSampleKernel.cpp, `upsample_generic_Nd_kernel_impl` and `_use_vectorized_kernel_cond_2d`.
    """
    if size is None or x.is_contiguous(memory_format=torch.channels_last):
        return 0
    if sum(size) > SMALL_RESULT:
        return sum(size) * 2 * (PLACE_BYTES + FLOAT_BYTES)
    return (x.numel() + x.shape[0] * x.shape[1] * size[0] * size[1]) * x.element_size()


def queries_at_once(queries: int) -> int:
    """Rows of a block of scores (cpu/FlashAttentionKernel.cpp, `flash_attention_kernel_impl`)."""
    block = 256 if queries >= 768 else 64 if queries >= 192 else 32
    return min(block, queries)


def of_flash_attention(query: Tensor, key: Tensor, *_: Any, **__: Any) -> list[int]:
    """For each thread a block of scores, two statistics and the sums of a block (cpu/FlashAttentionKernel.cpp)."""
    rows, columns = queries_at_once(query.shape[2]), min(KEYS_AT_ONCE, key.shape[2])
    accumulated = rows * (columns + 2 + query.shape[3]) * FLOAT_BYTES
    reduced = rows * columns * query.element_size() if query.element_size() < FLOAT_BYTES else 0
    return [torch.get_num_threads() * accumulated, torch.get_num_threads() * reduced]


def of_flash_attention_backward(grad: Tensor, query: Tensor, key: Tensor, *_: Any, **__: Any) -> int:
    """For each thread a block of scores and its gradient, and a sum for each row; a gradient with heads in tokens."""
    rows, columns = queries_at_once(query.shape[2]), min(KEYS_AT_ONCE, key.shape[2])
    values = 2 * rows * columns
    reduced = values * query.element_size() if query.element_size() < FLOAT_BYTES else 0
    return copied(grad.transpose(1, 2)) + torch.get_num_threads() * ((values + rows) * FLOAT_BYTES + reduced)


SCRATCH: dict[str, Callable[..., int | list[int]]] = {  # in one block, or in several that are there at once
    "aten.convolution.default": of_convolution,
    "aten.convolution_backward.default": of_convolution_backward,
    "aten.native_layer_norm.default": of_layer_norm,
    "aten.native_layer_norm_backward.default": of_layer_norm_backward,
    "aten.native_batch_norm.default": of_batch_norm,
    "aten.native_batch_norm_backward.default": of_batch_norm_backward,
    "aten.upsample_bilinear2d.default": of_bilinear,
    "aten._softmax.default": of_softmax,
    "aten._softmax_backward_data.default": of_softmax_backward,
    "aten._safe_softmax.default": of_safe_softmax,
    "aten._scaled_dot_product_flash_attention_for_cpu.default": of_flash_attention,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward.default": of_flash_attention_backward,
}
