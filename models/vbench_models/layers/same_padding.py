"""TensorFlow's padding 'SAME': ceil(extent / stride) outputs, and the odd one of what is padded goes to the far end.

https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2. Strided layers of an even extent are thus padded
unevenly, which torch's layers cannot say of themselves, and how depends on the extent they are given.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Thw = tuple[int, int, int]


class SameConv3d(nn.Conv3d):
    """A convolution without bias; pads beforehand, with a copy, only where the two ends differ."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Thw, stride: Thw = (1, 1, 1)) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=False)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t2 h2 w2"]:
        """The features at every `stride`-th position."""
        t, h, w = (same_padding(*axis) for axis in zip(x.shape[2:], self.kernel_size, self.stride, strict=True))
        if all(near == far for near, far in (t, h, w)):
            return F.conv3d(x, self.weight, None, self.stride, padding=(t[0], h[0], w[0]))
        return F.conv3d(F.pad(x, (*w, *h, *t)), self.weight, None, self.stride)


class SameMaxPool3d(nn.Module):
    """The greatest value in each window, never the padding; the kernel is at least as long as the stride."""

    def __init__(self, kernel_size: Thw, stride: Thw) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t2 h2 w2"]:
        """The features at every `stride`-th position.

        Without a gradient, axis by axis: 9 comparisons rather than 27, each over whole tensors, are an order of
        magnitude faster on a CPU. A gradient would keep all that is compared; torch's own pool keeps indices alone.
        """
        axes = list(zip((2, 3, 4), self.kernel_size, self.stride, strict=True))
        if x.requires_grad:
            near = [same_padding(x.shape[dim], kernel, stride)[0] for dim, kernel, stride in axes]
            return F.max_pool3d(x, self.kernel_size, self.stride, near, ceil_mode=True)  # reaches past the far end
        for dim, kernel, stride in axes:
            x = greatest_along(dim, x, kernel, stride) if kernel > 1 else x
        return x


def greatest_along(dim: int, x: Float[Tensor, "b c t h w"], kernel: int, stride: int) -> Float[Tensor, "b c t2 h2 w2"]:
    """The greatest of each `kernel` neighbours along one axis."""
    near, far = same_padding(x.shape[dim], kernel, stride)
    padded = F.pad(x, (0, 0) * (x.ndim - 1 - dim) + (near, far), value=-torch.inf)
    return reduce(torch.maximum, padded.unfold(dim, kernel, stride).unbind(-1))


def same_padding(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """How many positions are padded before and after `extent`."""
    outputs = -(-extent // stride)
    padded = max((outputs - 1) * stride + kernel - extent, 0)
    return padded // 2, padded - padded // 2
