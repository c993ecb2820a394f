"""A video transformer that starts as an image transformer: filters inflated, attention copied, time silenced.

Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sec. 3.4, https://arxiv.org/abs/2103.15691; inflation by
the mean: Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, sec. 2.4, https://arxiv.org/abs/1705.07750.

The image's weights are the state dict of a ViT by the names that timm gave it and that DeiT and MAE share:
`patch_embed.proj`, `cls_token`, `pos_embed`, `blocks.0.norm1`, `blocks.0.attn.qkv`, `blocks.0.attn.proj`,
`blocks.0.norm2`, `blocks.0.mlp.fc1`, `blocks.0.mlp.fc2`, `norm`. Its head belongs to other classes and is never copied.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.encoder import Encoder
from vbench_models.layers.tokens import FrameTokens, SpaceTimeTokens
from vbench_models.video import ModelError

ImageWeights: TypeAlias = Mapping[str, Tensor]
Inflate: TypeAlias = Callable[[Tensor, int], Tensor]


def by_mean(filters: Float[Tensor, "out channels h w"], frames: int) -> Float[Tensor, "out channels t h w"]:
    """The same filters, divided by `frames`, for every frame of a tubelet."""
    return repeat(filters / frames, "out channels h w -> out channels t h w", t=frames)


def at_central_frame(filters: Float[Tensor, "out channels h w"], frames: int) -> Float[Tensor, "out channels t h w"]:
    """The filters at frame floor(frames / 2) of a tubelet, counted from 0, and zeros at the others."""
    before = frames // 2
    return F.pad(filters.unsqueeze(2), (0, 0, 0, 0, before, frames - before - 1))


def copy_embedding(image: ImageWeights, embedding: TubeletEmbedding, inflate: Inflate) -> None:
    """Tubelet filters out of patch filters; on a static clip either inflation gives the image's tokens."""
    filters = inflate(image["patch_embed.proj.weight"], embedding.proj.kernel_size[0])
    embedding.proj.load_state_dict({"weight": filters, "bias": image["patch_embed.proj.bias"]})


@torch.no_grad()
def copy_tokens(image: ImageWeights, tokens: SpaceTimeTokens | FrameTokens) -> None:
    """Patch filters, the class token and the places in the frame.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    copy_embedding(image, tokens.embedding, by_mean)
    tokens.cls_token.copy_(image["cls_token"])
    tokens.positions.copy_(torch.cat((class_position(image), patch_positions(image, tokens.positions.shape[1] - 1)), 1))


@torch.no_grad()
def copy_encoder(image: ImageWeights, encoder: Encoder, frames: int) -> None:
    """A whole ViT over the tokens of so many frames, each of which has the image's places.

    Raises:
        ModelError: the image has another number of patches than a frame of the clip.
    """
    patches = patch_positions(image, (encoder.positions.shape[1] - 1) // frames)
    encoder.positions.copy_(torch.cat((class_position(image), patches.repeat(1, frames, 1)), dim=1))
    encoder.cls_token.copy_(image["cls_token"])
    for index, block in enumerate(encoder.blocks):
        copy_attention(image, index, block.get_submodule("attention_norm"), block.get_submodule("attention"))
        copy_mlp(image, index, block)
    copy_layer(image, "norm", encoder.norm)


def class_position(image: ImageWeights) -> Float[Tensor, "1 1 c"]:
    """The place of an image's class token."""
    return image["pos_embed"][:, :1]


def patch_positions(image: ImageWeights, wanted: int) -> Float[Tensor, "1 hw c"]:
    """The places of an image's patches.

    Raises:
        ModelError: they are more or fewer than `wanted`.
    """
    positions = image["pos_embed"][:, 1:]
    if positions.shape[1] != wanted:
        raise ModelError(
            f"the image must have {wanted} patches, as a frame of the clip has; "
            f"got {positions.shape[1]}, so resize its pos_embed first"
        )
    return positions


def copy_attention(image: ImageWeights, index: int, norm: nn.Module, attention: nn.Module) -> None:
    """The attention of one block, with its two projections `qkv` and `proj`, and the norm before it."""
    copy_layer(image, f"blocks.{index}.norm1", norm)
    copy_layer(image, f"blocks.{index}.attn.qkv", attention.get_submodule("qkv"))
    copy_layer(image, f"blocks.{index}.attn.proj", attention.get_submodule("proj"))


def copy_mlp(image: ImageWeights, index: int, block: nn.Module) -> None:
    """The perceptron `mlp` of one block and `mlp_norm` before it."""
    copy_layer(image, f"blocks.{index}.norm2", block.get_submodule("mlp_norm"))
    copy_layer(image, f"blocks.{index}.mlp.fc1", block.get_submodule("mlp.fc1"))
    copy_layer(image, f"blocks.{index}.mlp.fc2", block.get_submodule("mlp.fc2"))


def copy_layer(image: ImageWeights, name: str, layer: nn.Module) -> None:
    """One layer of weight and bias."""
    layer.load_state_dict({kind: image[f"{name}.{kind}"] for kind in ("weight", "bias")})


def silence(layer: nn.Module) -> None:
    """Zeros in the last layer of what shall add nothing to the residual stream.

    The paper has all weights of the temporal attention zero. The last layer's do as much, and it alone gets a gradient
    then: with the values zero as well as their projection, neither weight would ever move.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
