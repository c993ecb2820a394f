import pytest
import torch
from torch import Tensor, nn

from vbench_models.layers.attention import (
    AttentionConfig,
    Axes,
    AxisAttention,
    MultiHeadAttention,
    StepwiseAttention,
    projection_macs,
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
