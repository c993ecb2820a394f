"""What a convolution allocates on a CPU beside its results: copies in blocked layouts, or columns.

Torch has two ways (Convolution.cpp, `use_mkldnn`), and says itself which it takes. oneDNN (mkldnn/Conv.cpp) computes on
copies of input, weights and result whose channels stand in blocks, and copies the result back; inputs of up to three
channels stay as they are. Else an input is unfolded into columns, one for each place of the result (im2col), and
multiplied (ConvolutionMM2d.cpp, ConvolutionMM3d.cpp). What is said of oneDNN was seen with version 3 on a CPU with
AVX-512; it chooses its layouts by the processor.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vbench.measure.kernel_steps import RESULTS, Steps, highest_above, within
from vbench.measure.pointwise_sums import Pointwise

BLOCK = 16  # channels, in AVX-512
PLAIN_CHANNELS = 3  # an input of no more is not put into blocks
WIDEST_KERNEL = 14  # for which oneDNN generates a gradient of weights with plain inputs; wider ones go through columns


class _Geometry(NamedTuple):
    """Shapes of one convolution, and the size of a number."""

    x: torch.Size
    weight: torch.Size
    y: torch.Size
    groups: int
    itemsize: int
    is_thinning: bool = False  # a kernel of one place that passes over places

    @property
    def is_plain(self) -> bool:
        """The input is not put into blocks."""
        return self.groups == 1 and self.x[1] <= PLAIN_CHANNELS

    @property
    def x_blocked(self) -> int:
        return 0 if self.is_plain else self._bytes(self.x[0], _blocked(self.x[1]), *self.x[2:])

    @property
    def y_blocked(self) -> int:
        return self._bytes(self.y[0], _blocked(self.y[1]), *self.y[2:])

    @property
    def sums(self) -> int:
        """What threads have for sums in fp32, where a kernel of one place is applied to bf16."""
        clips, outputs, *extents = self.y
        threads = torch.get_num_threads()
        return Pointwise(_blocked(self.x[1]), _blocked(outputs), clips, tuple(extents), threads).sums_bytes

    @property
    def weight_blocked(self) -> int:
        out, into, *kernel = self.weight
        if self.groups == 1 and not self.is_plain:
            into = _blocked(into)
        return self._bytes(_blocked(out), into, *kernel)

    @property
    def weight_in_groups(self) -> int:
        """Each group's weights in blocks of their own, as for gradients with the channels last."""
        out, into, *kernel = self.weight
        return self._bytes(self.groups, _blocked(out // self.groups), _blocked(into), *kernel)

    @property
    def x_bytes(self) -> int:
        return self._bytes(*self.x)

    @property
    def y_bytes(self) -> int:
        return self._bytes(*self.y)

    @property
    def weight_bytes(self) -> int:
        return self._bytes(*self.weight)

    @property
    def columns(self) -> int:
        """The unfolded input: as many numbers as a weight has inputs, for each place of the result."""
        return self._bytes(self.x[0], self.x[1], *self.weight[2:], *self.y[2:])

    def _bytes(self, *extents: int) -> int:
        return prod(extents) * self.itemsize


def convolution_steps(  # noqa: PLR0917 - the operator's schema
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Steps:
    """What one convolution takes and gives back around its result.

    oneDNN's copies are blocks of their own: those of input and weights are gone when torch makes the result, that in
    blocked layout is there until then; over several groups in space and time it is copied once more between the two.
    In bf16 a kernel of one place has room for sums in fp32 (`pointwise_sums`).
    """
    backend, channels_last = _way(
        x, weight, bias, stride, padding, dilation, transposed, output_padding, groups, bias_sizes=None
    )
    y = _result(x, weight, stride, padding, dilation)
    sizes = _Geometry(x.shape, weight.shape, y, groups, x.element_size())
    copies = {
        "contiguous input": _copied(x, channels_last=channels_last),
        "contiguous weights": _copied(weight, channels_last=channels_last),
    }
    if backend.startswith("Slow") and not transposed:
        columns = 0 if _is_product(weight, stride, padding) else sizes.columns
        return within(copies | {"columns": columns}, [(RESULTS, 0)])
    if backend != "Mkldnn":
        return within(copies, [(RESULTS, 0)])
    if channels_last:
        return within(copies, [(RESULTS, 0), *within({"weights": sizes.weight_blocked}, [])])
    is_pointwise = groups == 1 and prod((*weight.shape[2:], *stride)) == 1
    sums = sizes.sums if is_pointwise and x.dtype == torch.bfloat16 else 0
    operands = {"sums": sums, "input": sizes.x_blocked, "weights": sizes.weight_blocked}
    computing = within(operands, [("result", sizes.y_blocked)])
    again = {"plain result": sizes.y_bytes} if groups > 1 and weight.ndim == 5 else {}
    return within(copies, [*computing, *within(again, [(RESULTS, 0)]), ("result", -sizes.y_blocked)])


def of_convolution(x: Tensor, weight: Tensor, *rest: Any) -> int:
    """Bytes above the result at the highest point of one convolution."""
    steps = convolution_steps(x, weight, *rest)
    _, stride, padding, dilation = rest[:4]
    return highest_above(steps, prod(_result(x, weight, stride, padding, dilation)) * x.element_size())


def of_convolution_backward(  # noqa: PLR0917 - the operator's schema
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    wanted: list[bool],
) -> int:
    """Bytes above the gradients at the highest point: that of the input comes first, then those of the parameters."""
    backend, channels_last = _way(
        x, weight, None, stride, padding, dilation, transposed, output_padding, groups, bias_sizes=bias_sizes
    )
    is_thinning = prod(weight.shape[2:]) == 1 and any(step > 1 for step in stride)
    sizes = _Geometry(x.shape, weight.shape, grad.shape, groups, x.element_size(), is_thinning)
    copies = sum(_copied(operand, channels_last=channels_last) for operand in (grad, x, weight))
    of_x = sizes.x_bytes if wanted[0] else 0
    of_weight = sizes.weight_bytes if wanted[1] else 0
    of_bias = weight.shape[0] * x.element_size() if wanted[2] else 0
    if backend.startswith("Slow") and not transposed:
        first = of_x + sizes.columns if wanted[0] else 0
        second = of_x + of_weight + of_bias + (0 if _is_product(weight, stride, padding) else sizes.columns)
    elif backend == "Mkldnn":
        first = _input_gradient(sizes, of_x, channels_last=channels_last) if wanted[0] else 0
        second = of_x + (_weight_gradient(sizes, of_bias, channels_last=channels_last) if wanted[1] else 0)
    else:
        return copies
    return max(0, copies + max(first, second) - of_x - of_weight - of_bias)


def _input_gradient(sizes: _Geometry, of_x: int, *, channels_last: bool) -> int:
    """OneDNN's backward-data, then the copy back (mkldnn/Conv.cpp, `mkldnn_convolution_backward_input`).

    Where oneDNN prefers the channels last though torch does not, the copy back is copied once more
    (mkldnn/MKLDNNConversions.cpp, `mkldnn_to_dense`: `cpu_tensor.contiguous()`).
    """
    if channels_last:
        return of_x + (sizes.weight_in_groups if sizes.groups > 1 else sizes.weight_blocked)
    if sizes.groups > 1 and len(sizes.weight) == 5:
        return 2 * of_x
    computing = sizes.y_blocked + sizes.weight_blocked + sizes.x_blocked
    return max(computing, sizes.x_blocked + of_x * (2 if sizes.is_thinning else 1))


def _weight_gradient(sizes: _Geometry, of_bias: int, *, channels_last: bool) -> int:
    """OneDNN's backward-weights, then the copies back (mkldnn/Conv.cpp, `mkldnn_convolution_backward_weights`)."""
    if channels_last:  # copied back, and from there into torch's layout
        own = sizes.weight_in_groups if sizes.groups > 1 else sizes.weight_blocked
        return own + 2 * of_bias + 2 * sizes.weight_bytes
    blocked = sizes.weight_blocked + of_bias
    copying_back = blocked + sizes.weight_bytes + of_bias
    if sizes.groups > 1:
        return copying_back
    threads = min(torch.get_num_threads(), sizes.x[0])
    if sizes.is_plain and sizes.weight[-1] > WIDEST_KERNEL:
        # cpu/gemm_convolution_utils.cpp: a thread's columns of one frame, and sums of weights, booked as bytes times
        # four although their type is a float already
        columns = sizes.columns // (sizes.x[0] * (sizes.y[2] if len(sizes.y) == 5 else 1))
        return max(blocked + threads * (columns + 4 * sizes.weight_bytes), copying_back)
    computing = sizes.x_blocked + sizes.y_blocked + blocked + (threads - 1) * sizes.weight_blocked
    return max(computing, copying_back)


def _way(  # noqa: PLR0917
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int], dilation: list[int],
    transposed: bool, output_padding: list[int], groups: int, *, bias_sizes: list[int] | None,
) -> tuple[str, bool]:  # fmt: skip
    """Torch's own choice, such as Mkldnn or Slow3d, and whether it keeps the channels last."""
    backend = torch._C._select_conv_backend(
        x, weight, bias=bias, stride=stride, padding=padding, dilation=dilation, transposed=transposed,
        output_padding=output_padding, groups=groups, bias_sizes=bias_sizes,
    )  # fmt: skip
    if weight.ndim < 4:
        return backend.name, False
    layout = torch._C._conv_determine_backend_memory_format(x, weight, backend)
    return backend.name, layout is not torch.contiguous_format


def _result(x: Tensor, weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]) -> torch.Size:
    places = (
        (size + 2 * pad - far * (kernel - 1) - 1) // step + 1
        for size, kernel, step, pad, far in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    )
    return torch.Size((x.shape[0], weight.shape[0], *places))


def _is_product(weight: Tensor, stride: list[int], padding: list[int]) -> bool:
    """A kernel of one place, so that the input is its own columns."""
    return all(size == 1 for size in (*weight.shape[2:], *stride)) and not any(padding)


def _copied(x: Tensor, *, channels_last: bool) -> int:
    layout = torch.contiguous_format
    if channels_last:
        layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    return 0 if x.is_contiguous(memory_format=layout) else x.numel() * x.element_size()


def _blocked(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
