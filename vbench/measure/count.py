"""Counting on the meta device: parameters and multiply-adds, operator by operator.

The products are those of `torch.utils.flop_counter`. `attention_macs` are the products of which neither operand is,
or is computed from, parameters and buffers alone: q k^T and the weighted sum of v; and the operators that stand in for
attention, scans and long convolutions, whoever makes their kernels. `mixing_extra_macs` are the products
with parameters inside modules that say `is_mixing_extra = True`: what a pattern spends beside its core and the usual
four projections, such as pooling convolutions, random features or scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.measure.formulas import flop_formula, run_on_meta
from vbench.measure.subject import all_inputs, build_network, input_shape
from vbench.measure.training import check_trainable, loss_of
from vbench.measure.user_models import faults_in_one_line

ROOT = "(network)"
ATTENTION_CORE = "attention core"
BACKWARD = "(backward)"
STAND_INS = ("vbench.selective_scan", "vbench.fft_convolution")  # for attention, as one operator each
By = Literal["component", "operator", "module"]
Kind = Literal["attention", "mixing_extra", "other"]


@dataclass(frozen=True, slots=True)
class Product:
    """One operator call that multiplies: where, what and how much."""

    module: str  # path in the network
    component: str  # what it is part of
    operator: str
    macs: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Tally:
    """What one network costs on one input."""

    params: int
    products: tuple[Product, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds of everything."""
        return sum(product.macs for product in self.products)

    @property
    def attention_macs(self) -> int:
        """Multiply-adds of q k^T and of the weighted sums of v."""
        return self._of("attention")

    @property
    def mixing_extra_macs(self) -> int:
        """Multiply-adds that a pattern spends beside its core and its projections."""
        return self._of("mixing_extra")

    def _of(self, kind: Kind) -> int:
        return sum(product.macs for product in self.products if product.kind == kind)

    def by(self, key: By) -> dict[str, int]:
        """MACs by `component`, `operator` or `module`, largest first."""
        sums: Counter[str] = Counter()
        for product in self.products:
            sums[getattr(product, key)] += product.macs
        return dict(sums.most_common())


def tally_cell(cell: Cell) -> Tally:
    """Build the cell's network on the meta device and count it; takes no memory and no data.

    Raises:
        AxisError: the model does not take such a clip.
        UncountedOperatorError: the network uses an operator that is on no list.
    """
    return tally_built(build_network(cell, torch.device("meta")), cell)


def tally_built(network: nn.Module, cell: Cell) -> Tally:
    """Count the cell's network, which is built already, on the meta device: a forward, or a step with its backward.

    What checkpointed blocks compute again in the backward is in it; accumulation is that many forwards and backwards.
    """
    video = torch.empty(input_shape(cell), device="meta")
    with faults_in_one_line(cell.model):
        if cell.mode != "train":
            return tally(network, video)
        once = tally_training(network, video)
    return replace(once, products=once.products * cell.accumulation)


def tally_training(network: nn.Module, video: Tensor) -> Tally:
    """Count forward, loss and backward; the classes of products are the forward's, the backward's are all `other`.

    Raises:
        AxisError: there is nothing to train.
    """
    check_trainable(network.parameters())
    inputs = all_inputs(network, video)
    network.train()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), _where(network) as here, Ledger(inputs, here) as ledger:
        loss = loss_of(network(*inputs))
        forward = tuple(ledger.products)
        loss.backward()
    network.eval().zero_grad()
    backward = ledger.products[len(forward) :]
    return Tally(
        params=sum(parameter.numel() for parameter in network.parameters()),
        products=(*forward, *(replace(each, module=BACKWARD, component=BACKWARD, kind="other") for each in backward)),
    )


def check_pattern(cell: Cell) -> None:
    """Refuse a user's pattern that cannot be certified.

    Raises:
        AxisError: it changes the shape, or does not count the same twice.
        UncountedOperatorError: it uses an operator that is on no list.
    """
    network, shape = build_network(cell, torch.device("meta")), input_shape(cell)
    tokens = torch.empty(shape, device="meta")
    with torch.no_grad():
        out = network(tokens)
    if not isinstance(out, Tensor) or out.shape != shape:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise AxisError(f"{cell.model} must map b t h w c to the same shape; {tuple(shape)} became {got}")
    counts = {tally(network, tokens).macs for _ in range(3)}
    if len(counts) > 1:
        raise AxisError(f"{cell.model} does not count the same twice: {', '.join(map(str, sorted(counts)))} MACs")


def tally(network: nn.Module, video: Tensor) -> Tally:
    """Count one forward of `network`, which lies on the meta device like its input."""
    counted, _ = tally_call(network, network, *all_inputs(network, video))
    return counted


def tally_call(network: nn.Module, call: Callable[..., object], *inputs: object) -> tuple[Tally, Any]:
    """Count `call(*inputs)`, something that `network` does, and return what it gives, too."""
    params = sum(parameter.numel() for parameter in network.parameters())
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _where(network) as here, Ledger(inputs, here) as ledger:
        output = call(*inputs)
    return Tally(params=params, products=tuple(ledger.products)), output


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the network an operator ran."""

    module: str
    component: str
    is_mixing_extra: bool


class Ledger(TorchDispatchMode):
    """Writes down every product, and follows which tensors depend on the network's input."""

    def __init__(self, inputs: tuple[object, ...], here: Callable[[], Place]) -> None:
        super().__init__()
        self.products: list[Product] = []
        self._here = here
        self._data = WeakIdKeyDictionary()  # storages whose content depends on the input
        self._mark(inputs)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operator and write it down."""
        kwargs = kwargs or {}
        out = run_on_meta(func, args, kwargs)
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        of_data = [self._is_data(operand) for operand in operands]
        if any(of_data):
            self._mark((out, operands[0] if func._schema.is_mutable else None))
        formula = flop_formula(func)
        if formula is not None:
            macs = formula(*args, **kwargs, out_val=out) // 2
            operator = str(func._overloadpacket)
            self._write_down(operator, macs, is_attention=sum(of_data) > 1 or operator in STAND_INS)
        return out

    def _write_down(self, operator: str, macs: int, *, is_attention: bool) -> None:
        place = self._here()
        kind: Kind = "attention" if is_attention else "mixing_extra" if place.is_mixing_extra else "other"
        component = ATTENTION_CORE if is_attention else place.component
        self.products.append(Product(place.module, component, operator, macs, kind))

    def _mark(self, tensors: object) -> None:
        for leaf in tree_leaves(tensors):
            if isinstance(leaf, Tensor):
                self._data[leaf.untyped_storage()] = True

    def _is_data(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage() in self._data


@contextmanager
def _where(network: nn.Module) -> Iterator[Callable[[], Place]]:
    """Follow which modules are running: yields a function to the place reached."""
    paths = {id(module): path or ROOT for path, module in network.named_modules()}
    running: list[nn.Module] = []

    def enter(module: nn.Module, _inputs: object) -> None:
        running.append(module)

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        running.pop()

    handles = register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)
    try:
        yield lambda: _place(running, paths)
    finally:
        for handle in handles:
            handle.remove()


def _place(running: list[nn.Module], paths: dict[int, str]) -> Place:
    """The component is the innermost module that is more than one of torch's own layers; at the top, a layer's name."""
    if not running:
        return Place(ROOT, ROOT, is_mixing_extra=False)
    own = [module for module in running[1:] if not type(module).__module__.startswith("torch.nn")]
    innermost = paths.get(id(running[-1]), ROOT)
    return Place(
        module=innermost,
        component=type(own[-1]).__name__ if own else innermost,
        is_mixing_extra=any(getattr(module, "is_mixing_extra", False) for module in running),
    )
