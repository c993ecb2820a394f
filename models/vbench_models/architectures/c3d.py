"""C3D: eight 3 x 3 x 3 convolutions and three fully connected layers over 16 frames.

Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015, sec. 3.3.
https://arxiv.org/abs/1412.0767. The first pool keeps all frames. Pools round up, as Caffe's do, so that the last one
leaves 4 x 4 of 7 x 7 and the first fully connected layer has 512 * 4 * 4 = 8192 inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.video import Clip, UnsupportedClipError


@dataclass(frozen=True, kw_only=True)
class C3DConfig:
    """`stages` holds the widths of the convolutions before each pool. The head has 101 classes on UCF101."""

    stages: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    pooled_features: int = 8192
    hidden_features: int = 4096
    in_channels: int = 3
    num_classes: int = 101
    dropout: float = 0.5


C3D_UCF101 = C3DConfig()
CLIP = Clip(frames=16, height=112, width=112)


class C3D(nn.Module):
    """Convolutions with ReLU, five pools, and three fully connected layers."""

    def __init__(self, config: C3DConfig) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(config))
        self.fc6 = nn.Linear(config.pooled_features, config.hidden_features)
        self.fc7 = nn.Linear(config.hidden_features, config.hidden_features)
        self.fc8 = nn.Linear(config.hidden_features, config.num_classes)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, video: Float[Tensor, "b channels 16 112 112"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        x = rearrange(self.features(video), "b c t h w -> b (c t h w)")
        x = self.dropout(self.relu(self.fc6(x)))
        x = self.dropout(self.relu(self.fc7(x)))
        logits: Tensor = self.fc8(x)
        return logits


def c3d(clip: Clip) -> C3D:
    """C3D with the 101 classes of UCF101: 78.4 M parameters.

    Raises:
        UnsupportedClipError: the clip is not 16 frames of 112 x 112, which the fully connected layers fix.
    """
    if (clip.frames, clip.height, clip.width) != (CLIP.frames, CLIP.height, CLIP.width):
        raise UnsupportedClipError(
            f"c3d takes frames={CLIP.frames}, height={CLIP.height}, width={CLIP.width} only: its fully connected "
            f"layers fix the clip; got frames={clip.frames}, height={clip.height}, width={clip.width}"
        )
    return C3D(C3D_UCF101)


def _features(config: C3DConfig) -> Iterator[nn.Module]:
    widths = [config.in_channels, *(stage[-1] for stage in config.stages)]
    for index, stage in enumerate(config.stages):
        for in_channels, out_channels in pairwise([widths[index], *stage]):
            yield nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)
            yield nn.ReLU()
        yield nn.MaxPool3d((2, 2, 2) if index else (1, 2, 2), ceil_mode=True)
