from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from vbench_models.layers.attention import (
    LARGEST_BATCH,
    AttentionConfig,
    Axes,
    AxisAttention,
    MultiHeadAttention,
    StepwiseAttention,
    attend,
    attend_over,
    projection_macs,
    split_batches,
)
from vbench_models.video import ModelError, TokenGrid

CONFIG = AttentionConfig(embed_dim=12, num_heads=4)
FIXED: dict[Axes, str] = {"t": "hw", "h": "tw", "w": "th", "h w": "t", "t h w": ""}


def reference(ours: AxisAttention | MultiHeadAttention) -> nn.MultiheadAttention:
    """Torch's own module with the same weights."""
    theirs = nn.MultiheadAttention(ours.config.embed_dim, ours.config.num_heads, batch_first=True).double()
    state = {
        "in_proj_weight": ours.qkv.weight,
        "in_proj_bias": ours.qkv.bias,
        "out_proj.weight": ours.proj.weight,
        "out_proj.bias": ours.proj.bias,
    }
    theirs.load_state_dict(state)
    return theirs.train()  # in evaluation a fused path takes over, which takes no mask


def forbidden(grid: TokenGrid, fixed: str) -> Tensor:
    """The pairs that differ in an axis that must agree, n x n."""
    places = torch.cartesian_prod(*(torch.arange(extent) for extent in (grid.t, grid.h, grid.w)))
    differ = places[:, None] != places[None]
    return differ[..., ["thw".index(axis) for axis in fixed]].any(-1)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Calls(TorchFunctionMode):
    """Takes down the batch of every attention; `stands_in` for a kernel that is not here."""

    def __init__(self, *, stands_in: bool = False) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.masks: list[Tensor | None] = []
        self._stands_in = stands_in

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        assert len(args) == 3, "a bias is added, where one is asked for, to calls of this form"
        self.batches.append(len(args[0]))
        self.masks.append((kwargs or {}).get("attn_mask"))
        return torch.empty_like(args[0]) if self._stands_in else func(*args, **(kwargs or {}))


MASKS = {
    "none": None,
    "n m": noise(3, 5),
    "1 heads n m": noise(1, 2, 3, 5),
    "b heads n m": noise(7, 2, 3, 5),
    "b 1 1 m": noise(7, 1, 1, 5),
    "b 1 1 m, of truths": noise(7, 1, 1, 5) < 1,
}


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_part_by_part_equals_one_call(mask: str, limit: int) -> None:
    q, k, v = noise(7, 2, 3, 4), noise(7, 2, 5, 4) + 1, noise(7, 2, 5, 4) - 1
    parts = list(split_batches(q, k, v, MASKS[mask], limit))
    assert all(len(some) <= limit for some, *_ in parts)
    assert len(parts) == -(-7 // limit)
    out = torch.cat([F.scaled_dot_product_attention(*qkv, attn_mask=bias) for *qkv, bias in parts])
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, attn_mask=MASKS[mask]))


@pytest.mark.parametrize("mask", MASKS)
def test_attend_is_one_call_of_torchs_where_there_is_no_limit(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench_models.layers.attention.LARGEST_BATCH", 2)
    q, k, v = noise(7, 2, 3, 4), noise(7, 2, 5, 4) + 1, noise(7, 2, 5, 4) - 1
    with Calls() as calls:
        out = attend(q, k, v, MASKS[mask])
    assert calls.batches == [7]
    assert torch.equal(out, F.scaled_dot_product_attention(q, k, v, attn_mask=MASKS[mask]))


@pytest.mark.parametrize(
    ("batch", "batches"),
    [(LARGEST_BATCH, [65_535]), (LARGEST_BATCH + 1, [65_535, 1]), (2 * LARGEST_BATCH + 9, [65_535, 65_535, 9])],
)
def test_on_cuda_no_call_has_a_batch_that_the_kernels_refuse(batch: int, batches: list[int]) -> None:
    with FakeTensorMode(), Calls(stands_in=True) as calls:
        q = torch.empty(batch, 1, 2, 4, device="cuda")
        assert attend(q, q, q).shape == q.shape
    assert calls.batches == batches


@pytest.mark.parametrize(("own", "of_parts"), [(True, [65_535, 5]), (False, [1, 1])])
def test_on_cuda_a_mask_is_split_with_its_batch_and_shared_without_one(own: bool, of_parts: list[int]) -> None:
    batch = LARGEST_BATCH + 5
    with FakeTensorMode(), Calls(stands_in=True) as calls:
        q = torch.empty(batch, 1, 2, 4, device="cuda")
        attend(q, q, q, torch.empty(batch if own else 1, 1, 2, 2, device="cuda"))
    assert [len(mask) for mask in calls.masks if mask is not None] == of_parts


def test_on_cuda_the_positions_of_a_large_batch_are_attended_part_by_part() -> None:
    with FakeTensorMode(), Calls(stands_in=True) as calls:
        q = torch.empty(5, 1, 2, 128, 128, 4, device="cuda")
        assert attend_over("t", q, q, q).shape == q.shape
    assert calls.batches == [65_535, 5 * 128 * 128 - 65_535]


def test_multi_head_attention_equals_torchs() -> None:
    ours, x = MultiHeadAttention(CONFIG).double(), noise(2, 7, 12)
    expected, _ = reference(ours)(x, x, x)
    torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize("axes", FIXED)
def test_axis_attention_equals_torchs_under_its_mask(axes: Axes) -> None:
    grid = TokenGrid(3, 2, 5)
    ours, x = AxisAttention(CONFIG, axes).double(), noise(2, 3, 2, 5, 12)
    sequence = x.flatten(1, 3)
    expected, _ = reference(ours)(sequence, sequence, sequence, attn_mask=forbidden(grid, FIXED[axes]))
    torch.testing.assert_close(ours(x).flatten(1, 3), expected)


def test_stepwise_attention_equals_its_steps_written_out() -> None:
    ours, x = StepwiseAttention(CONFIG, ("h", "w", "t")).double(), noise(2, 3, 2, 5, 12)
    state = {name: noise(*value.shape) for name, value in ours.state_dict().items()}
    ours.load_state_dict(state)
    attend = {axes: AxisAttention(CONFIG, axes).double() for axes in ("h", "w", "t")}
    for index, module in enumerate(attend.values()):
        module.load_state_dict({name: state[f"steps.{index}.1.{name}"] for name in module.state_dict()})

    def norm(index: int, y: Tensor) -> Tensor:
        y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
        return y * state[f"steps.{index}.0.weight"] + state[f"steps.{index}.0.bias"]

    def fully_connected(index: int, y: Tensor) -> Tensor:
        return y @ state[f"steps.{index}.2.weight"].T + state[f"steps.{index}.2.bias"]

    height = fully_connected(0, attend["h"](x))
    width = fully_connected(1, attend["w"](norm(1, x + height)))
    time = attend["t"](norm(2, x + height + width))
    torch.testing.assert_close(ours(x), height + width + time)


def test_no_bias_on_the_projections_to_q_k_v_when_the_config_says_so() -> None:
    attention = MultiHeadAttention(AttentionConfig(embed_dim=12, num_heads=4, qkv_bias=False))
    assert attention.qkv.bias is None
    assert attention.proj.bias is not None


@pytest.mark.parametrize(("steps", "squares"), [(1, 4), (2, 9), (3, 14)])
def test_projection_macs_count_the_weights_of_every_linear_layer_once_a_token(steps: int, squares: int) -> None:
    grid, axes = TokenGrid(3, 2, 5), ("h", "w", "t")[:steps]
    weights = sum(p.numel() for p in StepwiseAttention(CONFIG, axes).parameters() if p.ndim == 2)
    assert projection_macs(grid, CONFIG, steps=steps) == 30 * weights == 30 * squares * 12**2


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^embed_dim must be a multiple of num_heads; got embed_dim=768, num_heads=7"):
        AttentionConfig(num_heads=7)
