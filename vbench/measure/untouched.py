"""Building a network without writing its parameters: pages that nobody writes take no memory, and filling them no time.

The meta device would do so, too, but operators on it import modules that a process with a real network never does: for
Video Swin's tables of places all of SymPy, 50 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LARGE = 2**10  # numbers: smaller tensors take no pages worth speaking of, and may be what the network computes with


@contextmanager
def untouched() -> Iterator[None]:
    """Let functions that fill a large tensor in place, such as those of `torch.nn.init`, do nothing.

    One of these, `trunc_normal_`, draws again what lies outside its bounds: for ever, where nothing is drawn and the
    memory holds what was there before. No mode is told of it, so that it is replaced where torch calls it.
    """
    draw = nn.init._no_grad_trunc_normal_
    nn.init._no_grad_trunc_normal_ = lambda tensor, *how, **named: (
        tensor if _is_large(tensor) else draw(tensor, *how, **named)
    )
    try:
        with _NoFills():
            yield
    finally:
        nn.init._no_grad_trunc_normal_ = draw


class _NoFills(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        filled = kwargs.get("tensor", args[0] if args else None)
        name = getattr(func, "__name__", "")
        is_fill = name.endswith("_") and not name.endswith("__")
        return filled if is_fill and _is_large(filled) else func(*args, **kwargs)


def _is_large(filled: object) -> bool:
    return isinstance(filled, Tensor) and filled.numel() > LARGE and filled.is_floating_point()


def forget_parameters(network: nn.Module) -> None:
    """Give back what the parameters occupy after all; the modules stay."""
    for module in network.modules():
        module._parameters.clear()
        module._buffers.clear()
