"""Other people's models through every command: each as its few lines in docs/examples bring it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import vbench
from vbench.measure.user_models import user_builder
from vbench_models import Clip

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
THEIRS = f"{EXAMPLES / 'third_party.py'}"
CLIPS = {  # small ones that each library's model takes
    "timesformer": (4, 64), "videomae": (4, 64), "s3d": (16, 224), "r2plus1d_18": (8, 64), "x3d_m": (16, 64),
    "csn_r101": (4, 224), "timm_vit": (2, 64),
}  # fmt: skip


AT_START = """
import torch
for operator in ("nms", "qnms"):
    torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory):
    """The command line in a process whose children can import torchvision, too: see `torchvision_importable`."""
    place = tmp_path_factory.mktemp("at_start")
    (place / "sitecustomize.py").write_text(AT_START, encoding="utf-8")
    paths = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        command = [sys.executable, "-m", "vbench", *arguments]
        done = subprocess.run(
            command, check=False, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
        )
        assert done.returncode in codes, done.stderr
        return done.stdout

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


def test_a_model_of_transformers_goes_through_every_command(run, tmp_path: Path) -> None:
    model, clip = f"{THEIRS}:timesformer", ("--frames", "4", "--size", "64")
    run("sweep", "--models", model, "--frames", "4", "--sizes", "64", "--processes", "2", "--out", f"{tmp_path}")
    guide = json.loads(run("guide", "--records", f"{tmp_path}", "--frames", "4", "--size", "64", "--json"))
    assert [choice["name"] for choice in guide["ranking"]] == [model]
    assert guide["ranking"][0]["top1"] is None
    audited = json.loads(run("audit", model, *clip, "--json"))
    assert audited["macs"] == json.loads(run("count", model, *clip, "--json"))["macs"]
    fitted = json.loads(run("fit", model, "--memory", "1500MiB", "--size", "64", "--json"))
    assert fitted["frames"] >= 4
    answer = run("compare", model, model, *clip, "--budget", "10s", "--json", codes=(0, 3))  # 3: no verdict so soon
    compared = json.loads(answer)
    assert [compared[side]["macs"] for side in "ab"] == [audited["macs"]] * 2


def test_a_pattern_of_ones_own_is_certified_by_its_file(run) -> None:
    mine = f"{EXAMPLES / 'my_attention.py'}:build_pattern_256"
    (proved,) = json.loads(run("certify", mine, "--claim", "T*(H*W)**2", "--json"))
    assert proved["verdict"] == "exact"
    counted = json.loads(run("count", mine, "--grids", "2x4x4", "--json"))
    assert counted["params"] == 4 * 256**2 + 4 * 256
