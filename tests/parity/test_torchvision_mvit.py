"""MViT and MViTv2 against torchvision: the same tensors in both, and the same logits out of both.

torchvision builds MViT-B and MViTv2-S by name, for one clip; its class takes the other networks and other clips.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.mvit import MVIT_B, MViT, MViTConfig, mvit_b_16x4
from vbench_models.architectures.mvitv2 import (
    MVITV2_B,
    MVITV2_L,
    MVITV2_S,
    MViTv2,
    MViTv2Config,
    OpeningBlock,
    mvitv2_s_16x4,
)
from vbench_models.video import Clip

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]
Names = dict[str, tuple[str, ...]]

SHORT = Clip(frames=16, height=224, width=224)
SMALL = Clip(frames=4, height=64, width=64)
OBLONG = Clip(batch=2, frames=6, height=96, width=136)  # 34 columns become 17, 9, 5: poolings round up, tables down
LONG = Clip(frames=32, height=224, width=224)
LARGE = Clip(frames=40, height=312, width=312)  # 78 rows become 39, 20, 10

pytestmark = pytest.mark.usefixtures("torchvision_importable")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What tells torchvision's networks of one generation apart."""

    depths: tuple[int, ...]
    embed_dim: int = 96
    num_heads: int = 1


B, S = Sizes(depths=(1, 2, 11, 2)), Sizes(depths=(1, 2, 11, 2))
V2_B = Sizes(depths=(2, 3, 16, 3))
V2_L = Sizes(depths=(2, 6, 36, 4), embed_dim=144, num_heads=2)


def their_blocks(sizes: Sizes, *, second: bool) -> list[Any]:
    """The list of blocks that torchvision's class takes, of the first generation or the second."""
    from torchvision.models.video.mvit import MSBlockConfig  # type: ignore[import-untyped]

    scales = [scale for scale, depth in enumerate(sizes.depths) for _ in range(depth)]
    widths = [sizes.embed_dim * 2**scale for scale in scales]
    ins, outs = (widths[:1] + widths[:-1], widths) if second else (widths, widths[1:] + widths[-1:])
    blocks = []
    for index, scale in enumerate(scales):
        opens = index > 0 and scale > scales[index - 1]
        q = ([3, 3, 3], [1, 2, 2]) if opens else ([3, 3, 3], [1, 1, 1]) if second else ([], [])
        kv_stride = [1, 8 // 2**scale, 8 // 2**scale]
        heads = sizes.num_heads * 2**scale
        blocks.append(MSBlockConfig(heads, ins[index], outs[index], q[0], [3, 3, 3], q[1], kv_stride))
    return blocks


def their_mvit(sizes: Sizes, clip: Clip) -> nn.Module:
    from torchvision.models.video.mvit import MViT as Theirs

    blocks = their_blocks(sizes, second=False)
    model: nn.Module = Theirs((clip.height, clip.width), clip.frames, blocks, False, False, False, False)
    return model.eval()


def their_mvitv2(sizes: Sizes, clip: Clip) -> nn.Module:
    from torchvision.models.video.mvit import MViT as Theirs

    blocks = their_blocks(sizes, second=True)
    model: nn.Module = Theirs((clip.height, clip.width), clip.frames, blocks, True, False, True, True)
    return model.eval()


def mvit_names(config: MViTConfig) -> Names:
    """From each tensor of theirs to ours; one that they stack becomes several."""
    names: Names = {
        "pos_encoding.class_token": ("tokens.cls_token",),
        "pos_encoding.class_pos": ("tokens.cls_position",),
        "pos_encoding.spatial_pos": ("tokens.positions",),
        "pos_encoding.temporal_pos": ("tokens.times",),
        **with_bias("conv_proj", "tokens.patches.proj"),
        **ends(),
    }
    ours = [f"stages.{stage}.{layer}" for stage, depth in enumerate(config.depths) for layer in range(depth)]
    for index, block in enumerate(ours):
        opens, widens = block.endswith(".0") and index > 0, f"{index + 1}" in ("1", "3", "14")
        names |= block_names(f"blocks.{index}", block, "qkv" if opens else "kv")
        if widens:
            names |= with_bias(f"blocks.{index}.project", f"{block}.feed_forward.widen")
    return names


def mvitv2_names(model: MViTv2) -> Names:
    """The same for the second generation, which has tables of distances in place of positions."""
    names: Names = {
        "pos_encoding.class_token": ("cls_token",),
        **with_bias("conv_proj", "patches.proj"),
        **ends(),
    }
    for index, block in enumerate(model.blocks):
        theirs, ours = f"blocks.{index}", f"blocks.{index}"
        names |= block_names(theirs, ours, "qkv")
        for letter, axis in {"t": "times", "h": "heights", "w": "widths"}.items():
            names[f"{theirs}.attn.rel_pos_{letter}"] = (f"{ours}.attention.positions.{axis}",)
        if isinstance(block, OpeningBlock):
            names |= with_bias(f"{theirs}.project", f"{ours}.widen")
    return names


def ends() -> Names:
    return {**with_bias("norm", "norm"), **with_bias("head.1", "head")}


def block_names(theirs: str, ours: str, pooled: str) -> Names:
    names = {
        **with_bias(f"{theirs}.norm1", f"{ours}.attention_norm"),
        **with_bias(f"{theirs}.norm2", f"{ours}.feed_forward.norm"),
        **with_bias(f"{theirs}.attn.qkv", *(f"{ours}.attention.{x}" for x in "qkv")),
        **with_bias(f"{theirs}.attn.project.0", f"{ours}.attention.proj"),
        **with_bias(f"{theirs}.mlp.0", f"{ours}.feed_forward.mlp.fc1"),
        **with_bias(f"{theirs}.mlp.3", f"{ours}.feed_forward.mlp.fc2"),
    }
    for x in pooled:
        names[f"{theirs}.attn.pool_{x}.pool.weight"] = (f"{ours}.attention.pool_{x}.conv.weight",)
        names |= with_bias(f"{theirs}.attn.pool_{x}.norm_act.0", f"{ours}.attention.pool_{x}.norm")
    return names


def with_bias(theirs: str, *ours: str) -> Names:
    return {f"{theirs}.{kind}": tuple(f"{name}.{kind}" for name in ours) for kind in ("weight", "bias")}


def copy_every_tensor(theirs: nn.Module, ours: nn.Module, names: Names) -> None:
    """By name; no tensor on either side may be left over."""
    state, target, copied = theirs.state_dict(), ours.state_dict(), {}
    assert set(names) == set(state)
    for their_name, our_names in names.items():
        for our_name, part in zip(our_names, state[their_name].chunk(len(our_names)), strict=True):
            assert part.numel() == target[our_name].numel()
            copied[our_name] = part.reshape(target[our_name].shape)
    ours.load_state_dict(copied, strict=True)


def assert_same_logits(ours: nn.Module, theirs: nn.Module, clip: Clip, relative_difference: Distance) -> None:
    video = torch.randn(clip.batch, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        our_logits, their_logits = ours(video), theirs(video)
    assert their_logits.std() > 0.1
    assert relative_difference(our_logits, their_logits) < 1e-5


def mvit_twins(clip: Clip, fill: Fill) -> tuple[nn.Module, nn.Module]:
    theirs, ours = their_mvit(B, clip), MViT(MVIT_B, clip).eval()
    fill(theirs, 1)
    copy_every_tensor(theirs, ours, mvit_names(MVIT_B))
    return ours, theirs


def mvitv2_twins(sizes: Sizes, config: MViTv2Config, clip: Clip, fill: Fill) -> tuple[nn.Module, nn.Module]:
    theirs, ours = their_mvitv2(sizes, clip), MViTv2(config, clip).eval()
    fill(theirs, 1)
    copy_every_tensor(theirs, ours, mvitv2_names(ours))
    return ours, theirs


every_clip = pytest.mark.parametrize("clip", [pytest.param(SHORT, marks=pytest.mark.slow), SMALL, OBLONG], ids=str)


@every_clip
def test_mvit_b_gives_the_same_logits(clip: Clip, fill_with_noise: Fill, relative_difference: Distance) -> None:
    assert_same_logits(*mvit_twins(clip, fill_with_noise), clip, relative_difference)


@every_clip
def test_mvitv2_s_gives_the_same_logits(clip: Clip, fill_with_noise: Fill, relative_difference: Distance) -> None:
    assert_same_logits(*mvitv2_twins(S, MVITV2_S, clip, fill_with_noise), clip, relative_difference)


@pytest.mark.parametrize("clip", [pytest.param(LONG, marks=pytest.mark.slow), SMALL, OBLONG], ids=str)
def test_mvitv2_b_gives_the_same_logits(clip: Clip, fill_with_noise: Fill, relative_difference: Distance) -> None:
    assert_same_logits(*mvitv2_twins(V2_B, MVITV2_B, clip, fill_with_noise), clip, relative_difference)


@pytest.mark.slow
@pytest.mark.parametrize("clip", [SMALL, OBLONG], ids=str)
def test_mvitv2_l_gives_the_same_logits(clip: Clip, fill_with_noise: Fill, relative_difference: Distance) -> None:
    assert_same_logits(*mvitv2_twins(V2_L, MVITV2_L, clip, fill_with_noise), clip, relative_difference)


def count(model: nn.Module, clip: Clip) -> tuple[int, int]:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(video)
    return sum(p.numel() for p in model.parameters()), int(counter.get_total_flops()) // 2


def test_the_networks_that_torchvision_builds_by_name_count_the_same() -> None:
    from torchvision.models.video import mvit_v1_b, mvit_v2_s

    with torch.device("meta"):
        pairs = (mvit_b_16x4(SHORT), mvit_v1_b()), (mvitv2_s_16x4(SHORT), mvit_v2_s())
    for ours, theirs in pairs:
        assert count(ours.eval(), SHORT) == count(theirs.eval(), SHORT)


@pytest.mark.parametrize("clip", [LONG, SMALL, OBLONG], ids=str)
def test_mvit_b_counts_the_same_at_other_clips(clip: Clip) -> None:
    with torch.device("meta"):
        assert count(MViT(MVIT_B, clip).eval(), clip) == count(their_mvit(B, clip), clip)


@pytest.mark.parametrize(
    ("sizes", "config", "clip"),
    [
        pytest.param(S, MVITV2_S, OBLONG, id="S oblong"),
        pytest.param(V2_B, MVITV2_B, LONG, id="B"),
        pytest.param(V2_B, MVITV2_B, OBLONG, id="B oblong"),
        pytest.param(V2_L, MVITV2_L, LARGE, id="L", marks=pytest.mark.slow),
        pytest.param(V2_L, MVITV2_L, SMALL, id="L small", marks=pytest.mark.slow),
    ],
)
def test_mvitv2_counts_the_same(sizes: Sizes, config: MViTv2Config, clip: Clip) -> None:
    with torch.device("meta"):
        assert count(MViTv2(config, clip).eval(), clip) == count(their_mvitv2(sizes, clip), clip)
