"""What takes the place of scaled dot-product attention while a footprint is traced: the kernel that the device has.

On fake tensors torch would decompose attention into the math kernel and show its n x n scores. The fused operators
themselves can be called on them, with their autograd: they give the results, the log-sum-exp that the backward needs,
and in the backward the gradients. An additive bias stays a tensor. The math kernel, where it is asked for or is all
that there is, adds it to the scores in place, as it does with real tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ALIGNED_HEAD = 8  # numbers, to a multiple of which torch pads heads for the flash kernel on CUDA
LONGEST_HEAD = 256  # that the flash kernel on CUDA takes (transformers/cuda/sdp_utils.cpp)
ALIGNED_BIAS = 16  # and rows of a bias for the memory-efficient one (transformers/attention.cpp)
FLASH_PRECISIONS = (torch.float16, torch.bfloat16)

aten = torch.ops.aten


class FusedAttention(TorchFunctionMode):
    """Calls the fused kernel of the tensors' device, where torch would on real tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace scaled dot-product attention; run everything else."""
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = args[:3]
        mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
        is_causal = bool(kwargs.get("is_causal", False))
        dropout = float(kwargs.get("dropout_p", 0.0))
        if query.device.type == "cuda":
            options = _Options(dropout, is_causal, kwargs.get("scale"))
            query, key, value, mask = _as_autocast(query, key, value, mask)
            return _on_cuda(query, key, value, mask, options)
        if dropout or not takes_flash(query, key, value, mask):
            with BiasesInPlace():
                return func(*args, **kwargs)
        query, key, value, mask = _as_autocast(query, key, value, mask)
        return aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, dropout, is_causal, attn_mask=_additive(mask, query), scale=kwargs.get("scale")
        )[0]


class MathAttention(TorchFunctionMode):
    """Calls the math kernel for scaled dot-product attention."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Restrict scaled dot-product attention; run everything else."""
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with sdpa_kernel([SDPBackend.MATH]), BiasesInPlace():
            return func(*args, **(kwargs or {}))


class BiasesInPlace(TorchDispatchMode):
    """Sums take the place of their first operand, unless gradients are kept.

    The math kernel adds a bias in place, but not where an operand is of a subclass, as fake tensors are
    (transformers/attention.cpp, `_scaled_dot_product_attention_math`). There is no other sum in it.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace sums; run everything else."""
        if func is aten.add.Tensor and not torch.is_grad_enabled():
            func = aten.add_.Tensor
        return func(*args, **(kwargs or {}))


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
            kwargs = {**kwargs, "attn_mask": torch.zeros(shape, dtype=query.dtype, device=query.device)}
        return func(*args, **kwargs)


def takes_flash(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> bool:
    """Whether torch takes its fused kernel on a CPU (transformers/sdp_utils_cpp.cpp, `use_flash_attention_cpp`)."""
    operands = (query, key, value) if mask is None else (query, key, value, mask)
    return (
        all(x.ndim == 4 for x in (query, key, value))
        and query.shape[-1] == key.shape[-1] == value.shape[-1]
        and min(query.shape[2], key.shape[2]) > 0
        and all(x.stride(-1) == 1 for x in operands)
        and not (mask is not None and mask.requires_grad)
    )


class _Options(NamedTuple):
    dropout: float
    is_causal: bool
    scale: float | None


def _on_cuda(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: _Options) -> Tensor:
    """The flash kernel takes half precision without a mask; the memory-efficient one the rest."""
    out: Tensor
    takes_heads = query.shape[-1] == value.shape[-1] <= LONGEST_HEAD
    if mask is None and query.dtype in FLASH_PRECISIONS and takes_heads:
        padded = (_padded(x, ALIGNED_HEAD) for x in (query, key, value))
        out, *_ = aten._scaled_dot_product_flash_attention(*padded, *options[:2], scale=options.scale)
        return out[..., : value.shape[-1]]
    bias = _additive(mask, query)
    if bias is not None:
        bias = _padded(bias, ALIGNED_BIAS)[..., : key.shape[-2]]
        bias = bias.expand(*query.shape[:-1], key.shape[-2])
    keeps_logsumexp = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    efficient = aten._scaled_dot_product_efficient_attention
    out, *_ = efficient(query, key, value, bias, keeps_logsumexp, *options[:2], scale=options.scale)
    return out


def _padded(x: Tensor, multiple: int) -> Tensor:
    """A copy with a longer last axis, where it is no multiple."""
    lacking = -x.shape[-1] % multiple
    return F.pad(x, (0, lacking)) if lacking else x


def _additive(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """What torch makes of a mask of truth values: zeros and minus infinity (transformers/attention.cpp)."""
    if mask is None or mask.dtype is not torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))


def _as_autocast(*operands: Tensor | None) -> tuple[Any, ...]:
    """The operands as a kernel under autocast receives them: copies in the lower precision."""
    device = next(x.device.type for x in operands if x is not None)
    if not torch.is_autocast_enabled(device):
        return operands
    dtype = torch.get_autocast_dtype(device)
    return tuple(x.to(dtype) if x is not None and x.is_floating_point() else x for x in operands)
