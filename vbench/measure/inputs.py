"""What a network is fed: seeded noise, or a real clip."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vbench.cell import Cell
from vbench.errors import VideoError
from vbench.measure.precision import PARAMETER_DTYPE
from vbench.measure.subject import card_of, input_shape
from vbench.measure.video import read_frames

SEED = 20251123
RGB = 3
MEAN, DEVIATION = 0.45, 0.225  # of Kinetics' pixels in 0..1, as the SlowFast line normalises


def network_input(cell: Cell) -> Tensor:
    """The cell's input on its device: the same on every run and in every process.

    Raises:
        VideoError: the cell's video cannot be read or is too short.
    """
    tensor = video_input(cell) if cell.video else seeded_noise(cell)
    return tensor.to(device=cell.device, dtype=PARAMETER_DTYPE[cell.precision])


def seeded_noise(cell: Cell) -> Tensor:
    """Standard normal noise, seeded by the model and the shape."""
    shape = input_shape(cell)
    generator = torch.Generator().manual_seed(SEED + zlib.crc32(f"{cell.model} {tuple(shape)}".encode()))
    return torch.randn(shape, generator=generator)


def video_input(cell: Cell) -> Tensor:
    """The first clip of a real video, `b c t h w`: frames a stride apart, short side scaled, centre cropped.

    Raises:
        VideoError: the network takes something else than 3 colours, or the video cannot be read or is too short.
    """
    if cell.unit == "tokens":
        raise VideoError(f"{cell.model} takes tokens, not video")
    if card_of(cell.model).channels != RGB:
        raise VideoError(f"{cell.model} takes {card_of(cell.model).channels} channels; a video has {RGB} colours")
    frames = read_frames(Path(cell.video), cell.frames, card_of(cell.model).stride)
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255  # c t h w
    clip = (clip - MEAN) / DEVIATION
    return _centre_crop(clip, cell.height, cell.width).expand(cell.batch, -1, -1, -1, -1).contiguous()


def _centre_crop(clip: Tensor, height: int, width: int) -> Tensor:
    scale = max(height / clip.shape[2], width / clip.shape[3])
    size = [max(height, round(clip.shape[2] * scale)), max(width, round(clip.shape[3] * scale))]
    frames = F.interpolate(clip.transpose(0, 1), size=size, mode="bilinear", antialias=True)  # t c h w
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return frames[:, :, top : top + height, left : left + width].transpose(0, 1)
