"""Predicted against observed tensor peaks: every kind of layer, forward and a whole step of training, both kernels.

The layers are as wide as those of real networks and few. What is held before (parameters, input) is taken off both, so
that 1 % is 1 % of what the run itself needs. Takes half a minute.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from vbench.measure.footprint import footprint
from vbench.measure.kernels import kernel_context
from vbench.measure.memory import allocated_peak, bytes_of
from vbench.measure.stand_ins import AddedBias
from vbench.measure.training import TrainingStep
from vbench_models import Clip
from vbench_models.architectures.mvit import MVIT_B, MViT
from vbench_models.architectures.mvitv2 import MVITV2_S, MViTv2
from vbench_models.architectures.video_swin import VIDEO_SWIN_T, VideoSwin
from vbench_models.architectures.videomamba import VIDEOMAMBA_TI, VideoMamba
from vbench_models.architectures.vivit import VIVIT_B_16X2, ViViT
from vbench_models.attention.performer import build as performer
from vbench_models.attention.s4 import build as s4
from vbench_models.layers.deformable_attention import DeformableAttention, DeformableConfig
from vbench_models.layers.resnet3d import Bottleneck, Stem
from vbench_models.video import TokenGrid

SMALL = Clip(batch=1, frames=4, height=32, width=32)
SMALL_VIDEO = torch.Size((1, 3, 4, 32, 32))
CLIP = Clip(batch=1, frames=8, height=64, width=64)
VIDEO = torch.Size((1, 3, 8, 64, 64))
LEVELS = ((16, 16), (8, 8))
GRID = TokenGrid(4, 8, 8)
FOUR_BLOCKS = (1, 1, 1, 1)


class AroundPlaces(nn.Module):
    """Deformable attention of every place of two maps, as in a detector's encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DeformableAttention(DeformableConfig(embed_dim=128, num_heads=8, num_levels=2), LEVELS)

    def forward(self, memory: Tensor) -> Tensor:
        reference = memory.new_full((*memory.shape[:2], 2), 0.5)
        update: Tensor = self.attention(memory, reference, memory)
        return update


LAYERS: dict[str, tuple[Callable[[], nn.Module], torch.Size]] = {
    "conv stem": (lambda: nn.Conv3d(3, 96, (2, 4, 4), (2, 4, 4)), VIDEO),
    "patches": (lambda: nn.Conv3d(3, 192, (2, 16, 16), (2, 16, 16)), VIDEO),
    "ViT block": (lambda: ViViT(replace(VIVIT_B_16X2, depth=1, num_classes=10), CLIP), VIDEO),
    "Swin block": (lambda: VideoSwin(replace(VIDEO_SWIN_T, embed_dim=48, depths=(2, 1, 1, 1)), CLIP), VIDEO),
    "MViT pooling": (lambda: MViT(replace(MVIT_B, embed_dim=48, depths=FOUR_BLOCKS), SMALL), SMALL_VIDEO),
    "MViTv2 pooling": (lambda: MViTv2(replace(MVITV2_S, embed_dim=48, depths=FOUR_BLOCKS), SMALL), SMALL_VIDEO),
    "Mamba scan": (lambda: VideoMamba(replace(VIDEOMAMBA_TI, depth=1), CLIP), VIDEO),
    "long convolution": (lambda: s4(GRID, 192, 3), torch.Size((1, 4, 8, 8, 192))),
    "random features": (lambda: performer(GRID, 192, 3), torch.Size((1, 4, 8, 8, 192))),
    "3D ResNet": (
        lambda: nn.Sequential(Stem(3, 64, 5), Bottleneck(64, 64, 3, 1), Bottleneck(256, 128, 1, 2)), VIDEO,
    ),
    "deformable attention": (AroundPlaces, torch.Size((1, 320, 128))),
}  # fmt: skip
ATTENDING = ("ViT block", "Swin block", "MViT pooling", "MViTv2 pooling")
SETTINGS = [
    (layer, kernel, bias)
    for layer in LAYERS
    for kernel in ("fused", "math")
    for bias in (False, True)
    if layer in ATTENDING or (kernel == "fused" and not bias)
]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(("layer", "kernel", "bias"), SETTINGS)
def test_the_predicted_tensor_peak_is_the_observed_one(layer: str, kernel: str, bias: bool, mode: str) -> None:
    build, shape = LAYERS[layer]
    with torch.device("meta"):
        predicted = footprint(build(), shape, kernel=kernel, mode=mode, bias=bias).peak_bytes
    network, x = build(), torch.randn(shape)
    held = bytes_of((list(network.parameters()), list(network.buffers()), x))
    with kernel_context(kernel), AddedBias() if bias else nullcontext():
        observed = held + (peak_of_step(network, x) if mode == "train" else peak_of_forward(network, x))
    assert predicted - held == pytest.approx(observed - held, rel=0.01)


def peak_of_forward(network: nn.Module, x: Tensor) -> int:
    network.eval()
    with torch.inference_mode():
        network(x)  # what is made once and kept is there
        return allocated_peak(lambda: network(x))


def peak_of_step(network: nn.Module, x: Tensor) -> int:
    step = TrainingStep(network.train(), network.parameters(), (x,))
    step()  # the optimiser has its state
    return bytes_of(list(step.state())) + allocated_peak(step)
