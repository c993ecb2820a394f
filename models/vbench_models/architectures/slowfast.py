"""SlowFast: a wide ResNet that sees few frames, and a narrow one that sees all and tells the first what moved.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019, sec. 3, https://arxiv.org/abs/1812.03982,
with the kernels of PySlowFast's SLOWFAST_* configurations. The clip is the fast pathway's; the slow one takes some
`frames // alpha` of its frames, where PySlowFast's data loader hands over both. Differs from that code as our I3D-R50
does: the head averages over all positions before the classifier, at any crop. The paper's 101-layer networks (106 and
213 G) are the code's R101_50_50: of the 23 blocks of the third stage only the first six span time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.nonlocal_block import DotProductNonLocal
from vbench_models.layers.resnet3d import EXPANSION, ConvNorm, PooledHead, Stem, stage
from vbench_models.video import Clip, UnsupportedClipError

Kernels = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class SlowFastConfig:
    """`slow_kernels` and `fast_kernels` have an entry for each block of each stage: the frames that it spans."""

    alpha: int = 4  # frames of the fast pathway to one of the slow pathway
    beta_inverse: int = 8  # channels of the slow pathway to one of the fast pathway
    stem_channels: int = 64
    slow_stem_kernel: int = 1
    fast_stem_kernel: int = 5
    slow_kernels: Kernels = ((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3)
    fast_kernels: Kernels = ((3,) * 3, (3,) * 4, (3,) * 6, (3,) * 3)
    fusion_kernel: int = 5
    fusion_ratio: int = 2  # channels that a lateral connection hands over to one of the fast pathway
    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (), (), ())  # blocks of the slow pathway, stage by stage
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2)
    in_channels: int = 3
    num_classes: int = 400
    dropout: float = 0.5


SPANNING_SIX = (3,) * 6 + (1,) * 17

SLOWFAST_R50_8X8 = SlowFastConfig(fusion_kernel=7)  # 8 slow frames, every eighth one; tested on 256 x 256
SLOWFAST_R50_4X16 = SlowFastConfig(alpha=8)
SLOWFAST_R101 = SlowFastConfig(  # both 8x8 and 16x8
    slow_kernels=((1,) * 3, (1,) * 4, SPANNING_SIX, (3,) * 3),
    fast_kernels=((3,) * 3, (3,) * 4, SPANNING_SIX, (3,) * 3),
)
SLOWFAST_R101_NL = replace(SLOWFAST_R101, nonlocal_after=((), (), (6, 13, 20), ()))


class Lateral(nn.Module):
    """From the fast pathway to the slow one: a convolution over time that strides down to its frames."""

    def __init__(self, in_channels: int, config: SlowFastConfig) -> None:
        super().__init__()
        kernel_size, stride = (config.fusion_kernel, 1, 1), (config.alpha, 1, 1)
        self.conv = ConvNorm(in_channels, config.fusion_ratio * in_channels, kernel_size, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(
        self, slow: Float[Tensor, "b c slow_t h w"], fast: Float[Tensor, "b c2 t h w"]
    ) -> Float[Tensor, "b c3 slow_t h w"]:
        """The slow features with those of the fast pathway behind them."""
        return torch.cat((slow, self.relu(self.conv(fast))), dim=1)


class SlowFast(nn.Module):
    """Two ResNets side by side; after the stem and after each stage but the last, the fast one feeds the slow one.

    Raises:
        UnsupportedClipError: frames that `alpha` does not divide, or a size that a non-local pool empties.
    """

    slow_frames: Tensor

    def __init__(self, config: SlowFastConfig, clip: Clip) -> None:
        super().__init__()
        check(config, clip)
        slow, fast = config.stem_channels, config.stem_channels // config.beta_inverse
        seen = evenly_spread(clip.frames, clip.frames // config.alpha)
        self.register_buffer("slow_frames", torch.tensor(seen), persistent=False)
        self.slow_stem = Stem(config.in_channels, slow, config.slow_stem_kernel)
        self.fast_stem = Stem(config.in_channels, fast, config.fast_stem_kernel)
        self.laterals, self.slow_stages, self.fast_stages = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for index, fast_kernels in enumerate(config.fast_kernels):
            self.laterals.append(Lateral(fast, config))
            self.slow_stages.append(slow_stage(config, index, slow + config.fusion_ratio * fast))
            inner = config.stem_channels * 2**index // config.beta_inverse
            self.fast_stages.append(stage(fast, inner, fast_kernels, spatial_stride=2 if index else 1))
            slow, fast = EXPANSION * inner * config.beta_inverse, EXPANSION * inner
        self.head = PooledHead(slow + fast, config.num_classes, config.dropout)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """The logits of each clip."""
        slow = self.slow_stem(video.index_select(2, self.slow_frames))
        fast = self.fast_stem(video)
        for lateral, slow_stage, fast_stage in zip(self.laterals, self.slow_stages, self.fast_stages, strict=True):
            slow, fast = slow_stage(lateral(slow, fast)), fast_stage(fast)
        logits: Tensor = self.head(slow, fast)
        return logits


def slowfast_r50_4x16(clip: Clip) -> SlowFast:
    """SlowFast-R50, 4 slow frames to 32 fast ones: 34.5 M parameters, 400 classes."""
    return SlowFast(SLOWFAST_R50_4X16, clip)


def slowfast_r50_8x8(clip: Clip) -> SlowFast:
    """SlowFast-R50, 8 slow frames to 32 fast ones: 34.6 M parameters, 400 classes."""
    return SlowFast(SLOWFAST_R50_8X8, clip)


def slowfast_r101_8x8(clip: Clip) -> SlowFast:
    """SlowFast-R101, 8 slow frames to 32 fast ones: 53.8 M parameters, 400 classes."""
    return SlowFast(SLOWFAST_R101, clip)


def slowfast_r101_16x8(clip: Clip) -> SlowFast:
    """SlowFast-R101, 16 slow frames to 64 fast ones: the same network as for 8, on clips twice as long."""
    return SlowFast(SLOWFAST_R101, clip)


def slowfast_r101_16x8_nl(clip: Clip) -> SlowFast:
    """SlowFast-R101, 16 slow frames to 64 fast ones, with three non-local blocks: 60.1 M parameters, 400 classes."""
    return SlowFast(SLOWFAST_R101_NL, clip)


def evenly_spread(frames: int, count: int) -> list[int]:
    """Which frames the slow pathway sees: `count` of them, from the first to the last, rounded down.

    Rounded in float32 on the CPU, as PySlowFast's loader does it: 13 * 159 / 39 becomes 52, though it is 53.
    """
    indices: list[int] = torch.linspace(0, frames - 1, count, device="cpu").long().tolist()
    return indices


def slow_stage(config: SlowFastConfig, index: int, in_channels: int) -> nn.Sequential:
    """A stage of the slow pathway, with a non-local block behind each block that the configuration names."""
    inner = config.stem_channels * 2**index
    blocks = stage(in_channels, inner, config.slow_kernels[index], spatial_stride=2 if index else 1)
    interleaved: list[nn.Module] = []
    for number, block in enumerate(blocks):
        interleaved.append(block)
        if number in config.nonlocal_after[index]:
            interleaved.append(DotProductNonLocal(EXPANSION * inner, config.nonlocal_pool))
    return nn.Sequential(*interleaved)


def check(config: SlowFastConfig, clip: Clip) -> None:
    """Refuse a clip whose pathways would not meet, or that a non-local pool would empty."""
    if clip.frames % config.alpha:
        below = clip.frames // config.alpha * config.alpha
        nearest = ", ".join(str(fit) for fit in (below, below + config.alpha) if fit)
        raise UnsupportedClipError(
            f"frames must be a multiple of {config.alpha}, or the pathways do not meet; "
            f"got frames={clip.frames}, nearest: {nearest}"
        )
    smallest = smallest_side(config)
    if min(clip.height, clip.width) < smallest:
        raise UnsupportedClipError(
            f"height and width must be at least {smallest}, or the non-local pool leaves nothing; "
            f"got height={clip.height}, width={clip.width}"
        )


def smallest_side(config: SlowFastConfig) -> int:
    """The least height and width: stages halve, rounding up, what the stem has quartered, and a pool rounds down."""
    pooled = [index for index, after in enumerate(config.nonlocal_after) if after]
    return (max(config.nonlocal_pool[1:]) - 1) * 4 * 2 ** pooled[-1] + 1 if pooled else 1
