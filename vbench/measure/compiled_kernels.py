"""Kernels that oneDNN compiles where a convolution or a product is first called with new shapes, and keeps.

In bf16 they weigh: more than half a megabyte for each product, some megabytes for the first one. In fp32 a convolution
keeps some 20 KB; its small blocks matter all the same, since they come between the large ones (`vbench.measure.heap`).
Bytes are what a process was seen to grow by beyond its floor (`vbench.measure.floor`) on a CPU with AVX-512 and bf16
(torch 2.13, whose oneDNN is version 3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

PRODUCTS = frozenset(("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm"))
CONVOLUTION = "aten::convolution"


class Kept(NamedTuple):
    """Bytes that a process grows by at the first kernel of a kind, and at each further one."""

    first: int
    further: int


OF_PRODUCTS, OF_CONVOLUTIONS = Kept(3_700_000, 600_000), Kept(6_000_000, 100_000)  # in bf16


class CompiledKernels:
    """Those of one process, as its operators come."""

    def __init__(self) -> None:
        self.kept_bytes = 0
        self._known: set[object] = set()
        self._kinds: set[Kept] = set()

    def compile_convolution(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Take in a call of any operator, and say whether a convolution is compiled for it."""
        name: str = func._overloadpacket._qualified_op_name
        if name not in PRODUCTS and name != CONVOLUTION:
            return False
        leaves = tree_leaves((args, kwargs))
        key = (name, *((x.shape, x.stride(), x.dtype) if isinstance(x, Tensor) else x for x in leaves))
        if key in self._known:
            return False
        self._known.add(key)
        if leaves[0].dtype == torch.bfloat16:
            self._keep(OF_CONVOLUTIONS if name == CONVOLUTION else OF_PRODUCTS)
        return name == CONVOLUTION

    def _keep(self, kind: Kept) -> None:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return  # torch's own kernels are used, which are there already
        self.kept_bytes += kind.further if kind in self._kinds else kind.first
        self._kinds.add(kind)
