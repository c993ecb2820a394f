"""The input pipeline: from a video file to a clip that a network takes, and how long each stage of it takes.

Decode, sample, crop and flip, jitter: what trainers of the SlowFast line do to Kinetics, in one process of one thread,
a loader. A clip starts at a random frame, and the frames before it are decoded, too: encoders put key frames some 250
frames apart, so that a loader cannot skip to it. Only the frames of the clip are turned to RGB. The crop is cut out of
the source before it is scaled, which gives what scaling first and cutting afterwards gives, for less.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vbench.cell import Cell
from vbench.errors import VideoError
from vbench.measure.frame_sampling import dynamic, jittered, uniform, without_dropped
from vbench.measure.inputs import DEVIATION, MEAN, RGB, SEED
from vbench.measure.subject import card_of
from vbench.measure.video import decoded
from vbench.stats import median

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZOOM = (256 / 224, 320 / 224)  # of the short side over the crop
COLOUR = 0.4  # brightness, contrast and saturation move by so much either way
DROPPED = 0.1  # of the frames, where the sampling is jittered
SMALL = 64  # width of the pictures on which motion is seen
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601

Lap = Callable[[str], None]  # told the name of each stage when that is done


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A clip of a video."""

    frames: int
    stride: int
    height: int
    width: int
    sampling: str = "uniform"

    @property
    def span(self) -> int:
        """Source frames that the clip is drawn from."""
        return self.frames * self.stride


def stage_seconds(cell: Cell, sampling: str, clips: int) -> dict[str, float]:
    """Seconds of each stage for one clip of the cell's video, the median over `clips`, after one that warms up.

    Raises:
        VideoError: the network takes something else than 3 colours, or the video cannot be read or is too short.
    """
    wanted = wanted_of(cell, sampling)
    random = np.random.default_rng(SEED)
    length = sum(1 for _ in decoded(Path(cell.video)))
    samples: list[dict[str, float]] = []
    for _ in range(clips + 1):
        watch = _Stopwatch()
        prepared(Path(cell.video), length, wanted, random, watch.lap)
        samples.append(watch.laps_s)
    return {stage: median([sample[stage] for sample in samples[1:]]) for stage in samples[0]}


def wanted_of(cell: Cell, sampling: str) -> Wanted:
    """The clip that the cell's network takes.

    Raises:
        VideoError: it takes something else than 3 colours.
    """
    if cell.unit == "tokens" or card_of(cell.model).channels != RGB:
        raise VideoError(f"{cell.model} takes no video of {RGB} colours")
    stride = card_of(cell.model).stride
    return Wanted(frames=cell.frames, stride=stride, height=cell.height, width=cell.width, sampling=sampling)


def prepared(video: Path, length: int, wanted: Wanted, random: np.random.Generator, lap: Lap) -> Tensor:
    """One clip `c t h w` from a random place of a video of `length` frames, augmented and normalised.

    Raises:
        VideoError: the video is shorter than the clip.
    """
    if length < (needed := (wanted.frames - 1) * wanted.stride + 1):
        how = f"{wanted.frames} frames {wanted.stride} apart need {needed}"
        raise VideoError(f"{video} has {length} frames; {how}")
    start = int(random.integers(0, max(1, length - wanted.span + 1)))
    source = span_of(video, start, wanted.span)
    lap("decode")
    frames = [source[position].to_ndarray(format="rgb24") for position in chosen(source, wanted, random)]
    pixels = torch.from_numpy(np.stack(frames))
    lap("sample")
    clip = cropped(pixels, wanted, random)
    lap("crop")
    clip = (coloured(clip, random) - MEAN) / DEVIATION
    lap("jitter")
    return clip


def span_of(video: Path, start: int, count: int) -> list[Any]:
    """`count` decoded frames from `start` on, or as many as there are; nothing is decoded behind them."""
    kept: deque[Any] = deque(maxlen=count)
    for number, frame in enumerate(decoded(video)):
        kept.append(frame)
        if number == start + count - 1:
            break
    return list(kept)


def chosen(source: list[Any], wanted: Wanted, random: np.random.Generator) -> list[int]:
    """The positions in the span that make the clip."""
    if wanted.sampling == "dynamic":
        return [int(at) for at in dynamic(wanted.frames, _motion(source))]
    positions = uniform(wanted.frames, wanted.stride)
    if wanted.sampling == "jittered":
        positions = without_dropped(jittered(wanted.frames, wanted.stride, random), DROPPED, random)
    return [min(int(at), len(source) - 1) for at in positions]


def cropped(pixels: Tensor, wanted: Wanted, random: np.random.Generator) -> Tensor:
    """A random part of each frame, the same in all, scaled to the clip's size and flipped at random.

    `t h w c` bytes in, `c t h w` in 0..1 out.
    """
    height, width = pixels.shape[1:3]
    scale = max(wanted.height / height, wanted.width / width) * random.uniform(*ZOOM)
    tall, wide = min(height, round(wanted.height / scale)), min(width, round(wanted.width / scale))
    top, left = random.integers(0, height - tall + 1), random.integers(0, width - wide + 1)
    part = pixels[:, top : top + tall, left : left + wide].permute(0, 3, 1, 2).float() / 255  # t c h w
    clip = F.interpolate(part, size=[wanted.height, wanted.width], mode="bilinear", antialias=True)
    return (clip.flip(3) if random.random() < 0.5 else clip).transpose(0, 1)


def coloured(clip: Tensor, random: np.random.Generator, strength: float = COLOUR) -> Tensor:
    """Brightness, contrast and saturation moved at random, the same in all frames of `c t h w`; clipped to 0..1."""
    brightness, contrast, saturation = random.uniform(1 - strength, 1 + strength, 3)
    clip = clip * brightness
    grey = torch.einsum("c,cthw->thw", torch.tensor(LUMA), clip)
    clip = clip.lerp(grey.mean(), 1 - contrast)
    return clip.lerp(grey[None], 1 - saturation).clip(0, 1)


def _motion(source: list[Any]) -> NDArray[np.float64]:
    """The mean change of brightness from each frame to the next, on small pictures."""
    tall = max(1, round(SMALL * source[0].height / source[0].width))
    small = [frame.to_ndarray(format="gray8", width=SMALL, height=tall) for frame in source]
    motion: NDArray[np.float64] = np.abs(np.diff(np.stack(small).astype(np.float64), axis=0)).mean(axis=(1, 2))
    return motion


class _Stopwatch:
    """The time of each stage, from the end of the one before."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage is done."""
        now = time.perf_counter()
        self.laps_s[stage], self._since = now - self._since, now
