"""Video networks started from an image ViT, against that ViT, which is built here of torch's own layers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbench_models.architectures import timesformer, vivit
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.inflation import Inflate, at_central_frame, by_mean, copy_embedding, silence
from vbench_models.video import Clip, ModelError

WIDTH, DEPTH, HEADS = 24, 2, 3
CLIP = Clip(frames=6, height=32, width=48)
PATCHES = 6

every_inflation = pytest.mark.parametrize("inflate", [by_mean, at_central_frame])


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def image_weights() -> dict[str, Tensor]:
    """A ViT by timm's names, every number noise."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + PATCHES, WIDTH),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for index in range(DEPTH):
        for name, out, into in (
            ("norm1", WIDTH, 0),
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("norm2", WIDTH, 0),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes[f"blocks.{index}.{name}.weight"] = (out, into) if into else (out,)
            shapes[f"blocks.{index}.{name}.bias"] = (out,)
    return {name: 0.2 * noise(*shape, seed=seed) for seed, (name, shape) in enumerate(shapes.items())}


def image_features(weights: dict[str, Tensor], images: Tensor, *, gelu: str, cls_token: bool) -> Tensor:
    """The normalised class token of each image, or the mean of its normalised patches where there is no such token."""
    x = F.conv2d(images, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=16)
    x = x.flatten(2).mT + weights["pos_embed"][:, 1:]
    if cls_token:
        x = torch.cat(((weights["cls_token"] + weights["pos_embed"][:, :1]).expand(len(x), -1, -1), x), dim=1)
    for index in range(DEPTH):
        x = torch_block(weights, f"blocks.{index}", gelu)(x)
    x = F.layer_norm(x, (WIDTH,), weights["norm.weight"], weights["norm.bias"], eps=1e-6)
    return x[:, 0] if cls_token else x.mean(1)


def torch_block(weights: dict[str, Tensor], prefix: str, gelu: str) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, 0.0, partial(F.gelu, approximate=gelu), 1e-6, batch_first=True, norm_first=True
    )
    names = {"norm1": "norm1", "norm2": "norm2", "self_attn.out_proj": "attn.proj", "linear1": "mlp.fc1"}
    names["linear2"] = "mlp.fc2"
    state = {
        f"{to}.{kind}": weights[f"{prefix}.{of}.{kind}"] for to, of in names.items() for kind in ("weight", "bias")
    }
    state |= {f"self_attn.in_proj_{kind}": weights[f"{prefix}.attn.qkv.{kind}"] for kind in ("weight", "bias")}
    layer.load_state_dict(state)
    return layer.train()  # in evaluation a fused path takes over


def static(image: Tensor) -> Tensor:
    return image[:, :, None].expand(-1, -1, CLIP.frames, -1, -1)


def features(model: Any, video: Tensor) -> Tensor:
    """What the head is given."""
    given: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    model(video)
    return given[0]


def small_timesformer(block: timesformer.BlockBuilder) -> timesformer.TimeSformer:
    config = replace(timesformer.TIMESFORMER_B, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=5)
    return timesformer.TimeSformer(config, CLIP, block)


def small_vivit(build: Callable[[vivit.FactorisedEncoderConfig], Any]) -> Any:
    return build(replace(vivit.VIVIT_B_16X2_FE, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=5))


@every_inflation
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_on_a_static_clip_inflated_filters_give_the_tokens_of_the_image(inflate: Inflate, frames: int) -> None:
    weights, image = image_weights(), noise(2, 3, 32, 48)
    embedding = TubeletEmbedding((frames, 16, 16), WIDTH)
    copy_embedding(weights, embedding, inflate)
    expected = F.conv2d(image, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=16)
    torch.testing.assert_close(
        embedding(image[:, :, None].expand(-1, -1, frames, -1, -1))[:, 0].movedim(-1, 1), expected
    )


@pytest.mark.parametrize(("frames", "centre"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_central_inflation_reads_one_frame_and_inflation_by_the_mean_all_alike(frames: int, centre: int) -> None:
    filters, video = noise(4, 3, 16, 16), noise(1, 3, frames, 16, 16)
    by_frame = torch.stack([F.conv2d(video[:, :, t], filters).flatten() for t in range(frames)])
    torch.testing.assert_close(F.conv3d(video, at_central_frame(filters, frames)).flatten(), by_frame[centre])
    torch.testing.assert_close(F.conv3d(video, by_mean(filters, frames)).flatten(), by_frame.mean(0))


@pytest.mark.parametrize("block", [timesformer.divided_block, timesformer.space_first_block])
def test_on_a_static_clip_divided_attention_starts_as_the_image_model(block: timesformer.BlockBuilder) -> None:
    weights, image = image_weights(), noise(2, 3, 32, 48)
    model = small_timesformer(block)
    timesformer.initialise_from_image(model, weights)
    expected = image_features(weights, image, gelu="none", cls_token=True)
    torch.testing.assert_close(features(model, static(image)), expected)
    nn.init.normal_(model.blocks[0].steps["time"].fc.weight)
    assert not torch.allclose(features(model, static(image)), expected)


@every_inflation
def test_on_a_static_clip_factorised_self_attention_starts_as_the_image_model(inflate: Inflate) -> None:
    weights, image = image_weights(), noise(2, 3, 32, 48)
    model = small_vivit(lambda config: vivit.GridViViT(config, CLIP, vivit.factorised_self_attention_blocks(config)))
    vivit.initialise_factorised_self_attention(model, weights, inflate)
    expected = image_features(weights, image, gelu="tanh", cls_token=False)
    torch.testing.assert_close(features(model, static(image)), expected)
    nn.init.normal_(model.blocks[0].time_attention.proj.weight)
    assert not torch.allclose(features(model, static(image)), expected)


@every_inflation
def test_on_a_static_clip_the_factorised_encoder_starts_with_the_image_at_every_step(inflate: Inflate) -> None:
    weights, image = image_weights(), noise(1, 3, 32, 48)
    model = small_vivit(lambda config: vivit.FactorisedEncoderViViT(config, CLIP))
    vivit.initialise_factorised_encoder(model, weights, inflate)
    gathered: list[Tensor] = []
    model.space_encoder.register_forward_hook(lambda _module, _inputs, output: gathered.append(output))
    model(static(image))
    expected = image_features(weights, image, gelu="tanh", cls_token=True)
    torch.testing.assert_close(gathered[0], expected.expand(CLIP.frames // 2, -1))


def test_joint_attention_starts_as_the_image_model_for_a_clip_of_one_time_step() -> None:
    weights, image = image_weights(), noise(2, 3, 32, 48)
    model = small_vivit(lambda config: vivit.ViViT(config, Clip(frames=2, height=32, width=48)))
    vivit.initialise_joint(model, weights)
    expected = image_features(weights, image, gelu="tanh", cls_token=True)
    torch.testing.assert_close(features(model, image[:, :, None].expand(-1, -1, 2, -1, -1)), expected)


def test_joint_attention_starts_blind_to_the_order_of_time_steps() -> None:
    """Places recur in every step, so that only the class token's is one of a kind."""
    model = small_vivit(lambda config: vivit.ViViT(config, CLIP))
    video = noise(1, 3, CLIP.frames, 32, 48)
    reordered = video[:, :, [4, 5, 0, 1, 2, 3]]
    assert not torch.allclose(features(model, video), features(model, reordered))
    vivit.initialise_joint(model, image_weights())
    torch.testing.assert_close(features(model, video), features(model, reordered))


def test_what_is_silent_still_learns() -> None:
    model = small_vivit(lambda config: vivit.GridViViT(config, CLIP, vivit.factorised_self_attention_blocks(config)))
    vivit.initialise_factorised_self_attention(model, image_weights())
    model(noise(1, 3, CLIP.frames, 32, 48)).sum().backward()
    time = model.blocks[0].time_attention
    assert time.proj.weight.grad.abs().max() > 0
    model.zero_grad()
    silence(time)  # every weight zero, as the paper has it
    model(noise(1, 3, CLIP.frames, 32, 48)).sum().backward()
    assert not time.proj.weight.grad.any()
    assert not time.qkv.weight.grad.any()


def test_an_image_of_another_size_is_refused() -> None:
    weights = image_weights() | {"pos_embed": noise(1, 1 + 4, WIDTH)}
    message = r"^the image must have 6 patches, as a frame of the clip has; got 4, so resize its pos_embed first$"
    with pytest.raises(ModelError, match=message):
        timesformer.initialise_from_image(small_timesformer(timesformer.divided_block), weights)
