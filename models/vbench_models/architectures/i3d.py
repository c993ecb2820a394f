"""I3D: an image network whose filters were inflated over time. Here its ResNet-50 form.

Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, https://arxiv.org/abs/1705.07750. The ResNet form:
Wang et al., "Non-local Neural Networks", CVPR 2018, sec. 4.1, https://arxiv.org/abs/1711.07971, with the kernels of
PySlowFast's I3D_8x8_R50. Differs from it: the head averages over all positions before the classifier, at any crop,
where PySlowFast slides a 7 x 7 mean over a crop larger than its training's 224 and averages what it classifies.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.resnet3d import EXPANSION, PooledHead, Stem, stage
from vbench_models.video import Clip, UnsupportedClipError


@dataclass(frozen=True, kw_only=True)
class I3DResNetConfig:
    """`temporal_kernels` has an entry for each block of each stage: where a 1 x 1 convolution spans 3 frames."""

    stem_channels: int = 64
    stem_temporal_kernel: int = 5
    temporal_kernels: tuple[tuple[int, ...], ...] = ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5


I3D_R50 = I3DResNetConfig()  # 8 frames, every eighth one; tested on 256 x 256


class I3DResNet(nn.Module):
    """Stem, four stages that halve height and width but the first, one pool over pairs of frames, and the head."""

    def __init__(self, config: I3DResNetConfig) -> None:
        super().__init__()
        self.stem = Stem(config.in_channels, config.stem_channels, config.stem_temporal_kernel)
        self.stages = nn.ModuleList()
        channels = config.stem_channels
        for index, kernels in enumerate(config.temporal_kernels):
            inner = config.stem_channels * 2**index
            self.stages.append(stage(channels, inner, kernels, spatial_stride=2 if index else 1))
            channels = EXPANSION * inner
        self.pool_time = nn.MaxPool3d((2, 1, 1))
        self.head = PooledHead(channels, config.num_classes, config.dropout)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        first, *rest = self.stages
        x = self.pool_time(first(self.stem(video)))
        for later in rest:
            x = later(x)
        logits: Tensor = self.head(x)
        return logits


def i3d_r50(clip: Clip) -> I3DResNet:
    """I3D-R50 for `clip`: 28.0 M parameters, 400 classes.

    Raises:
        UnsupportedClipError: a clip of one frame, which leaves nothing after the pool over pairs of frames.
    """
    if clip.frames < 2:
        raise UnsupportedClipError(
            f"i3d_r50 takes clips of 2 frames or more: its temporal pool merges pairs; got frames={clip.frames}"
        )
    return I3DResNet(I3D_R50)
