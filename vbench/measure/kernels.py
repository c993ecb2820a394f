"""Which kernel computes scaled dot-product attention: asked for, and seen to run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

_ASKED = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
_SEEN = {
    "aten._scaled_dot_product_flash_attention_for_cpu": "flash",
    "aten._scaled_dot_product_flash_attention": "flash",
    "aten._scaled_dot_product_efficient_attention": "efficient",
    "aten._scaled_dot_product_cudnn_attention": "cudnn",
    "aten._scaled_dot_product_fused_attention_overrideable": "vendor",
}


_SEEN_BY_PROFILER = {name.replace(".", "::"): kernel for name, kernel in _SEEN.items()} | {
    "aten::_scaled_dot_product_attention_math": "math"
}
UNSEEN = "not seen"


def kernel_context(kernel: str) -> AbstractContextManager[object]:
    """Restrict attention to one kernel; `fused` leaves the choice to torch."""
    return sdpa_kernel([_ASKED[kernel]]) if kernel in _ASKED else nullcontext()


def kernel_in_profile(run: Callable[[], object]) -> str:
    """Which attention kernels run in code that no mode can look into: a compiled, exported or traced network.

    Such code may have fused the attention into its own kernels: what the profiler knows by no name is `not seen`.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler would say on stderr that it starts and ends
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        run()
    assert profiled.profiler is not None
    recorded = profiled.profiler.kineto_results
    assert recorded is not None
    seen = {_SEEN_BY_PROFILER[event.name()] for event in recorded.events() if event.name() in _SEEN_BY_PROFILER}
    return "+".join(sorted(seen)) or UNSEEN


class KernelWitness(TorchDispatchMode):
    """Sees which attention kernels run; what reaches no fused operator was computed by the math kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = _AttentionCalls()
        self._fused: list[str] = []

    def __enter__(self) -> KernelWitness:
        self._calls.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._calls.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator; note it if it is a fused attention."""
        seen = _SEEN.get(str(func._overloadpacket))
        if seen:
            self._fused.append(seen)
        return func(*args, **(kwargs or {}))

    @property
    def kernel_ran(self) -> str:
        """`flash`, `math`, `flash+math` and so on; `none` for a network without attention."""
        seen = set(self._fused)
        if self._calls.count > len(self._fused):
            seen.add("math")
        return "+".join(sorted(seen)) or "none"


class _AttentionCalls(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))
