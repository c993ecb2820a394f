"""Memory predicted without running: the peak of live tensor bytes, traced on fake tensors of the target device.

Attention is the fused kernel that the device has (`stand_ins`), and what a CPU's operators allocate beside their
results is added from a table (`scratch`). The peak counts everything that is alive at once: parameters, buffers, the
input and activations; in a step of training also gradients and the optimiser's state, as they are from the second step
on. Layers that work in parts on a CPU do so here, with as many threads as the cell has: the size of a part depends on
them, and so do the fused kernel's buffers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._library.custom_ops import OPDEFS
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vbench.cell import Cell
from vbench.measure.absent_device import by_operators, kept_casts
from vbench.measure.compiled_kernels import CompiledKernels
from vbench.measure.kernel_steps import RESULTS, Steps, after_results, shortened, steps_of
from vbench.measure.precision import PARAMETER_DTYPE, precision_context
from vbench.measure.quantised import spared_bytes
from vbench.measure.scratch import kernel_steps
from vbench.measure.stand_ins import AddedBias, FusedAttention, MathAttention
from vbench.measure.subject import all_inputs, build_network, input_shape
from vbench.measure.training import TrainingStep, check_trainable
from vbench.measure.user_models import faults_in_one_line
from vbench_models.layers import cache

SELECTING = frozenset(("aten::index_select", "aten::gather", "aten::index", "aten::embedding"))
MOVE_NOTHING = frozenset(  # they ask for a property, set aside memory or look at it in another shape
    ("prim::device", "aten::_unsafe_view", "aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty")
)
OWN_OPERATORS = "vbench"  # written in Python, so that what they allocate can be traced
ROUNDED_TO = {"cpu": 1, "cuda": 512}  # bytes, to a multiple of which an allocator hands out blocks


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of one forward, or of one step of training."""

    peak_bytes: int  # parameters, buffers, input and activations alive at once, at most
    op_bytes: int  # read and written by the operators, views left out
    history: tuple[tuple[int, int], ...] = ()  # (block, bytes): it begins, or ends where bytes are less than 0
    outlasting: frozenset[int] = frozenset()  # blocks that a forward leaves to the next: autocast's casts of parameters
    compiling: frozenset[int] = frozenset()  # places in the history at which a CPU's convolution is compiled
    compiled_bytes: int = 0  # what a CPU's compiled kernels keep in a process


def footprint_of_cell(cell: Cell, *, bias: bool = False, tensors_only: bool = False) -> Footprint:
    """Predict the cell's footprint, or what it would be with a bias added to every score; needs no such device.

    With `tensors_only` it is that of the algorithm: whole work, and nothing that kernels set aside for themselves.

    Raises:
        AxisError: the model does not take such a clip.
    """
    return footprint_built(build_network(cell, torch.device("meta")), cell, bias=bias, tensors_only=tensors_only)


def footprint_built(network: nn.Module, cell: Cell, *, bias: bool = False, tensors_only: bool = False) -> Footprint:
    """The footprint of the cell's network, which is built already, on the meta device."""
    whole_work = cache.whole_work() if tensors_only else nullcontext()
    with faults_in_one_line(cell.model), threads(cell.threads), whole_work:
        traced = footprint(
            network,
            input_shape(cell),
            device=cell.device,
            precision=cell.precision,
            kernel=cell.kernel,
            mode=cell.mode,
            accumulation=cell.accumulation,
            bias=bias,
            with_scratch=not tensors_only,
        )
    spared = spared_bytes(network) if cell.precision == "int8" else 0
    return replace(traced, peak_bytes=traced.peak_bytes - spared)


def footprint(
    network: nn.Module,
    shape: torch.Size,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    kernel: str = "fused",
    mode: str = "infer",
    accumulation: int = 1,
    bias: bool = False,
    with_scratch: bool = True,
) -> Footprint:
    """Predict one forward, or one step of training, of `network` (on the meta device) on one input of `shape`.

    `with_scratch` counts what a CPU's kernels allocate beside their results.

    Raises:
        AxisError: there is nothing to train.
    """
    dtype = PARAMETER_DTYPE[precision]
    fake = FakeTensorMode(allow_non_fake_inputs=True)  # other people's networks hold constants that are no buffers
    with fake, by_operators(device), _as_trained(network, trains=mode == "train"):
        state = {name: _like(tensor, device, dtype) for name, tensor in _tensors(network)}
        inputs = all_inputs(network, torch.empty(shape, device=device, dtype=dtype))
        live, outlasting = LiveBytes((state, inputs), device, with_scratch=with_scratch), set[int]()
        attention = MathAttention() if kernel == "math" else FusedAttention()
        added = AddedBias() if bias else nullcontext()
        casts = kept_casts(device, state.values(), trains=mode == "train")
        with live, casts, attention, added, _like_parts_once(live):
            if mode == "train":
                peak = _peak_of_step(network, inputs, state, live, precision=precision, accumulation=accumulation)
            else:
                with precision_context(precision, device):
                    torch.func.functional_call(network, state, inputs)
                    outlasting = live.blocks()
                peak = live.peak
    return Footprint(
        peak_bytes=peak,
        op_bytes=live.moved,
        history=tuple(live.history),
        outlasting=frozenset(outlasting),
        compiling=frozenset(live.compiling),
        compiled_bytes=live.kernels.kept_bytes,
    )


class _Step(nn.Module):
    """A step as a module around its network, so that the network has its fake state in the backward, too.

    A checkpointed block computes its activations there again.
    """

    def __init__(self, network: nn.Module, find_gradients: Callable[[], None]) -> None:
        super().__init__()
        self.network = network
        self._find_gradients = find_gradients

    def forward(self) -> None:
        self._find_gradients()


def _peak_of_step(
    network: nn.Module,
    inputs: tuple[object, ...],
    state: dict[str, Tensor],
    live: LiveBytes,
    *,
    precision: str,
    accumulation: int,
) -> int:
    """The peak of the second step: the first one's, with the optimiser's state, which that made, from the start."""
    parameters = [tensor for tensor in state.values() if tensor.requires_grad]
    check_trainable(parameters)
    context = precision_context(precision, parameters[0].device.type)
    step = TrainingStep(network, parameters, inputs, context, accumulation=accumulation)
    whole, inside = _Step(network, step.find_gradients), {f"network.{name}": value for name, value in state.items()}
    torch.func.functional_call(whole, inside, ())
    before_update = live.peak
    step.update()
    return max(before_update + sum(tensor.untyped_storage().nbytes() for tensor in step.state()), live.peak)


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of every storage from its first appearance to its end, and operators' scratch."""

    def __init__(self, at_start: object, device: str = "cpu", *, with_scratch: bool = True) -> None:
        super().__init__()
        self._counts_scratch = with_scratch and device == "cpu"
        self.live = self.peak = self.moved = 0
        self.history: list[tuple[int, int]] = []  # (block, bytes): it begins, or ends where bytes are less than 0
        self.compiling: set[int] = set()  # places in the history
        self.kernels = CompiledKernels()
        self._device, self._rounded_to = device, ROUNDED_TO.get(device, 1)
        self._known: dict[int, weakref.finalize[Any, Any]] = {}
        self._steps_of_own: dict[object, Steps] = {}
        self.see(at_start)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator, take in what it allocated and what it moved."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # AdamW asks how many steps there were; fake tensors have no values
        out, begun = func(*args, **kwargs), len(self.history)
        self.follow(self._steps(func, args, kwargs) if self._counts_scratch else [(RESULTS, 0)], out)
        name = func._overloadpacket._qualified_op_name
        if self._counts_scratch and self.kernels.compile_convolution(func, args, kwargs):
            self.compiling.update(range(begun, len(self.history)))
        if not (func.is_view or name in MOVE_NOTHING):
            written = out[0] if "dot_product" in str(func) else out  # a forward alone needs no log-sum-exp
            self.move((args, kwargs, written), reads_what_it_writes=name in SELECTING)
        return out

    def see(self, tensors: object) -> None:
        """Take in storages that are not known yet."""
        for tensor in _leaves(tensors):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                size = -(-storage.nbytes() // self._rounded_to) * self._rounded_to
                block = self._begin(size)
                self._known[storage._cdata] = weakref.finalize(storage, self._forget, storage._cdata, block, size)

    def follow(self, steps: Steps, results: object) -> None:
        """Take in what an operator's kernel took and gave back around its results."""
        begun: dict[str, int] = {}
        for block, size in steps:
            if block == RESULTS:
                self.see(results)
            elif size > 0:
                begun[block] = self._begin(size)
            elif size < 0:
                self._end(begun[block], -size)

    def blocks(self) -> set[int]:
        """Those that are alive."""
        return {block for block, size in self.history if size > 0} - {block for block, size in self.history if size < 0}

    def again(self, events: Sequence[tuple[int, int]], result: Callable[[], Tensor]) -> Tensor:
        """Let blocks begin and end as they did in `events`, whose one block that stays is that of the result."""
        ended, copies, made = {block for block, size in events if size < 0}, dict[int, int](), None
        for block, size in events:
            if size < 0 and block in copies:
                self._end(copies[block], -size)
            elif size > 0 and block in ended:
                copies[block] = self._begin(size)
            elif size > 0 and made is None:
                made = result()
        return result() if made is None else made

    def move(self, tensors: object, *, reads_what_it_writes: bool = False) -> None:
        """Count the bytes of an operator's operands and results, each once.

        Of the first operand of a selection no more than is selected is read.
        """
        sizes = [tensor.numel() * tensor.element_size() for tensor in _leaves(tensors)]
        if reads_what_it_writes:
            sizes[0] = min(sizes[0], sizes[-1])
        self.moved += sum(sizes)

    def _steps(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
        if func.namespace != OWN_OPERATORS:
            return kernel_steps(func, args, kwargs)
        key = (str(func), *((tuple(x.shape), x.stride(), x.dtype) for x in _leaves((args, kwargs))))
        if key not in self._steps_of_own:
            self._steps_of_own[key] = self._steps_inside(func, args, kwargs)
        return self._steps_of_own[key]

    def _steps_inside(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
        """What an operator of ours allocates beside its results, from running its body on fake tensors, too."""
        inside = LiveBytes((args, kwargs), self._device)
        given = len(inside.history)
        with torch.no_grad(), inside:
            results = OPDEFS[func._schema.name]._init_fn(*args, **kwargs)
        above, events = inside.peak - inside.live, inside.history[given:]
        del results
        one_result = sum(1 if size > 0 else -1 for _, size in events) == 1
        return steps_of(shortened(events)) if one_result else after_results(above)

    def _begin(self, size: int) -> int:
        block = len(self.history)
        self.history.append((block, size))
        self.live += size
        self.peak = max(self.peak, self.live)
        return block

    def _end(self, block: int, size: int) -> None:
        self.history.append((block, -size))
        self.live -= size

    def _forget(self, key: int, block: int, size: int) -> None:
        del self._known[key]
        self._end(block, size)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads, as many as it does already for 0."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _like_parts_once(live: LiveBytes) -> Iterator[None]:
    """Where work is cut in parts, trace the first two and the last; those between are like the second.

    Only without gradients: else every part leaves behind what its backward needs.
    """

    def some(function: Callable[..., Tensor], parts: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
        first, *others, last = parts
        if torch.is_grad_enabled() or len(others) < 2:
            return one_by_one(function, (first, *others, last))
        done = [function(*first)]
        moved, begun = live.moved, len(live.history)
        done.append(function(*others[0]))
        moved_by_one, second = live.moved - moved, live.history[begun:]
        for _ in others[1:]:
            done.append(live.again(second, partial(_twin, done[1])))
        live.moved += moved_by_one * len(others[1:])
        return [*done, function(*last)]

    one_by_one: Callable[..., list[Tensor]] = getattr(cache, "one_by_one", list)  # an earlier catalog may have none
    cache.one_by_one = some
    try:
        yield
    finally:
        cache.one_by_one = one_by_one


def _twin(tensor: Tensor) -> Tensor:
    """A new tensor of the same layout, on a storage of the same size."""
    storage = torch.empty(
        tensor.untyped_storage().nbytes() // tensor.element_size(), dtype=tensor.dtype, device=tensor.device
    )
    return storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


@contextmanager
def _as_trained(network: nn.Module, *, trains: bool) -> Iterator[None]:
    """With gradients and in training mode, or without."""
    was_training = network.training
    network.train(trains)
    try:
        with torch.set_grad_enabled(trains):
            yield
    finally:
        network.train(was_training)


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
