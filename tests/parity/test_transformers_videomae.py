"""VideoMAE against the transformers library: the same logits, and the same reconstruction and loss in pre-training.

Theirs has other epsilons in its norms (1e-12, and 1e-5 in the head and at the decoder's end) than the official code,
which ours follows; they are set to the official 1e-6, so that the outputs can be held to rounding.
"""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.videomae import videomae_b, videomae_b_pretrain, videomae_l, videomae_s
from vbench_models.video import Clip

Names = Iterator[tuple[str, tuple[str, ...]]]
Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

DEFAULT = Clip(frames=16, height=224, width=224)
OTHER = Clip(batch=2, frames=6, height=64, width=96)
WIDTHS = {
    "s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536},
    "b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
OURS = {"s": videomae_s, "b": videomae_b, "l": videomae_l}
PARTS = {
    "attention_norm": "layernorm_before",
    "attention.proj": "attention.output.dense",
    "mlp_norm": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
SLOW = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def transformers_importable(request: pytest.FixtureRequest) -> None:
    """Their models import torchvision wherever it is installed."""
    if importlib.util.find_spec("torchvision"):
        request.getfixturevalue("torchvision_importable")


def config_of(size: str, clip: Clip, **further: Any) -> Any:
    config = transformers.VideoMAEConfig(
        **WIDTHS[size],
        image_size=[clip.height, clip.width],
        num_frames=clip.frames,
        num_labels=400,
        layer_norm_eps=1e-6,
        **further,
    )
    config._attn_implementation = "eager"
    return config


def classifier_of(size: str, clip: Clip) -> nn.Module:
    theirs = transformers.VideoMAEForVideoClassification(config_of(size, clip)).eval()
    theirs.fc_norm.eps = 1e-6
    return theirs


def pretraining_of(clip: Clip) -> nn.Module:
    theirs = transformers.VideoMAEForPreTraining(config_of("b", clip, use_mean_pooling=False)).eval()
    theirs.decoder.norm.eps = 1e-6
    return theirs


def block_names(ours: str, theirs: str) -> Names:
    for our_part, their_part in PARTS.items():
        for kind in ("weight", "bias"):
            yield f"{ours}.{our_part}.{kind}", (f"{theirs}.{their_part}.{kind}",)
    attention = f"{theirs}.attention.attention"
    yield f"{ours}.attention.qkv.weight", tuple(f"{attention}.{x}.weight" for x in ("query", "key", "value"))
    yield f"{ours}.attention.q_bias", (f"{attention}.query.bias",)
    yield f"{ours}.attention.v_bias", (f"{attention}.value.bias",)


def pairs(layers: dict[str, str]) -> Names:
    for ours, theirs in layers.items():
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", (f"{theirs}.{kind}",)


def classifier_names(depth: int) -> Names:
    patches = "videomae.embeddings.patch_embeddings.projection"
    yield from pairs({"embedding.proj": patches, "norm": "fc_norm", "head": "classifier"})
    for block in range(depth):
        yield from block_names(f"blocks.{block}", f"videomae.encoder.layer.{block}")


def pretraining_names() -> Names:
    patches = "videomae.embeddings.patch_embeddings.projection"
    layers = {"encoder_norm": "videomae.layernorm", "decoder_norm": "decoder.norm", "head": "decoder.head"}
    yield from pairs({"embedding.proj": patches, **layers})
    yield "mask_token", ("mask_token",)
    yield "to_decoder.weight", ("encoder_to_decoder.weight",)
    for block in range(12):
        yield from block_names(f"encoder.{block}", f"videomae.encoder.layer.{block}")
    for block in range(4):
        yield from block_names(f"decoder.{block}", f"decoder.decoder_layers.{block}")


def copy_every_tensor(theirs: nn.Module, ours: nn.Module, names: Names) -> None:
    """By name; no tensor on either side may be left over or used twice."""
    source, copied = theirs.state_dict(), {}
    for our_name, their_names in names:
        copied[our_name] = torch.cat([source.pop(name) for name in their_names])
    assert not source
    ours.load_state_dict(copied, strict=True)


def video_of(clip: Clip, device: str = "cpu") -> Tensor:
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    if device == "meta":
        return torch.empty(shape, device="meta")
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "clip"),
    [
        pytest.param("b", DEFAULT, marks=SLOW),
        *(pytest.param(size, OTHER, marks=SLOW if size == "l" else ()) for size in OURS),
    ],
    ids=str,
)
@torch.no_grad()
def test_the_same_weights_give_the_same_logits(
    size: str, clip: Clip, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    ours, theirs = OURS[size](clip).eval(), classifier_of(size, clip)
    fill_with_noise(theirs, 0)
    copy_every_tensor(theirs, ours, classifier_names(WIDTHS[size]["num_hidden_layers"]))
    expected = theirs(video_of(clip).transpose(1, 2)).logits
    assert expected.std(dim=1).min() > 0.1
    assert relative_difference(ours(video_of(clip)), expected) < 1e-5


@pytest.mark.parametrize("clip", [pytest.param(DEFAULT, marks=SLOW), OTHER], ids=str)
@torch.no_grad()
def test_the_same_weights_and_mask_give_the_same_reconstruction_and_loss(
    clip: Clip, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    ours, theirs = videomae_b_pretrain(clip).eval(), pretraining_of(clip)
    fill_with_noise(theirs, 0)
    copy_every_tensor(theirs, ours, pretraining_names())
    torch.manual_seed(2)
    (visible,) = ours.further_inputs(video_of(clip))
    masked = torch.ones(clip.batch, ours.grid.tokens, dtype=torch.bool).scatter(1, visible, False)
    expected = theirs(video_of(clip).transpose(1, 2), bool_masked_pos=masked)
    out = ours(video_of(clip), visible)
    assert expected.logits.std() > 0.1
    assert relative_difference(out.pixels, expected.logits) < 1e-5
    assert relative_difference(out.loss, expected.loss) < 1e-4


@pytest.mark.parametrize("size", OURS)
@torch.no_grad()
def test_parameters_and_macs_of_the_classifiers_are_equal(size: str) -> None:
    with torch.device("meta"):
        ours, theirs = OURS[size](DEFAULT).eval(), classifier_of(size, DEFAULT)
    theirs.videomae.embeddings.position_embeddings = torch.empty(1, 1568, 1, device="meta")
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    video = video_of(DEFAULT, "meta")
    assert flops(lambda: ours(video)) == flops(lambda: theirs(video.transpose(1, 2)))


@torch.no_grad()
def test_parameters_and_macs_of_pre_training_are_equal() -> None:
    """Theirs picks tokens by a boolean mask, which does not run on the meta device: a small clip on real tensors."""
    ours, theirs = videomae_b_pretrain(OTHER).eval(), pretraining_of(OTHER)
    video = video_of(OTHER)
    (visible,) = ours.further_inputs(video)
    masked = torch.ones(OTHER.batch, ours.grid.tokens, dtype=torch.bool).scatter(1, visible, False)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    on_meta, meta_video = ours.to("meta"), video_of(OTHER, "meta")
    expected = flops(lambda: theirs(video.transpose(1, 2), bool_masked_pos=masked))
    assert flops(lambda: on_meta(meta_video, visible.to("meta"))) == expected


def flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
