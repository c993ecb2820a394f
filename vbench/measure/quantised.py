"""Dynamic INT8: weights of linear layers are stored as 8-bit integers, activations rounded to them call by call.

By torch's own `quantize_dynamic`: a scale for each tensor, products in 8-bit integers by FBGEMM and oneDNN, on the CPU
only. Convolutions, norms and attention's own products stay in fp32, and so does a layer that hands its weight to a
function instead of being called.

Torch has deprecated this API in favour of torchao's `quantize_`, and still ships it. With torchao 0.18 and torch 2.13 a
forward of TimeSformer-B (4 frames of 112 pixels, one thread) took 0.70 s in eager on a CPU, with this 0.39 s, in fp32
0.75 s (https://github.com/pytorch/ao/issues/4365 is about the difference): a benchmark of INT8 takes the kernels that
multiply integers. When torch lets go of them, this file is where to change.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

FLOAT_BYTES, INT8_BYTES = 4, 1


def quantised(network: nn.Module) -> nn.Module:
    """The network with its linear layers quantised in place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the deprecation
        changed: nn.Module = torch.ao.quantization.quantize_dynamic(
            network, {nn.Linear}, dtype=torch.qint8, inplace=True
        )
    return changed


def spared_bytes(network: nn.Module) -> int:
    """Bytes by which the fp32 network shrinks: three of four for each weight of a linear layer."""
    layers = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    return sum((FLOAT_BYTES - INT8_BYTES) * layer.weight.numel() for layer in layers)
