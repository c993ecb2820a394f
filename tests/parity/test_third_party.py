"""Other people's models through every command: each as its few lines in docs/examples bring it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import vbench
from vbench.cli import main
from vbench.measure.user_models import user_builder
from vbench_models import Clip

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
THEIRS = f"{EXAMPLES / 'third_party.py'}"
CLIPS = {  # small ones that each library's model takes
    "timesformer": (4, 64), "videomae": (4, 64), "s3d": (16, 64), "r2plus1d_18": (8, 64), "x3d_m": (16, 64),
    "csn_r101": (8, 64), "timm_vit": (2, 64),
}  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out

    return run


@pytest.mark.usefixtures("torchvision_importable")
@pytest.mark.parametrize("name", CLIPS)
def test_the_count_is_that_of_torchs_counter_under_the_math_kernel(name: str) -> None:
    frames, side = CLIPS[name]
    found = vbench.count(f"{THEIRS}:{name}", frames=frames, height=side, width=side)
    network = user_builder(f"{THEIRS}:{name}")(Clip(frames=frames, height=side, width=side)).eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(torch.randn(1, 3, frames, side, side))
    assert found.flops == counter.get_total_flops()
    assert found.params == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["timesformer", "videomae"])
def test_a_model_of_transformers_goes_through_every_command(name: str, run, tmp_path: Path) -> None:
    model, clip = f"{THEIRS}:{name}", ("--frames", "4", "--size", "64")
    run("sweep", "--models", model, "--frames", "4", "--sizes", "64", "--processes", "2", "--out", f"{tmp_path}")
    guide = json.loads(run("guide", "--records", f"{tmp_path}", "--frames", "4", "--size", "64", "--json"))
    assert [choice["name"] for choice in guide["ranking"]] == [model]
    assert guide["ranking"][0]["top1"] is None
    audited = json.loads(run("audit", model, *clip, "--json"))
    assert audited["macs"] == json.loads(run("count", model, *clip, "--json"))["macs"]
    fitted = json.loads(run("fit", model, "--memory", "2GiB", "--size", "64", "--json"))
    assert fitted["frames"] >= 4
    (proved,) = json.loads(run("certify", model, "--json"))
    assert proved["held_out_checked"] >= 8
    compared = run("compare", model, model, *clip, "--margin", "20%", "--budget", "30s", "--json")
    assert json.loads(compared)["verdict"] == "same"


def test_a_pattern_of_ones_own_is_certified_and_compared_by_its_file(run, tmp_path: Path) -> None:
    mine = f"{EXAMPLES / 'my_attention.py'}:build_pattern_256"
    (proved,) = json.loads(run("certify", mine, "--claim", "T*(H*W)**2", "--json"))
    assert proved["verdict"] == "exact"
    run("sweep", "--models", mine, "--grids", "2x4x4,4x4x4", "--processes", "2", "--out", f"{tmp_path}")
    counted = json.loads(run("count", mine, "--grids", "2x4x4", "--json"))
    assert counted["params"] == 4 * 256**2 + 4 * 256
