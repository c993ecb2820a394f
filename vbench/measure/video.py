"""Frames of a real video, decoded with PyAV (extra `vbench-attention[video]`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vbench.errors import VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_frames(path: Path, count: int, stride: int) -> NDArray[np.uint8]:
    """`count` frames, `stride` apart from the first on, as `t h w 3`.

    Raises:
        VideoError: no such file, no video in it, or fewer than (count - 1) * stride + 1 frames.
    """
    wanted = (count - 1) * stride + 1
    frames: list[NDArray[np.uint8]] = []
    seen = 0
    for frame in decoded(path):
        if seen % stride == 0:
            frames.append(frame.to_ndarray(format="rgb24"))
        seen += 1
        if len(frames) == count:
            return np.stack(frames)
    raise VideoError(f"{path} has {seen} frames; {count} frames {stride} apart need {wanted}")


def check_video(path: Path) -> None:
    """Decode one frame.

    Raises:
        VideoError: the file is missing or broken, or PyAV is not installed.
    """
    read_frames(path, 1, 1)


def decoded(path: Path) -> Iterator[Any]:
    """Every frame of a video as PyAV gives it, not yet in RGB.

    Raises:
        VideoError: no such file, no video in it, or PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise VideoError("reading videos needs PyAV: pip install 'vbench-attention[video]'") from None
    if not path.is_file():
        raise VideoError(f"no video {path}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path} has no video stream")
            yield from container.decode(video=0)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"cannot decode {path}: {error.strerror}") from None
