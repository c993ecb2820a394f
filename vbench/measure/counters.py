"""Other people's FLOP counters, each as a function from a network and its inputs to multiply-adds.

They run on real tensors, each on a network of its own, as they are used by others: with their defaults, so that what
they miss shows. Their units differ: torch counts 2 FLOPs a multiply-add; fvcore, ptflops and torchinfo count
multiply-adds and call them flops, MACs and mult-adds.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Counter = Callable[[nn.Module, Sequence[object]], float]


def torch_counter(network: nn.Module, inputs: Sequence[object]) -> float:
    """Torch's own, on CPU tensors."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops()) / 2


def fvcore(network: nn.Module, inputs: Sequence[object]) -> float:
    """Fvcore's FlopCountAnalysis."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network, tuple(inputs))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return float(analysis.total())


def ptflops_modules(network: nn.Module, inputs: Sequence[object]) -> float:
    """Ptflops by hooks on modules and patched functions, its default."""
    return _ptflops(network, inputs, "pytorch")


def ptflops_aten(network: nn.Module, inputs: Sequence[object]) -> float:
    """Ptflops by ATen's operators."""
    return _ptflops(network, inputs, "aten")


def _ptflops(network: nn.Module, inputs: Sequence[object], backend: str) -> float:
    from ptflops import get_model_complexity_info

    named = inspect.signature(network.forward).bind(*inputs).arguments
    macs, _ = get_model_complexity_info(
        network, (1,), input_constructor=lambda _: dict(named), as_strings=False, print_per_layer_stat=False,
        backend=backend, ost=io.StringIO(),
    )  # fmt: skip
    if macs is None:
        raise RuntimeError("it could not run the model")
    return float(macs)


def calflops(network: nn.Module, inputs: Sequence[object]) -> float:
    """calflops, which wants transformers to be installed."""
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(network, args=list(inputs), print_results=False, output_as_string=False)
    return float(macs)


def torchinfo(network: nn.Module, inputs: Sequence[object]) -> float:
    """Torchinfo's summary."""
    from torchinfo import summary

    return float(summary(network, input_data=tuple(inputs), verbose=0).total_mult_adds)


COUNTERS: dict[str, tuple[str, Counter]] = {  # name -> distribution, counter
    "torch.utils.flop_counter": ("torch", torch_counter),
    "fvcore": ("fvcore", fvcore),
    "ptflops (pytorch)": ("ptflops", ptflops_modules),
    "ptflops (aten)": ("ptflops", ptflops_aten),
    "calflops": ("calflops", calflops),
    "torchinfo": ("torchinfo", torchinfo),
}


def count_with(counter: Counter, network: nn.Module, inputs: Sequence[object]) -> int:
    """What a counter says, its prints and warnings kept to itself."""
    with torch.no_grad(), _silence():
        return round(counter(network, inputs))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
