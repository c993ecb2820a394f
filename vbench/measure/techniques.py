"""What techniques do to a network: the types of a backward pass, the bytes after INT8."""

from __future__ import annotations

import io
import warnings

import torch
from torch import nn

from vbench.measure.catalog_counts import default_cell
from vbench.measure.faithfulness import serialized_bytes
from vbench.measure.product_types import ProductTypes
from vbench.measure.quantised import quantised
from vbench.measure.subject import build_network

DIM, HEADS = 256, 4
AUTOCAST = torch.bfloat16  # what autocast means on a CPU; fp16 on CUDA follows the same list of operators


def backward_dtypes() -> tuple[str, ...]:
    """The types of the products in the backward pass of an MLP whose forward ran under autocast."""
    network = nn.Sequential(nn.Linear(DIM, DIM), nn.GELU(), nn.Linear(DIM, DIM))
    with torch.autocast("cpu", AUTOCAST):
        loss = network(torch.randn(8, DIM)).square().mean()
    with ProductTypes() as products:
        loss.backward()
    return tuple(products.seen)


def quantised_block() -> tuple[int, int, tuple[str, ...]]:
    """Bytes of a Transformer encoder layer before and after dynamic INT8, and the weight matrices left as they were."""
    block = nn.TransformerEncoderLayer(DIM, HEADS, 4 * DIM).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the API is deprecated in favour of torchao and still the one the claim names
        quantised = torch.ao.quantization.quantize_dynamic(block, {nn.Linear, nn.MultiheadAttention}, dtype=torch.qint8)
    untouched = tuple(name for name, weight in quantised.named_parameters() if weight.ndim > 1)
    return _bytes(block), _bytes(quantised), untouched


def quantised_network(name: str) -> tuple[int, int, tuple[str, ...]]:
    """The same of a network of the catalog at its default clip: only its linear layers are taken."""
    network = build_network(default_cell(name))
    before = serialized_bytes(network)
    quantised(network)
    untouched = tuple(name for name, weight in network.named_parameters() if weight.ndim > 1)
    return before, serialized_bytes(network), untouched


def _bytes(module: nn.Module) -> int:
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    return buffer.getbuffer().nbytes
