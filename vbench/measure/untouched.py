"""Building a network without writing its parameters: pages that nobody writes take no memory, and filling them no time.

The meta device would do so, too, but operators on it import modules that a process with a real network never does: for
Video Swin's tables of places all of SymPy, 50 MB.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LARGE = 2**10  # numbers: smaller tensors take no pages worth speaking of, and may be what the network computes with


class Untouched(TorchFunctionMode):
    """Lets functions that fill a large tensor in place, such as those of `torch.nn.init`, do nothing."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The function's result, or the tensor as it is."""
        kwargs = kwargs or {}
        filled = kwargs.get("tensor", args[0] if args else None)
        name = getattr(func, "__name__", "")
        is_fill = name.endswith("_") and not name.endswith("__")
        if is_fill and isinstance(filled, Tensor) and filled.numel() > LARGE and filled.is_floating_point():
            return filled
        return func(*args, **kwargs)


def forget_parameters(network: torch.nn.Module) -> None:
    """Give back what the parameters occupy after all; the modules stay."""
    for module in network.modules():
        module._parameters.clear()
        module._buffers.clear()
