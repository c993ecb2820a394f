"""Which frames of a video make a clip: a stride apart, jittered in time, or where something moves.

Positions count from the first frame of a span of `frames` x `stride` source frames. Uniform and jittered positions are
known beforehand; dynamic ones need every frame of the span to be seen, in small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLINGS = ("uniform", "jittered", "dynamic")


def uniform(frames: int, stride: int) -> NDArray[np.int64]:
    """Positions a stride apart, from the first frame on."""
    return np.arange(frames) * stride


def jittered(frames: int, stride: int, random: np.random.Generator) -> NDArray[np.int64]:
    """One position in each stretch of `stride` frames, drawn at random: in order, but not evenly spaced."""
    return uniform(frames, stride) + random.integers(0, stride, frames)


def dynamic(frames: int, motion: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions that divide the motion of a span into equal parts; evenly spaced where nothing moves.

    `motion` is that from each frame of the span to the next, at least `frames` - 1 of them.
    """
    travelled = np.concatenate([[0.0], np.cumsum(motion + 1e-9)])
    parts = np.linspace(0.0, travelled[-1], frames)
    positions: NDArray[np.int64] = np.rint(np.interp(parts, travelled, np.arange(len(travelled)))).astype(np.int64)
    return positions


def without_dropped(positions: NDArray[np.int64], fraction: float, random: np.random.Generator) -> NDArray[np.int64]:
    """The positions with some dropped at random, each replaced by the last one that was not; the first one stays."""
    kept = random.random(len(positions)) >= fraction
    kept[0] = True
    return positions[np.maximum.accumulate(np.where(kept, np.arange(len(positions)), 0))]
