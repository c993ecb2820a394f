"""What a precision means: the parameters' type, and the context in which the network runs.

`bf16` and `fp16` are autocast over fp32 parameters; `bf16_pure` holds everything in bf16; `tf32` are fp32 tensors whose
products the CUDA tensor cores round to 10 bits of mantissa.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

PARAMETER_DTYPE = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.float32,
    "fp16": torch.float32,
    "bf16_pure": torch.bfloat16,
}
AUTOCAST_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision_context(precision: str, device: str) -> AbstractContextManager[object]:
    """The context in which a network of this precision runs on `device` (cpu or cuda)."""
    if precision in AUTOCAST_DTYPE:
        return torch.autocast(device, AUTOCAST_DTYPE[precision])
    return nullcontext()


def set_float32_products(precision: str) -> None:
    """Let CUDA round fp32 products to TF32, or forbid it; the default differs between torch versions."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
