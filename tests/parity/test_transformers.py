"""TimeSformer and ViViT model 1 against the transformers library: the same weights give the same logits."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.timesformer import timesformer_b, timesformer_b_joint, timesformer_b_space
from vbench_models.architectures.vivit import vivit_b_16x2
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
        space = "space_" if divided else ""
        layers[f"{ours}.{space or 'attention_'}norm"] = f"{theirs}.layernorm_before"
        layers[f"{ours}.{space}attention.qkv"] = f"{theirs}.attention.attention.qkv"
        layers[f"{ours}.{space}attention.proj"] = f"{theirs}.attention.output.dense"
        layers[f"{ours}.mlp_norm"] = f"{theirs}.layernorm_after"
        layers[f"{ours}.mlp.fc1"] = f"{theirs}.intermediate.dense"
        layers[f"{ours}.mlp.fc2"] = f"{theirs}.output.dense"
        if divided:
            layers[f"{ours}.time_norm"] = f"{theirs}.temporal_layernorm"
            layers[f"{ours}.time_attention.qkv"] = f"{theirs}.temporal_attention.attention.qkv"
            layers[f"{ours}.time_attention.proj"] = f"{theirs}.temporal_attention.output.dense"
            layers[f"{ours}.time_fc"] = f"{theirs}.temporal_dense"
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


def vivit_of(clip: Clip) -> nn.Module:
    config = transformers.VivitConfig(num_frames=clip.frames, image_size=[clip.height, clip.width], num_labels=400)
    config._attn_implementation = "eager"
    return transformers.VivitForVideoClassification(config).eval()


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
    reduced: Clip
    other: Clip
    logits: Callable[[nn.Module, Tensor], Tensor] = logits


DEFAULT = Clip(frames=8, height=224, width=224)
REDUCED = Clip(frames=8, height=112, width=112)
OTHER = Clip(batch=2, frames=3, height=64, width=64)
PAIRS = {
    "divided": Pair(
        ours=timesformer_b,
        theirs=lambda clip: timesformer_of("divided_space_time", clip),
        names=lambda: timesformer_names(divided=True, times=True),
        default=DEFAULT,
        reduced=REDUCED,
        other=OTHER,
    ),
    "joint": Pair(
        ours=timesformer_b_joint,
        theirs=lambda clip: timesformer_of("joint_space_time", clip),
        names=lambda: timesformer_names(divided=False, times=True),
        default=DEFAULT,
        reduced=REDUCED,
        other=OTHER,
    ),
    "space": Pair(
        ours=timesformer_b_space,
        theirs=lambda clip: timesformer_of("space_only", clip),
        names=lambda: timesformer_names(divided=False, times=False),
        default=DEFAULT,
        reduced=REDUCED,
        other=OTHER,
        logits=logits_of_the_mean_frame,
    ),
    "vivit": Pair(
        ours=vivit_b_16x2,
        theirs=vivit_of,
        names=vivit_names,
        default=Clip(frames=32, height=224, width=224),
        reduced=Clip(frames=16, height=112, width=112),
        other=Clip(batch=2, frames=6, height=48, width=80),
    ),
}

every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
every_clip = pytest.mark.parametrize("which", [pytest.param("default", marks=pytest.mark.slow), "reduced", "other"])


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


@every_pair
@torch.no_grad()
def test_parameters_and_macs_are_equal_at_the_default_clip(pair: Pair) -> None:
    def count(build: Callable[[Clip], nn.Module], logits: Callable[[nn.Module, Tensor], Tensor]) -> tuple[int, int]:
        video = torch.empty(1, 3, pair.default.frames, pair.default.height, pair.default.width, device="meta")
        with torch.device("meta"):
            model = build(pair.default).eval()
        with FlopCounterMode(display=False) as counter:
            logits(model, video)
        return sum(p.numel() for p in model.parameters()), counter.get_total_flops()

    assert count(pair.ours, lambda model, video: model(video)) == count(pair.theirs, pair.logits)
