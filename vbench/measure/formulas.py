"""The cost of every operator: products have a formula, all others are free for a stated reason.

The formulas of products are torch's own (`torch.utils.flop_counter`), in FLOPs, halved to MACs by the counter; that of
sampling where the data say is ours. An operator that is on neither list is an error that names it: zero is never a
default.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, register_flop_formula

from vbench.errors import UncountedOperatorError

FREE: dict[str, tuple[str, ...]] = {
    "a view or a name: no arithmetic": (
        "_conj", "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "diagonal", "expand",
        "lift_fresh", "as_strided_",
        "narrow", "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind",
        "unfold", "unsqueeze", "view", "view_as_real", "view_as_complex",
    ),
    "copies, creates or gathers: moves bytes, multiplies nothing": (
        "_to_copy", "arange", "bernoulli_", "cat", "clone", "constant_pad_nd", "contiguous", "copy_", "embedding",
        "empty", "empty_like", "empty_strided", "eye", "fill", "fill_", "flip", "full", "full_like", "gather", "index",
        "index_add", "index_copy", "index_put", "index_put_", "index_select", "linspace", "masked_fill",
        "masked_fill_", "native_dropout", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros",
        "ones", "ones_like", "pixel_shuffle", "rand", "rand_like", "randn", "randn_like", "repeat", "replication_pad3d",
        "roll", "scalar_tensor", "scatter", "scatter_add", "select_scatter", "slice_scatter", "stack", "tril", "triu",
        "uniform_", "normal_", "zero_", "zeros", "zeros_like", "select_backward", "slice_backward", "unfold_backward",
        "embedding_dense_backward", "native_dropout_backward",
    ),
    "element by element: papers count products only": (
        "abs", "add", "add_", "addcdiv", "addcdiv_", "addcmul", "addcmul_", "bitwise_and", "bitwise_not", "bitwise_or",
        "clamp", "clamp_", "clamp_min", "clamp_max", "cos", "div", "div_", "eq", "erf", "exp", "floor",
        "floor_divide", "ge", "gelu", "gelu_backward", "gt", "hardsigmoid", "hardswish", "hardswish_", "hardtanh",
        "hardtanh_", "isinf", "isnan", "le", "lerp", "lerp_", "log", "log1p", "logical_and", "logical_not",
        "logical_or", "lt", "maximum", "minimum", "mul", "mul_", "ne", "neg", "neg_", "pow", "pow_", "reciprocal",
        "relu", "relu_", "remainder", "round", "rsqrt", "rsub", "sigmoid", "sigmoid_backward", "sign", "silu", "silu_",
        "silu_backward", "sin", "softplus", "sqrt", "sqrt_", "square", "sub", "sub_", "tanh", "tanh_backward",
        "threshold_backward", "where", "leaky_relu", "leaky_relu_", "logit", "logit_", "_prelu_kernel",
        "_prelu_kernel_backward", "hardsigmoid_backward", "hardswish_backward", "logical_and_", "logit_backward",
        "softplus_backward",
    ),
    "normalises or reduces: linear in its input, left out by papers and by fvcore's convolution and product entries": (
        "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "_log_softmax", "_log_softmax_backward_data", "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training", "_safe_softmax", "_softmax", "_softmax_backward_data", "all", "amax",
        "amin", "any", "argmax", "argmin", "argsort", "avg_pool2d", "avg_pool2d_backward", "avg_pool3d",
        "avg_pool3d_backward", "cumsum",
        "linalg_vector_norm", "max", "max_pool2d_with_indices", "max_pool3d_with_indices",
        "max_pool2d_with_indices_backward", "max_pool3d_with_indices_backward", "mean", "min",
        "native_batch_norm", "native_batch_norm_backward", "native_group_norm", "native_group_norm_backward",
        "native_layer_norm", "native_layer_norm_backward", "nll_loss_backward", "nll_loss_forward", "norm", "prod",
        "sort", "std", "sum", "topk", "var", "var_mean", "_fused_rms_norm",
    ),
    "resizes by weights that shapes alone fix: left out by papers, and by their counters, like pooling": (
        "upsample_bilinear2d", "upsample_bilinear2d_backward",
    ),
}  # fmt: skip

SHAPE_KEEPING = frozenset(
    (
        "aten._safe_softmax.default", "aten._softmax.default", "aten.exp.default", "aten.gelu.default",
        "aten.mul.Scalar", "aten.relu.default", "aten.sigmoid.default", "aten.silu.default", "aten.tanh.default",
    )
)  # fmt: skip

CORNERS = 4  # values that bilinear sampling weighs for each that it returns

_FREE_NAMES = frozenset(name for names in FREE.values() for name in names)


def run_on_meta(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operator's result on the meta device.

    Torch infers shapes for these few in Python, which would take half of a count's time; they keep the first operand's.
    """
    if str(operator) in SHAPE_KEEPING and args[0].is_meta and args[0].is_floating_point():
        return torch.empty_like(args[0])
    if str(operator) == "aten.native_layer_norm.default" and args[0].is_meta:
        x, normalized = args[:2]
        statistics = torch.empty((*x.shape[: -len(normalized)], *(1 for _ in normalized)), device="meta")
        return torch.empty_like(x), statistics, statistics
    if str(operator) == "aten.grid_sampler_2d.default" and args[0].is_meta:
        x, places = args[:2]
        return torch.empty((*x.shape[:2], *places.shape[1:3]), dtype=x.dtype, device="meta")
    return operator(*args, **kwargs)


def flop_formula(operator: Any) -> Callable[..., int] | None:
    """The formula of `operator` in FLOPs, called with its arguments and `out_val`; None where it is free.

    Raises:
        UncountedOperatorError: the operator is on no list.
    """
    packet = getattr(operator, "_overloadpacket", operator)
    if packet in flop_registry:
        formula: Callable[..., int] = flop_registry[packet]
        return formula
    namespace, _, name = str(packet).partition(".")
    if namespace in ("aten", "prims") and name in _FREE_NAMES:
        return None
    raise UncountedOperatorError(
        f"operator {packet} has no cost: give it a formula with torch.utils.flop_counter.register_flop_formula, "
        "or add it to FREE in vbench/measure/formulas.py with the reason why it counts nothing"
    )


def _sampled_flops(*_: Any, out_shape: Any = None, **__: Any) -> int:
    """Bilinear sampling where the data say: a multiply-add for each corner of each value returned."""
    return 2 * CORNERS * int(prod(out_shape))


def _sampled_backward_flops(grad_shape: Any, *_: Any, **__: Any) -> int:
    """Each corner again for the gradient of the map, and for those of the two coordinates."""
    return 3 * _sampled_flops(out_shape=grad_shape)


if torch.ops.aten.grid_sampler_2d not in flop_registry:
    register_flop_formula(torch.ops.aten.grid_sampler_2d)(_sampled_flops)
if torch.ops.aten.grid_sampler_2d_backward not in flop_registry:
    register_flop_formula(torch.ops.aten.grid_sampler_2d_backward)(_sampled_backward_flops)
