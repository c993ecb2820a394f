"""CVRL: one step of contrastive pre-training, in which two clips of a video are to find each other among all clips.

Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021, sec. 3,
https://arxiv.org/abs/2008.03800, with the widths of the authors' code (TensorFlow Model Garden, projects/video_ssl):
the 3D ResNet-50 is SlowFast's slow pathway with a stem that spans five frames and halves time; three hidden layers
follow, and 128 channels in which clips are compared. Strided layers pad as TensorFlow's do. Differs from that code: no
gathering over devices, and the decay of weights is the optimiser's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.resnet3d import EXPANSION, Layers, Stem, stage
from vbench_models.layers.same_padding import SameConv3d, SameMaxPool3d
from vbench_models.video import Clip


@dataclass(frozen=True, kw_only=True)
class CVRLConfig:
    """`temporal_kernels` has an entry for each block of each stage of the encoder: the frames that it spans."""

    stem_channels: int = 64
    stem_temporal_kernel: int = 5
    stem_temporal_stride: int = 2
    temporal_kernels: tuple[tuple[int, ...], ...] = ((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3)
    hidden_features: tuple[int, ...] = (2048, 2048, 2048)
    embed_dim: int = 128
    temperature: float = 0.1
    in_channels: int = 3


PADDED_AS_TENSORFLOW = Layers(conv=SameConv3d, pool=SameMaxPool3d)

CVRL_R3D50 = CVRLConfig()  # 16 frames, every second one, of 224 x 224


class ContrastiveStep(NamedTuple):
    """What one step yields: the loss, and where both clips of each video lie, before they are normalised."""

    loss: Float[Tensor, ""]
    embeddings: Float[Tensor, "b c"]
    other_embeddings: Float[Tensor, "b c"]


class Encoder(nn.Module):
    """A 3D ResNet without its classifier: the mean features of a clip."""

    def __init__(self, config: CVRLConfig) -> None:
        super().__init__()
        channels = config.stem_channels
        extents = config.stem_temporal_kernel, config.stem_temporal_stride
        self.stem = Stem(config.in_channels, channels, *extents, PADDED_AS_TENSORFLOW)
        self.stages = nn.Sequential()
        for index, kernels in enumerate(config.temporal_kernels):
            inner, stride = config.stem_channels * 2**index, 2 if index else 1
            self.stages.append(stage(channels, inner, kernels, stride, PADDED_AS_TENSORFLOW))
            channels = EXPANSION * inner
        self.out_channels = channels

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b c"]:
        """One vector a clip."""
        features: Tensor = reduce(self.stages(self.stem(video)), "b c t h w -> b c", "mean")
        return features


class ProjectionHead(nn.Sequential):
    """Hidden layers, each with a norm over the batch and a ReLU, and a linear one; thrown away after pre-training."""

    def __init__(self, in_features: int, config: CVRLConfig) -> None:
        widths = (in_features, *config.hidden_features)
        hidden = [
            nn.Sequential(nn.Linear(narrow, wide), nn.BatchNorm1d(wide), nn.ReLU(inplace=True))
            for narrow, wide in pairwise(widths)
        ]
        super().__init__(*hidden, nn.Linear(widths[-1], config.embed_dim))


class CVRL(nn.Module):
    """Encoder, projection and loss; all clips go through the encoder as one batch, as its norms need it."""

    def __init__(self, config: CVRLConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.encoder = Encoder(config)
        self.projection = ProjectionHead(self.encoder.out_channels, config)

    def further_inputs(self, video: Float[Tensor, "b channels frames height width"]) -> tuple[Tensor, ...]:
        """The second clip of every video."""
        return (torch.rand_like(video),)

    def forward(
        self,
        video: Float[Tensor, "b channels frames height width"],
        other_view: Float[Tensor, "b channels frames height width"],
    ) -> ContrastiveStep:
        """The loss of a batch of videos of which two clips each are given."""
        embeddings, other_embeddings = self.projection(self.encoder(torch.cat((video, other_view)))).chunk(2)
        loss = info_nce(embeddings, other_embeddings, self.temperature)
        return ContrastiveStep(loss, embeddings, other_embeddings)


def cvrl_r3d50(_clip: Clip) -> CVRL:
    """CVRL with a 3D ResNet-50 of 31.7 M parameters and a projection of 12.9 M; any clip."""
    return CVRL(CVRL_R3D50)


def info_nce(
    embeddings: Float[Tensor, "b c"], other_embeddings: Float[Tensor, "b c"], temperature: float
) -> Float[Tensor, ""]:
    """How badly each clip tells its partner from all other clips but itself, on average; both directions are added.

    With s = cosine / temperature, the sum over the two clips i of a video of -log(exp s_ij / sum_k!=i exp s_ik).
    """
    clips = F.normalize(torch.cat((embeddings, other_embeddings)), dim=1)
    itself = torch.eye(len(clips), dtype=torch.bool, device=clips.device)
    similarity = (clips @ clips.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(clips), device=clips.device).roll(len(embeddings))
    return 2 * F.cross_entropy(similarity, partner)
