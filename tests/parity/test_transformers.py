"""TimeSformer, ViViT model 1 and k-NN ViViT against the transformers library: the same weights give the same logits.

The library has no k-NN attention; its ViViT is given a function that hides all but the highest scores, as KVT does.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.knn_vivit import knn_vivit_b
from vbench_models.architectures.timesformer import timesformer_b, timesformer_b_joint, timesformer_b_space
from vbench_models.architectures.vivit import vivit_b_16x2, vivit_h_14x2, vivit_l_16x2
from vbench_models.video import Clip

Names = Iterator[tuple[str, tuple[str, ...]]]
WEIGHT_AND_BIAS = ("weight", "bias")


@pytest.fixture(autouse=True, scope="module")
def transformers_importable(request: pytest.FixtureRequest) -> None:
    """Their models import torchvision wherever it is installed."""
    if importlib.util.find_spec("torchvision"):
        request.getfixturevalue("torchvision_importable")


def timesformer_names(*, divided: bool, times: bool) -> Names:
    """Each tensor of ours with the tensor of theirs."""
    yield "tokens.cls_token", ("timesformer.embeddings.cls_token",)
    yield "tokens.positions", ("timesformer.embeddings.position_embeddings",)
    if times:
        yield "tokens.times", ("timesformer.embeddings.time_embeddings",)
    layers = {
        "tokens.embedding.proj": "timesformer.embeddings.patch_embeddings.projection",
        "norm": "timesformer.layernorm",
        "head": "classifier",
    }
    for block in range(12):
        ours, theirs = f"blocks.{block}", f"timesformer.encoder.layer.{block}"
        norm, attention = ("steps.space.norm", "steps.space.attention") if divided else ("attention_norm", "attention")
        layers[f"{ours}.{norm}"] = f"{theirs}.layernorm_before"
        layers[f"{ours}.{attention}.qkv"] = f"{theirs}.attention.attention.qkv"
        layers[f"{ours}.{attention}.proj"] = f"{theirs}.attention.output.dense"
        layers[f"{ours}.mlp_norm"] = f"{theirs}.layernorm_after"
        layers[f"{ours}.mlp.fc1"] = f"{theirs}.intermediate.dense"
        layers[f"{ours}.mlp.fc2"] = f"{theirs}.output.dense"
        if divided:
            layers[f"{ours}.steps.time.norm"] = f"{theirs}.temporal_layernorm"
            layers[f"{ours}.steps.time.attention.qkv"] = f"{theirs}.temporal_attention.attention.qkv"
            layers[f"{ours}.steps.time.attention.proj"] = f"{theirs}.temporal_attention.output.dense"
            layers[f"{ours}.steps.time.fc"] = f"{theirs}.temporal_dense"
    yield from with_weight_and_bias(layers)


def vivit_names() -> Names:
    """Each tensor of ours with the tensors of theirs, in the order in which they are stacked."""
    yield "encoder.cls_token", ("vivit.embeddings.cls_token",)
    yield "encoder.positions", ("vivit.embeddings.position_embeddings",)
    layers = {
        "embedding.proj": "vivit.embeddings.patch_embeddings.projection",
        "encoder.norm": "vivit.layernorm",
        "head": "classifier",
    }
    for block in range(12):
        ours, theirs = f"encoder.blocks.{block}", f"vivit.layers.{block}"
        layers[f"{ours}.attention_norm"] = f"{theirs}.layernorm_before"
        layers[f"{ours}.attention.proj"] = f"{theirs}.attention.o_proj"
        layers[f"{ours}.mlp_norm"] = f"{theirs}.layernorm_after"
        layers[f"{ours}.mlp.fc1"] = f"{theirs}.mlp.fc1"
        layers[f"{ours}.mlp.fc2"] = f"{theirs}.mlp.fc2"
        for kind in WEIGHT_AND_BIAS:
            yield f"{ours}.attention.qkv.{kind}", tuple(f"{theirs}.attention.{x}_proj.{kind}" for x in "qkv")
    yield from with_weight_and_bias(layers)


def with_weight_and_bias(layers: dict[str, str]) -> Names:
    for ours, theirs in layers.items():
        for kind in WEIGHT_AND_BIAS:
            yield f"{ours}.{kind}", (f"{theirs}.{kind}",)


def timesformer_of(scheme: str, clip: Clip) -> nn.Module:
    config = transformers.TimesformerConfig(
        attention_type=scheme, num_frames=clip.frames, image_size=clip.height, num_labels=400
    )
    config._attn_implementation = "eager"
    return transformers.TimesformerForVideoClassification(config).eval()


def vivit_of(clip: Clip, attention: str = "eager", **sizes: int | list[int]) -> nn.Module:
    config = transformers.VivitConfig(
        num_frames=clip.frames, image_size=[clip.height, clip.width], num_labels=400, **sizes
    )
    config._attn_implementation = attention
    return transformers.VivitForVideoClassification(config).eval()


def attend_to_the_highest_scores(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: None, scaling: float, **_: object
) -> tuple[Tensor, Tensor]:
    """What KVT does, in the form that transformers asks for: all scores, all but the first 100 hidden, all values."""
    scores = q @ k.mT * scaling
    kept = scores.topk(min(100, scores.shape[-1]), dim=-1).indices
    hidden = torch.ones_like(scores, dtype=torch.bool).scatter(-1, kept, False)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return (weights @ v).transpose(1, 2).contiguous(), weights


def logits(theirs: nn.Module, video: Tensor) -> Tensor:
    return theirs(video.transpose(1, 2)).logits


def logits_of_the_mean_frame(theirs: nn.Module, video: Tensor) -> Tensor:
    """Theirs gives space-only logits frame by frame; the official code averages before the last norm, and so here."""
    states = theirs.timesformer(video.transpose(1, 2), output_hidden_states=True).hidden_states[-1]
    mean = states.unflatten(0, (len(video), -1)).mean(dim=1)
    return theirs.classifier(theirs.timesformer.layernorm(mean)[:, 0])


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One network twice."""

    ours: Callable[[Clip], nn.Module]
    theirs: Callable[[Clip], nn.Module]
    names: Callable[[], Names]
    default: Clip
    other: Clip
    logits: Callable[[nn.Module, Tensor], Tensor] = logits


DEFAULT = Clip(frames=8, height=224, width=224)
OTHER = Clip(batch=2, frames=3, height=64, width=64)
PAIRS = {
    "divided": Pair(
        ours=timesformer_b,
        theirs=lambda clip: timesformer_of("divided_space_time", clip),
        names=lambda: timesformer_names(divided=True, times=True),
        default=DEFAULT,
        other=OTHER,
    ),
    "joint": Pair(
        ours=timesformer_b_joint,
        theirs=lambda clip: timesformer_of("joint_space_time", clip),
        names=lambda: timesformer_names(divided=False, times=True),
        default=DEFAULT,
        other=OTHER,
    ),
    "space": Pair(
        ours=timesformer_b_space,
        theirs=lambda clip: timesformer_of("space_only", clip),
        names=lambda: timesformer_names(divided=False, times=False),
        default=DEFAULT,
        other=OTHER,
        logits=logits_of_the_mean_frame,
    ),
    "vivit": Pair(
        ours=vivit_b_16x2,
        theirs=vivit_of,
        names=vivit_names,
        default=Clip(frames=32, height=224, width=224),
        other=Clip(batch=2, frames=6, height=48, width=80),
    ),
}

every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
every_clip = pytest.mark.parametrize("which", [pytest.param("default", marks=pytest.mark.slow), "other"])


def copy_every_tensor(theirs: nn.Module, ours: nn.Module, names: Names) -> None:
    """By name; no tensor on either side may be left over or used twice."""
    source, target, copied = theirs.state_dict(), ours.state_dict(), {}
    for our_name, their_names in names:
        value = torch.cat([source.pop(name) for name in their_names])
        assert value.numel() == target[our_name].numel()
        copied[our_name] = value.reshape(target.pop(our_name).shape)  # Conv2d 16x16 is Conv3d 1x16x16
    assert not source
    assert not target
    ours.load_state_dict(copied)


@every_pair
@every_clip
@torch.no_grad()
def test_the_same_weights_give_the_same_logits(
    pair: Pair,
    which: str,
    fill_with_noise: Callable[[nn.Module, int], None],
    relative_difference: Callable[[Tensor, Tensor], float],
) -> None:
    clip = getattr(pair, which)
    ours, theirs = pair.ours(clip).eval(), pair.theirs(clip)
    fill_with_noise(theirs, 0)
    copy_every_tensor(theirs, ours, pair.names())
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    video = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = pair.logits(theirs, video)
    assert expected.shape == (clip.batch, 400)
    assert expected.std(dim=1).min() > 0.1
    assert relative_difference(ours(video), expected) < 1e-5  # another eps or another GELU makes 1e-4


@torch.no_grad()
def test_knn_vivit_is_their_vivit_with_all_but_the_highest_scores_hidden(
    fill_with_noise: Callable[[nn.Module, int], None], relative_difference: Callable[[Tensor, Tensor], float]
) -> None:
    """In double precision: in single, rounding decides between keys of nearly equal score."""
    transformers.AttentionInterface.register("knn", attend_to_the_highest_scores)
    clip = Clip(frames=8, height=64, width=128)  # 129 tokens
    ours, theirs = knn_vivit_b(clip).eval(), vivit_of(clip, "knn")
    fill_with_noise(theirs, 0)
    copy_every_tensor(theirs, ours, vivit_names())
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    video = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = logits(theirs.double(), video)
    assert relative_difference(ours.double()(video), expected) < 1e-10  # their GELU has ten digits of a constant
    all_keys = vivit_b_16x2(clip).double().eval()
    all_keys.load_state_dict(ours.state_dict())
    assert relative_difference(all_keys(video), expected) > 1e-3


def count(model: nn.Module, clip: Clip, logits: Callable[[nn.Module, Tensor], Tensor]) -> tuple[int, int]:
    """Parameters and FLOPs of one clip."""
    video = torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits(model.eval(), video)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops()


@every_pair
@pytest.mark.parametrize("which", ["default", "other"])
def test_parameters_and_macs_are_equal(pair: Pair, which: str) -> None:
    clip = getattr(pair, which)
    with torch.device("meta"):
        ours, theirs = pair.ours(clip), pair.theirs(clip)
    assert count(ours, clip, nn.Module.__call__) == count(theirs, clip, pair.logits)


HIGH_RESOLUTION = Clip(frames=16, height=448, width=448)
LONG = Clip(frames=96, height=224, width=224)
FULL = Clip(frames=32, height=224, width=224)
LARGER = Clip(frames=32, height=320, width=320)
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
HUGE = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "intermediate_size": 5120}


@pytest.mark.parametrize(
    ("clip", "ours", "theirs"),
    [
        (HIGH_RESOLUTION, timesformer_b, lambda clip: timesformer_of("divided_space_time", clip)),
        (LONG, timesformer_b, lambda clip: timesformer_of("divided_space_time", clip)),
        (FULL, vivit_l_16x2, lambda clip: vivit_of(clip, **LARGE)),
        (LARGER, vivit_l_16x2, lambda clip: vivit_of(clip, **LARGE)),
        (FULL, vivit_h_14x2, lambda clip: vivit_of(clip, tubelet_size=[2, 14, 14], **HUGE)),
    ],
    ids=["timesformer_hr", "timesformer_l", "vivit_l_16x2", "vivit_l_16x2_320", "vivit_h_14x2"],
)
def test_parameters_and_macs_of_the_larger_networks_are_equal(
    clip: Clip, ours: Callable[[Clip], nn.Module], theirs: Callable[[Clip], nn.Module]
) -> None:
    with torch.device("meta"):
        models = ours(clip), theirs(clip)
    assert count(models[0], clip, nn.Module.__call__) == count(models[1], clip, logits)
