"""What a precision means: the parameters' type, and the context in which the network runs.

`bf16` and `fp16` are autocast over fp32 parameters; `bf16_pure` holds everything in bf16; `tf32` are fp32 tensors whose
products the CUDA tensor cores round to 10 bits of mantissa; `int8` is a network built in fp32 and quantised then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

PARAMETER_DTYPE = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.float32,
    "fp16": torch.float32,
    "bf16_pure": torch.bfloat16,
    "int8": torch.float32,
}
AUTOCAST_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision_context(precision: str, device: str) -> AbstractContextManager[object]:
    """The context in which a network of this precision runs on `device` (cpu or cuda)."""
    if precision not in AUTOCAST_DTYPE:
        return nullcontext()
    is_absent = device == "cuda" and not torch.cuda.is_available()
    autocast = _autocast_of_fakes if is_absent else torch.autocast
    return autocast(device, AUTOCAST_DTYPE[precision])


@contextmanager
def _autocast_of_fakes(device: str, dtype: torch.dtype) -> Iterator[None]:
    """`torch.autocast` for fake tensors of a device that is not here, where that one switches itself off."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled(device, before[0])
        torch.set_autocast_dtype(device, before[1])


def set_float32_products(precision: str) -> None:
    """Let CUDA round fp32 products to TF32, or forbid it; the default differs between torch versions."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
