"""MViT against pytorchvideo: the same tensors in both, and the same logits out of both.

Its poolings normalise with eps 1e-5, those of PySlowFast, torchvision and ours with 1e-6; here theirs are set to that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.mvit import MVIT_B, MVIT_B_24, MViT, MViTConfig
from vbench_models.video import Clip

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

# pytorchvideo compiles a few functions as it is imported, by a call that torch 2.13 announces the end of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.usefixtures("torchvision_importable"),
]

SHORT = Clip(frames=16, height=224, width=224)
LONG = Clip(frames=32, height=224, width=224)
OBLONG = Clip(batch=2, frames=6, height=96, width=136)  # 34 columns become 17, 9, 5


def their_base(clip: Clip) -> nn.Module:
    """Theirs by name: the network for 32 frames is that for 16 with another number of frames."""
    from pytorchvideo.models.hub import mvit_base_16x4, mvit_base_32x3  # type: ignore[import-untyped]

    if clip in (SHORT, LONG):
        return (mvit_base_16x4 if clip == SHORT else mvit_base_32x3)()
    return mvit_base_16x4(temporal_size=clip.frames, spatial_size=(clip.height, clip.width))


def their_24(clip: Clip) -> nn.Module:
    """Their general builder, with PySlowFast's settings of the 24-layer network: no kernel size is one longer."""
    from pytorchvideo.models.vision_transformers import (  # type: ignore[import-untyped]
        create_multiscale_vision_transformers,
    )

    return create_multiscale_vision_transformers(
        temporal_size=clip.frames,
        spatial_size=(clip.height, clip.width),
        depth=24,
        embed_dim_mul=[[2, 2.0], [5, 2.0], [21, 2.0]],
        atten_head_mul=[[2, 2.0], [5, 2.0], [21, 2.0]],
        pool_q_stride_size=[[2, 1, 2, 2], [5, 1, 2, 2], [21, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 8, 8],
    )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One network twice."""

    config: MViTConfig
    theirs: Callable[[Clip], nn.Module]


PAIRS = {"B": Pair(config=MVIT_B, theirs=their_base), "B-24": Pair(config=MVIT_B_24, theirs=their_24)}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def with_the_eps_of_the_others(theirs: nn.Module) -> nn.Module:
    for name, module in theirs.named_modules():
        if name.endswith(("attn.norm_q", "attn.norm_k", "attn.norm_v")) and isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-5
            module.eps = 1e-6
    return theirs.eval()


def name_map(config: MViTConfig) -> dict[str, str]:
    """From each of our tensors to theirs; where nothing is pooled, neither has a kernel or a norm."""
    modules = {"tokens.patches.proj": "patch_embed.patch_model", "norm": "norm_embed", "head": "head.proj"}
    tensors = {
        "tokens.cls_token": "cls_positional_encoding.cls_token",
        "tokens.cls_position": "cls_positional_encoding.pos_embed_class",
        "tokens.positions": "cls_positional_encoding.pos_embed_spatial",
        "tokens.times": "cls_positional_encoding.pos_embed_temporal",
    }
    places = [(stage, layer, depth) for stage, depth in enumerate(config.depths) for layer in range(depth)]
    for index, (stage, layer, depth) in enumerate(places):
        ours, theirs = f"stages.{stage}.{layer}", f"blocks.{index}"
        modules |= {
            f"{ours}.attention_norm": f"{theirs}.norm1",
            f"{ours}.feed_forward.norm": f"{theirs}.norm2",
            f"{ours}.feed_forward.mlp.fc1": f"{theirs}.mlp.fc1",
            f"{ours}.feed_forward.mlp.fc2": f"{theirs}.mlp.fc2",
        }
        modules |= {f"{ours}.attention.{x}": f"{theirs}.attn.{x}" for x in ("q", "k", "v", "proj")}
        if layer == depth - 1 and stage < 3:
            modules[f"{ours}.feed_forward.widen"] = f"{theirs}.proj"
        queries = "q" if stage and layer == 0 else ""
        keys_and_values = "kv" if config is MVIT_B or stage < 3 else ""
        for x in queries + keys_and_values:
            tensors[f"{ours}.attention.pool_{x}.conv.weight"] = f"{theirs}.attn.pool_{x}.weight"
            modules[f"{ours}.attention.pool_{x}.norm"] = f"{theirs}.attn.norm_{x}"
    return tensors | {f"{our}.{kind}": f"{their}.{kind}" for our, their in modules.items() for kind in KINDS}


KINDS = ("weight", "bias")


def twins(pair: Pair, clip: Clip, fill: Fill) -> tuple[nn.Module, nn.Module]:
    """Both networks with the same tensors: every one of theirs is used, every one of ours is set."""
    theirs, ours = with_the_eps_of_the_others(pair.theirs(clip)), MViT(pair.config, clip).eval()
    fill(theirs, 1)
    names, state = name_map(pair.config), theirs.state_dict()
    assert set(names.values()) == set(state)
    ours.load_state_dict({our_name: state[their_name] for our_name, their_name in names.items()}, strict=True)
    return ours, theirs


@every_pair
@pytest.mark.parametrize(
    "clip", [*(pytest.param(clip, marks=pytest.mark.slow) for clip in (SHORT, LONG)), OBLONG], ids=str
)
def test_the_same_weights_give_the_same_logits(
    pair: Pair, clip: Clip, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    ours, theirs = twins(pair, clip, fill_with_noise)
    video = torch.randn(clip.batch, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        our_logits, their_logits = ours(video), theirs(video)
    assert their_logits.std() > 0.1
    assert relative_difference(our_logits, their_logits) < 1e-5


def count(model: Any, clip: Clip) -> tuple[int, int]:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.to("meta").eval()(video)
    return sum(p.numel() for p in model.parameters()), int(counter.get_total_flops()) // 2


@every_pair
@pytest.mark.parametrize("clip", [LONG, OBLONG], ids=str)
def test_parameters_and_multiply_adds_are_equal(pair: Pair, clip: Clip) -> None:
    with torch.device("meta"):
        ours = MViT(pair.config, clip)
    assert count(ours, clip) == count(pair.theirs(clip), clip)
