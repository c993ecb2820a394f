"""Memory predicted without running: the peak of live tensor bytes, traced on fake tensors of the target device.

Fused attention is replaced by its outputs (on fake tensors it would decompose into the math kernel and show its n x n
scores); an additive bias stays a tensor, as it does for the real kernels. The peak counts everything that is alive at
once: parameters, buffers, the input and activations.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vbench.cell import Cell
from vbench.measure.precision import PARAMETER_DTYPE, precision_context
from vbench.measure.subject import all_inputs, build_network, input_shape

MOVE_NOTHING = frozenset(  # they ask for a property, set aside memory or look at it in another shape
    ("prim::device", "aten::_unsafe_view", "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty")
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of one forward."""

    peak_bytes: int  # parameters, buffers, input and activations alive at once, at most
    op_bytes: int  # read and written by the operators, views left out


def footprint_of_cell(cell: Cell, *, bias: bool = False) -> Footprint:
    """Predict the cell's footprint, or what it would be with a bias added to every score; needs no such device.

    Raises:
        AxisError: the model does not take such a clip.
    """
    return footprint_built(build_network(cell, torch.device("meta")), cell, bias=bias)


def footprint_built(network: nn.Module, cell: Cell, *, bias: bool = False) -> Footprint:
    """The footprint of the cell's network, which is built already, on the meta device."""
    return footprint(
        network,
        input_shape(cell),
        device=cell.device,
        precision=cell.precision,
        kernel=cell.kernel,
        bias=bias,
    )


def footprint(
    network: nn.Module,
    shape: torch.Size,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    kernel: str = "fused",
    bias: bool = False,
) -> Footprint:
    """Predict one forward of `network` (on the meta device) on one input of `shape`."""
    dtype = PARAMETER_DTYPE[precision]
    math_only = [SDPBackend.MATH]
    with FakeTensorMode(), torch.no_grad():
        state = {name: _like(tensor, device, dtype) for name, tensor in _tensors(network)}
        video = torch.empty(shape, device=device, dtype=dtype)
        inputs = all_inputs(network, video)
        live = LiveBytes((state, inputs))
        attention = sdpa_kernel(math_only) if kernel == "math" else FusedAttention(live)
        added = AddedBias() if bias else nullcontext()
        with precision_context(precision, device), live, attention, added:
            output = torch.func.functional_call(network, state, inputs)
        del output
    return Footprint(peak_bytes=live.peak, op_bytes=live.moved)


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of every storage from its first appearance to its end."""

    def __init__(self, at_start: object) -> None:
        super().__init__()
        self.live = self.peak = self.moved = 0
        self._known: dict[int, weakref.finalize[Any, Any]] = {}
        self.see(at_start)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, take in what it allocated and what it moved."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.see(out)
        if not (func.is_view or func._overloadpacket._qualified_op_name in MOVE_NOTHING):
            self.move((args, kwargs, out))
        return out

    def see(self, tensors: object) -> None:
        """Take in storages that are not known yet."""
        for tensor in _leaves(tensors):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                self._known[storage._cdata] = weakref.finalize(storage, self._end, storage._cdata, storage.nbytes())
                self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)

    def move(self, tensors: object) -> None:
        """Count the bytes of an operator's operands and results, each once."""
        self.moved += sum(tensor.numel() * tensor.element_size() for tensor in _leaves(tensors))

    def _end(self, key: int, size: int) -> None:
        del self._known[key]
        self.live -= size


class FusedAttention(TorchFunctionMode):
    """Stands for a fused attention kernel: allocates its outputs, never its scores."""

    def __init__(self, live: LiveBytes) -> None:
        super().__init__()
        self._live = live

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace scaled dot-product attention; run everything else."""
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = (_as_autocast(operand) for operand in args[:3])
        out = torch.empty((*query.shape[:-1], value.shape[-1]), dtype=query.dtype, device=query.device)
        logsumexp = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        del logsumexp
        self._live.move((query, key, value, kwargs.get("attn_mask"), out))
        return out


class AddedBias(TorchFunctionMode):
    """Gives every attention that has none an additive bias, one number per head, query and key."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Add the bias to scaled dot-product attention; run everything else."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and kwargs.get("attn_mask") is None and len(args) == 3:
            query, key, _ = args
            shape = (1, query.shape[-3], query.shape[-2], key.shape[-2])
            kwargs = {**kwargs, "attn_mask": torch.empty(shape, dtype=query.dtype, device=query.device)}
        return func(*args, **kwargs)


def _as_autocast(operand: Tensor) -> Tensor:
    """The operand as a kernel under autocast receives it: a copy in the lower precision."""
    device = operand.device.type
    return operand.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else operand


def _leaves(tensors: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tensors) if isinstance(leaf, Tensor))


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _like(tensor: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    """A fake twin on the target device; parameters ask for gradients so that autocast caches their casts."""
    target = dtype if tensor.is_floating_point() else tensor.dtype
    twin = torch.empty(tensor.shape, device=device, dtype=target)
    return twin.requires_grad_(tensor.requires_grad)
