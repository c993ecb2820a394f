"""Mixup and CutMix: clips of a batch mixed with their neighbours, and targets mixed as the clips are.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412; Yun et al.,
"CutMix", ICCV 2019, https://arxiv.org/abs/1905.04899. The share of the clip itself is drawn once, from Beta(a, a) with
a = 0.8 and 1.0 as in the recipes of Video Swin and MViT; CutMix's box lies in the middle of the frame. Neither changes
what a step costs.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

ALPHA = {"mixup": 0.8, "cutmix": 1.0}


@dataclass(frozen=True, slots=True)
class Mixing:
    """How clips are mixed: the kind, and the share that stays their own."""

    kind: str
    share: float


def mixing_of(kind: str) -> Mixing | None:
    """The mixing of a cell; None where it is off."""
    if kind not in ALPHA:
        return None
    return Mixing(kind, random.Random(kind).betavariate(ALPHA[kind], ALPHA[kind]))


def mixed(video: Tensor, mixing: Mixing) -> Tensor:
    """The clips, `b c t h w`, each with part of the one before it in the batch."""
    other = video.roll(1, 0)
    if mixing.kind == "mixup":
        return video.lerp(other, 1 - mixing.share)
    height, width = _box(video, mixing)
    top, left = (video.shape[-2] - height) // 2, (video.shape[-1] - width) // 2
    whole = video.clone()
    whole[..., top : top + height, left : left + width] = other[..., top : top + height, left : left + width]
    return whole


def own_share(video: Tensor, mixing: Mixing) -> float:
    """What stays of each clip: a box has whole pixels."""
    if mixing.kind == "mixup":
        return mixing.share
    height, width = _box(video, mixing)
    return 1 - height * width / (video.shape[-2] * video.shape[-1])


def soft_targets(logits: Tensor, share: float) -> Tensor:
    """Targets of `b classes` logits where clip i shows class i (modulo the classes) and part of clip i - 1."""
    batch, classes = logits.shape
    labels = torch.arange(batch, device=logits.device) % classes
    own = (labels[:, None] == torch.arange(classes, device=logits.device)).to(logits.dtype)
    return share * own + (1 - share) * own.roll(1, 0)


def _box(video: Tensor, mixing: Mixing) -> tuple[int, int]:
    """Height and width in pixels of what another clip covers."""
    side = math.sqrt(1 - mixing.share)
    return round(side * video.shape[-2]), round(side * video.shape[-1])
