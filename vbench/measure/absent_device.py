"""Fake tensors of a device for which this torch has no code: a build for CPUs alone predicts for CUDA, too.

Every operator runs on fake tensors of any device. Two things around operators first switch to the tensors' device,
which such a build cannot do: some methods of Python's bindings, square brackets above all, and nodes of autograd, from
which even autocast's cache of casts hangs. So fake tensors get these methods anew here, out of the operators that they
stand for, and casts of parameters are kept here; a step of training cannot be traced. A build with CUDA needs none of
this, be there a device or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from vbench.errors import AxisError

aten = torch.ops.aten


def has_no_code(device: str) -> bool:
    """Whether this torch was built without the device."""
    return device == "cuda" and not torch.backends.cuda.is_built()


@contextmanager
def by_operators(device: str) -> Iterator[None]:
    """Let fake tensors of the device be indexed, copied and cast, whether torch has its code or not."""
    names = OPERATORS if has_no_code(device) else ()
    for name in names:
        setattr(FakeTensor, name, _method(name, device))
    try:
        yield
    finally:
        for name in names:
            delattr(FakeTensor, name)


@contextmanager
def kept_casts(device: str, parameters: Iterable[Tensor], *, trains: bool) -> Iterator[None]:
    """Let autocast cast each parameter once, whether torch has the device's code or not.

    Raises:
        AxisError: a step of training was asked for, and torch has no code for the device.
    """
    if not has_no_code(device):
        yield
        return
    if trains:
        raise AxisError(f"training on {device!r} cannot be predicted by a torch that was built without it")
    was_enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with KeptCasts(parameters):
            yield
    finally:
        torch.set_autocast_cache_enabled(was_enabled)


class KeptCasts(TorchDispatchMode):
    """Casts each parameter once, as autocast's own cache does."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self._parameters = {id(parameter): parameter for parameter in parameters}
        self._casts: dict[tuple[int, torch.dtype], Tensor] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Give a parameter's cast again; run everything else."""
        kwargs = kwargs or {}
        if func is not aten._to_copy.default or id(args[0]) not in self._parameters or set(kwargs) != {"dtype"}:
            return func(*args, **kwargs)
        key = id(args[0]), kwargs["dtype"]
        if key not in self._casts:
            self._casts[key] = func(*args, **kwargs).requires_grad_()  # by which torch chooses how to multiply
        return self._casts[key]


def _method(name: str, device: str) -> Callable[..., Any]:
    """The method of a tensor, by operators for those of the device."""
    own, replaced = getattr(Tensor, name), OPERATORS[name]

    def method(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (replaced if tensor.device.type == device else own)(tensor, *args, **kwargs)

    return method


def read(tensor: Tensor, index: Any) -> Tensor:
    """`tensor[index]`."""
    view, chosen = viewed(tensor, index)
    found: Tensor = aten.index.Tensor(view, chosen) if chosen else view
    return found


def write(tensor: Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value`."""
    view, chosen = viewed(tensor, index)
    given = value if isinstance(value, Tensor) else torch.full((), value, dtype=view.dtype, device=view.device)
    if chosen:
        aten.index_put_.default(view, chosen, given)
    else:
        aten.copy_.default(view, given)


def cast(tensor: Tensor, *given: Any, copy: bool = False, **named: Any) -> Tensor:
    """`tensor.to(...)`: itself where nothing changes."""
    device, dtype, _, memory_format = torch._C._nn._parse_to(*given, **named)
    device, dtype = device or tensor.device, dtype or tensor.dtype
    if not copy and (device.type, dtype) == (tensor.device.type, tensor.dtype):
        return tensor
    made: Tensor = aten._to_copy.default(tensor, dtype=dtype, device=device, memory_format=memory_format)
    return made


OPERATORS: dict[str, Callable[..., Any]] = {
    "__getitem__": read,
    "__setitem__": write,
    "__invert__": aten.bitwise_not.default,
    "contiguous": aten.contiguous.default,
    "copy_": aten.copy_.default,
    "to": cast,
    "float": lambda tensor: cast(tensor, torch.float32),
    "long": lambda tensor: cast(tensor, torch.int64),
    "bool": lambda tensor: cast(tensor, torch.bool),
}


def viewed(tensor: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None]]:
    """The view that integers, slices, None and ... make, and the tensors that choose from its axes, if any."""
    axis, chosen = 0, {}
    for part in _whole(tensor, index if isinstance(index, tuple) else (index,)):
        if part is None:
            tensor = aten.unsqueeze.default(tensor, axis)
        elif isinstance(part, slice):
            tensor = _sliced(tensor, axis, part)
        elif isinstance(part, Tensor | list):
            chosen[axis] = part if isinstance(part, Tensor) else torch.tensor(part)
            axis += _axes_of(part) - 1
        else:
            tensor = aten.select.int(tensor, axis, part)
            continue
        axis += 1
    return tensor, [chosen.get(place) for place in range(max(chosen, default=-1) + 1)]


def _whole(tensor: Tensor, index: tuple[Any, ...]) -> list[Any]:
    """The index with its ... spelled out; what it leaves unsaid at the end needs no slice."""
    places = [place for place, part in enumerate(index) if part is Ellipsis]
    if not places:
        return list(index)
    said = sum(_axes_of(part) for part in index if part is not Ellipsis)
    (place,) = places
    return [*index[:place], *[slice(None)] * (tensor.ndim - said), *index[place + 1 :]]


def _axes_of(part: Any) -> int:
    """How many axes of the tensor a part of an index speaks of."""
    if part is None:
        return 0
    return part.ndim if isinstance(part, Tensor) and part.dtype is torch.bool else 1


def _sliced(tensor: Tensor, axis: int, part: slice) -> Tensor:
    if part == slice(None):
        return tensor
    view: Tensor = aten.slice.Tensor(tensor, axis, part.start, part.stop, 1 if part.step is None else part.step)
    return view
