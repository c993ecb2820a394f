"""VideoMAE: a plain ViT on tubelets, its pre-training by reconstructing what a tube mask hides, and its classifier.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022, sec. 3, https://arxiv.org/abs/2203.12602; details from the official code: fixed sine and cosine positions,
no class token, a bias for queries and values but none for keys, norms with eps 1e-6, and in pre-training all tubelets
are embedded before most of them are dropped. Differs from it: the normalised pixels to predict are computed from the
video as it is given, where the official code first undoes the colour normalisation; as each patch and colour is
normalised on its own, that changes the weight of its eps of 1e-6 alone. No stochastic depth.
"""

from dataclasses import dataclass, replace
from math import log
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, attend
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError, token_grid


@dataclass(frozen=True, kw_only=True)
class VideoMAEConfig:
    """Widths of a VideoMAE; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (2, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """An encoder, the light decoder that is dropped after pre-training, and the hidden share of each frame."""

    encoder: VideoMAEConfig
    decoder_dim: int = 384
    decoder_depth: int = 4
    decoder_heads: int = 6
    hidden_share: float = 0.9


VIDEOMAE_B = VideoMAEConfig()
VIDEOMAE_S = replace(VIDEOMAE_B, embed_dim=384, num_heads=6)
VIDEOMAE_L = replace(VIDEOMAE_B, embed_dim=1024, depth=24, num_heads=16)
VIDEOMAE_B_PRETRAINING = PretrainingConfig(encoder=VIDEOMAE_B)


class Attention(nn.Module):
    """Attention among all tokens; keys are projected without a bias, which a softmax over them would not see."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(config.embed_dim))
        self.v_bias = nn.Parameter(torch.zeros(config.embed_dim))
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The update of every token; the residual is the caller's."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias)
        heads = self.config.num_heads
        q, k, v = rearrange(qkv, "b n (three heads d) -> three b heads n d", three=3, heads=heads)
        update: Tensor = self.proj(rearrange(attend(q, k, v), "b heads n d -> b n (heads d)"))
        return update


class VideoMAE(nn.Module):
    """The fine-tuned classifier: all tokens, and a linear head on their normalised mean.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    positions: Float[Tensor, "n c"]

    def __init__(self, config: VideoMAEConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        grid = token_grid(clip, config.tubelet_size)
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.register_buffer("positions", sinusoids(grid.tokens, config.embed_dim), persistent=False)
        self.blocks = vit_blocks(config.embed_dim, config.depth, config.num_heads, config.mlp_ratio)
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = rearrange(self.embedding(video), "b t h w c -> b (t h w) c") + self.positions
        x = self.norm(reduce(self.blocks(x), "b n c -> b c", "mean"))
        logits: Tensor = self.head(self.dropout(x))
        return logits


class Reconstruction(NamedTuple):
    """The outcome of a step of pre-training; a tubelet's values are its normalised pixels, laid out (dt dh dw rgb)."""

    loss: Float[Tensor, ""]  # mean squared error over all values of all hidden tubelets
    pixels: Float[Tensor, "b hidden values"]
    hidden: Int[Tensor, "b hidden"]  # the tubelets predicted, as numbers in the flattened grid


class VideoMAEPretraining(nn.Module):
    """The encoder sees the visible tubelets alone; the decoder sees all places and predicts the hidden tubelets.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip, or a frame has too few of them to hide one.
    """

    encoder_positions: Float[Tensor, "n c"]
    decoder_positions: Float[Tensor, "n d"]

    def __init__(self, config: PretrainingConfig, clip: Clip) -> None:
        super().__init__()
        self.config, encoder = config, config.encoder
        self.grid = token_grid(clip, encoder.tubelet_size)
        if not 0 < hidden_places(self.grid, config) < self.grid.h * self.grid.w:
            raise UnsupportedClipError(
                f"masking {config.hidden_share:g} of a frame leaves nothing to see or to predict; got {self.grid.h} x "
                f"{self.grid.w} patches a frame, {clip}: nearest: a frame of 2 patches"
            )
        self.embedding = TubeletEmbedding(encoder.tubelet_size, encoder.embed_dim)
        self.encoder = vit_blocks(encoder.embed_dim, encoder.depth, encoder.num_heads, encoder.mlp_ratio)
        self.encoder_norm = nn.LayerNorm(encoder.embed_dim, eps=1e-6)
        self.to_decoder = nn.Linear(encoder.embed_dim, config.decoder_dim, bias=False)
        self.mask_token = learned(1, 1, config.decoder_dim)
        self.decoder = vit_blocks(config.decoder_dim, config.decoder_depth, config.decoder_heads, encoder.mlp_ratio)
        self.decoder_norm = nn.LayerNorm(config.decoder_dim, eps=1e-6)
        self.head = nn.Linear(config.decoder_dim, self.embedding.proj.weight[0].numel())
        for name, width in (("encoder", encoder.embed_dim), ("decoder", config.decoder_dim)):
            self.register_buffer(f"{name}_positions", sinusoids(self.grid.tokens, width), persistent=False)

    def further_inputs(self, video: Float[Tensor, "b channels frames height width"]) -> tuple[Int[Tensor, "b visible"]]:
        """A new tube mask for each clip, as the tubelets that stay visible."""
        return (tube_mask(self.grid, self.config, len(video), video.device),)

    def forward(
        self, video: Float[Tensor, "b channels frames height width"], visible: Int[Tensor, "b visible"]
    ) -> Reconstruction:
        """The prediction of all tubelets but the `visible` ones, and its loss."""
        hidden = others(visible, self.grid.tokens)
        predicted = self.decode(self.encode(video, visible), visible, hidden)
        wanted = normalised_patches(video, self.config.encoder.tubelet_size, hidden)
        return Reconstruction((predicted - wanted).square().mean(), predicted, hidden)

    def encode(
        self, video: Float[Tensor, "b channels frames height width"], visible: Int[Tensor, "b visible"]
    ) -> Float[Tensor, "b visible c"]:
        """Features of the visible tubelets, from one another."""
        tokens = rearrange(self.embedding(video), "b t h w c -> b (t h w) c") + self.encoder_positions
        features: Tensor = self.encoder_norm(self.encoder(take(tokens, visible)))
        return features

    def decode(
        self,
        features: Float[Tensor, "b visible c"],
        visible: Int[Tensor, "b visible"],
        hidden: Int[Tensor, "b hidden"],
    ) -> Float[Tensor, "b hidden values"]:
        """The hidden tubelets' values: each place starts as its features or as the mask token, with its position."""
        seen = self.to_decoder(features) + self.decoder_positions[visible]
        unseen = self.mask_token + self.decoder_positions[hidden]
        x = self.decoder(torch.cat((seen, unseen), dim=1))[:, visible.shape[1] :]
        predicted: Tensor = self.head(self.decoder_norm(x))
        return predicted


def vit_blocks(embed_dim: int, depth: int, num_heads: int, mlp_ratio: float) -> nn.Sequential:
    """The blocks of a ViT, on `b n c`."""
    attention = AttentionConfig(embed_dim=embed_dim, num_heads=num_heads)
    return nn.Sequential(*(Block(embed_dim, Attention(attention), MLP(embed_dim, mlp_ratio)) for _ in range(depth)))


def sinusoids(tokens: int, dim: int) -> Float[Tensor, "tokens dim"]:
    """Position n as sin(n / 10000^(2i / dim)) in channel 2i and the cosine in channel 2i + 1; Vaswani et al., 3.5."""
    rates = torch.exp(-log(10_000.0) * torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.arange(tokens, dtype=torch.float64)[:, None] * rates
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1)
    return rearrange(waves, "n i two -> n (i two)").to(torch.get_default_dtype())


def hidden_places(grid: TokenGrid, config: PretrainingConfig) -> int:
    """Patches hidden in every frame, rounded down."""
    return int(config.hidden_share * grid.h * grid.w)


def tube_mask(
    grid: TokenGrid, config: PretrainingConfig, clips: int, device: torch.device
) -> Int[Tensor, "clips visible"]:
    """For each clip the tubelets that stay visible, in order: the same places, drawn at random, at every time."""
    places = grid.h * grid.w
    seen = places - hidden_places(grid, config)
    drawn = torch.rand(clips, places, device=device).argsort(dim=1)[:, :seen].sort(dim=1).values
    tubes = rearrange(drawn, "b seen -> b 1 seen") + places * torch.arange(grid.t, device=device)[:, None]
    return rearrange(tubes, "b t seen -> b (t seen)")


def others(index: Int[Tensor, "b some"], total: int) -> Int[Tensor, "b rest"]:
    """The numbers below `total` that are not in `index`, in order."""
    taken = torch.zeros(len(index), total, dtype=index.dtype, device=index.device).scatter(1, index, 1)
    return taken.argsort(dim=1, stable=True)[:, : total - index.shape[1]]


def take(x: Float[Tensor, "b n c"], index: Int[Tensor, "b some"]) -> Float[Tensor, "b some c"]:
    """Of each clip the tokens that `index` names."""
    return x.gather(1, repeat(index, "b some -> b some c", c=x.shape[-1]))


def normalised_patches(
    video: Float[Tensor, "b channels frames height width"],
    tubelet_size: tuple[int, int, int],
    of: Int[Tensor, "b some"],
) -> Float[Tensor, "b some values"]:
    """The pixels of the tubelets `of` each clip, with mean 0 and deviation 1 in every tubelet and colour."""
    t, h, w = tubelet_size
    patches = rearrange(video, "b c (t dt) (h dh) (w dw) -> b (t h w) (dt dh dw c)", dt=t, dh=h, dw=w)
    pixels = rearrange(take(patches, of), "b n (pixels c) -> b n pixels c", c=video.shape[1])
    spread = pixels.var(dim=2, keepdim=True).sqrt() + 1e-6
    return rearrange((pixels - pixels.mean(dim=2, keepdim=True)) / spread, "b n pixels c -> b n (pixels c)")


def videomae_s(clip: Clip) -> VideoMAE:
    """VideoMAE ViT-S, fine-tuned, for clips of this size: 22.0 M parameters, 400 classes."""
    return VideoMAE(VIDEOMAE_S, clip)


def videomae_b(clip: Clip) -> VideoMAE:
    """VideoMAE ViT-B, fine-tuned, for clips of this size: 86.5 M parameters, 400 classes."""
    return VideoMAE(VIDEOMAE_B, clip)


def videomae_l(clip: Clip) -> VideoMAE:
    """VideoMAE ViT-L, fine-tuned, for clips of this size: 304.3 M parameters, 400 classes."""
    return VideoMAE(VIDEOMAE_L, clip)


def videomae_b_pretrain(clip: Clip) -> VideoMAEPretraining:
    """VideoMAE ViT-B in pre-training, for clips of this size: 94.2 M parameters, decoder included."""
    return VideoMAEPretraining(VIDEOMAE_B_PRETRAINING, clip)
