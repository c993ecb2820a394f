"""How many frames one position of a 3D convolutional network's features can see: its receptive field along time.

Derived from the architecture: on the meta device every convolution and pool along time adds (kernel - 1) * dilation
steps of its input to what a position has seen, and its stride makes the steps of its output longer; where branches meet
the widest counts. Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019,
https://distill.pub/2019/computing-receptive-fields. The mean over all positions before the classifier, which has seen
the whole clip, is left out, and so are the clip's ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from vbench.measure.catalog_counts import default_cell
from vbench.measure.subject import all_inputs, build_network, input_shape

aten = torch.ops.aten
VIDEO_DIMS, TIME = 5, 2  # b c t h w
POOLS = (aten.max_pool3d_with_indices.default, aten.avg_pool3d.default)


class Window(NamedTuple):
    """Along time, in positions of the input: how many each output looks at, how far apart, and from one to the next."""

    kernel: int
    dilation: int
    stride: int


class Span(NamedTuple):
    """In frames of the clip: how many one position has seen, from the first to the last, and its neighbour's offset."""

    frames: int
    step: int

    def through(self, window: Window) -> Span:
        """The span of an output of `window`."""
        return Span(self.frames + (window.kernel - 1) * window.dilation * self.step, self.step * window.stride)


class TemporalSpans(TorchDispatchMode):
    """Follows the span of everything that is computed from `video`."""

    def __init__(self, video: Tensor) -> None:
        super().__init__()
        self._known = WeakIdKeyDictionary()
        self._known[video] = Span(1, 1)
        self.widest: int = 1  # of what convolutions and pools along time gave

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, and say what its results have seen."""
        out = func(*args, **(kwargs or {}))
        seen = [self._known[x] for x in _tensors(args) if x in self._known]
        if not seen:
            return out
        span = Span(max(each.frames for each in seen), max(each.step for each in seen))
        if (window := _window(func, args)) is not None:
            span = span.through(window)
            self.widest = max(self.widest, span.frames)
        for result in _tensors(out):
            self._known[result] = span
        return out


def receptive_frames(name: str) -> int:
    """Frames of a clip, were it long enough, that one position of the features of a catalog's network can depend on."""
    cell = default_cell(name)
    network = build_network(cell, torch.device("meta"))
    video = torch.empty(input_shape(cell), device="meta")
    with torch.no_grad(), TemporalSpans(video) as spans:
        network(*all_inputs(network, video))
    widest: int = spans.widest
    return widest


def _window(func: Any, args: tuple[Any, ...]) -> Window | None:
    """What an operator does along time; None where it leaves time as it is."""
    x = args[0]
    if not isinstance(x, Tensor) or x.dim() != VIDEO_DIMS:
        return None
    if func is aten.convolution.default:
        _, weight, _, stride, _, dilation = args[:6]
        return Window(weight.shape[TIME], _along_time(dilation), _along_time(stride))
    if func in POOLS:
        kernel = args[1]
        stride = args[2] if len(args) > 2 and args[2] else kernel
        return Window(_along_time(kernel), 1, _along_time(stride))
    if func is aten.unfold.default and args[1] == TIME:
        return Window(args[2], 1, args[3])
    if func is aten.index_select.default and args[1] == TIME:
        return Window(1, 1, x.shape[TIME] // args[2].numel())
    return None


def _along_time(sizes: Sequence[int]) -> int:
    return sizes[0]


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
