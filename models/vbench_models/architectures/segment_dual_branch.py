"""Video segmentation by two branches, appearance and motion, fused level by level into one mask for each frame.

A design of ours for the dual branch that surveys draw. The nearest paper is Zhou et al., "Motion-Attentive Transition
for Zero-Shot Video Object Segmentation", AAAI 2020, sec. 3, https://arxiv.org/abs/2003.04253: two ResNets, the
features of appearance attended to by those of motion at every level. Differs from it: ResNet-50 in both branches,
the difference to the frame before in place of optical flow, so that a video is all it takes, and a gate of one 1 x 1
convolution in place of the paper's soft attention and co-attention, and 256 channels at every level on the way up.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.resnet import STAGES, WIDTHS, ResNet
from vbench_models.layers.upsampling import Decoder, enlarged
from vbench_models.video import Clip, UnsupportedClipError


class Masks(NamedTuple):
    """The logits of the foreground, of the frames' size."""

    logits: Float[Tensor, "b frames height width"]


CHANNELS = 256  # of every level on the way up


class MotionGate(nn.Module):
    """Appearance weighted place by place and channel by channel by motion, once to twice its value; then narrowed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)
        self.narrow = nn.Conv2d(channels, CHANNELS, 1)

    def forward(
        self, appearance: Float[Tensor, "b c h w"], motion: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b narrow h w"]:
        """The fused features of one level."""
        fused: Tensor = self.narrow(appearance * (1 + self.gate(motion).sigmoid()))
        return fused


class DualBranchSegmenter(nn.Module):
    """A ResNet-50 on the frames, another on their changes, a gate at each level, and a way up."""

    def __init__(self) -> None:
        super().__init__()
        self.appearance = ResNet(stages=STAGES)
        self.motion = ResNet(stages=STAGES)
        self.gates = nn.ModuleList(MotionGate(WIDTHS[name]) for name in STAGES)
        self.up = Decoder(CHANNELS, (CHANNELS, CHANNELS, CHANNELS))

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Masks:
        """The mask of every frame."""
        shown, moved = (rearrange(x, "b c t h w -> (b t) c h w") for x in (video, changes(video)))
        levels = zip(self.gates, self.appearance(shown), self.motion(moved), strict=True)
        *fine, coarse = (gate(appearance, motion) for gate, appearance, motion in levels)
        logits = enlarged(self.up(coarse, tuple(reversed(fine))), (video.shape[3], video.shape[4]))
        return Masks(rearrange(logits, "(b t) 1 h w -> b t h w", b=len(video)))


def changes(video: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """Each frame less the one before it; the first, which has none before it, changes as the second does."""
    later = video[:, :, 1:] - video[:, :, :-1]
    return torch.cat((later[:, :, :1], later), dim=2)


def segment_dual_branch(clip: Clip) -> DualBranchSegmenter:
    """Two ResNet-50s, 2 frames or more.

    Raises:
        UnsupportedClipError: a single frame, which has no motion.
    """
    if clip.frames < 2:
        raise UnsupportedClipError(f"frames must be at least 2, for motion is a change; got frames={clip.frames}")
    return DualBranchSegmenter()
