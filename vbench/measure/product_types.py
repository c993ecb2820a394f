"""In which types a network's products run, in its forward and in its backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

OUTSIDE = -1  # what torch says for the number of the backward under way when there is none


class ProductTypes(TorchDispatchMode):
    """Writes down in which type every product runs, and which of them belong to a backward.

    What a checkpointed block computes again belongs to the backward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.backward: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator; note the result's type if it multiplies."""
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            result = next(leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
            dtype = str(result.dtype).removeprefix("torch.")
            self.seen.append(dtype)
            if torch._C._current_graph_task_id() != OUTSIDE:
                self.backward.append(dtype)
        return out
