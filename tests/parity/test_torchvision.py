"""Video Swin-T, -S and -B against torchvision's: the same tensors in both, and the same logits out of both."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.video_swin import (
    VIDEO_SWIN_S,
    VIDEO_SWIN_T,
    VideoSwin,
    video_swin_b,
    video_swin_s,
    video_swin_t,
)
from vbench_models.video import Clip

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

DEFAULT = Clip(frames=32, height=224, width=224)
CLIPPED_IN_TIME = Clip(frames=8, height=112, width=112)
PADDED = Clip(frames=18, height=72, width=100)
NOTHING_DIVIDES = Clip(frames=21, height=75, width=93)
BATCH = Clip(batch=2, frames=18, height=64, width=64)

WINDOWS = ".attn.relative_position_index"  # their index table is stored; ours is built, and compared


BUILDERS = {"t": video_swin_t, "s": video_swin_s, "b": video_swin_b}
DEPTHS = {"t": VIDEO_SWIN_T.depths, "s": VIDEO_SWIN_S.depths, "b": VIDEO_SWIN_S.depths}
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def theirs(torchvision_importable: None, fill_with_noise: Fill) -> Callable[[str], nn.Module]:
    """Their network of a size, filled with noise; the last one asked for is kept."""
    kept: dict[str, nn.Module] = {}

    def build(size: str) -> nn.Module:
        if size not in kept:
            kept.clear()
            kept[size] = by_size(size)().eval()
            fill_with_noise(kept[size], 1)
        return kept[size]

    return build


def by_size(size: str) -> Any:
    from torchvision.models import video  # type: ignore[import-untyped]

    return getattr(video, f"swin3d_{size}")


def name_map(depths: tuple[int, ...]) -> dict[str, str]:
    """From each of our tensors to theirs; they merge at the end of a stage, as a module of its own."""
    modules = {"embed.proj": "patch_embed.proj", "embed_norm": "patch_embed.norm", "norm": "norm", "head": "head"}
    parts = {
        "attention_norm": "norm1",
        "attention.qkv": "attn.qkv",
        "attention.proj": "attn.proj",
        "mlp_norm": "norm2",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
    }
    tensors = {}
    for stage, depth in enumerate(depths):
        if stage:
            modules[f"stages.{stage}.merge.norm"] = f"features.{2 * stage - 1}.norm"
            tensors[f"stages.{stage}.merge.reduction.weight"] = f"features.{2 * stage - 1}.reduction.weight"
        for layer in range(depth):
            our_block, their_block = f"stages.{stage}.blocks.{layer}", f"features.{2 * stage}.{layer}"
            modules |= {f"{our_block}.{part}": f"{their_block}.{theirs}" for part, theirs in parts.items()}
            our_table = f"{our_block}.attention.position_bias.table"
            tensors[our_table] = f"{their_block}.attn.relative_position_bias_table"
    return tensors | {
        f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules.items() for kind in ("weight", "bias")
    }


def twin(theirs: nn.Module, size: str, clip: Clip) -> VideoSwin:
    """Our network with their tensors: every one of theirs is used, every one of ours is set."""
    names, state = name_map(DEPTHS[size]), theirs.state_dict()
    assert set(names.values()) == {name for name in state if not name.endswith(WINDOWS)}
    ours = BUILDERS[size](clip).eval()
    ours.load_state_dict({our_name: state[their_name] for our_name, their_name in names.items()}, strict=True)
    return ours


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(video)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(
    ("size", "clip"),
    [
        pytest.param("t", DEFAULT, marks=SLOW),
        *(("t", clip) for clip in (CLIPPED_IN_TIME, PADDED, NOTHING_DIVIDES, BATCH)),
        pytest.param("s", DEFAULT, marks=SLOW),
        ("s", PADDED),
        pytest.param("b", DEFAULT, marks=SLOW),
        ("b", PADDED),
    ],
    ids=str,
)
def test_logits_equal_those_of_torchvision(
    theirs: Callable[[str], nn.Module], size: str, clip: Clip, relative_difference: Distance
) -> None:
    ours = twin(theirs(size), size, clip)
    video = torch.randn(clip.batch, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        our_logits, their_logits = ours(video), theirs(size)(video)
    assert their_logits.std() > 0.1
    assert relative_difference(our_logits, their_logits) < 1e-4


@pytest.mark.parametrize(
    ("size", "clip"),
    [
        *(("t", clip) for clip in (DEFAULT, CLIPPED_IN_TIME, PADDED, NOTHING_DIVIDES, BATCH)),
        ("s", DEFAULT),
        ("b", DEFAULT),
    ],
    ids=str,
)
def test_parameters_and_multiply_adds_equal_those_of_torchvision(
    torchvision_importable: None, size: str, clip: Clip
) -> None:
    with torch.device("meta"):
        ours, theirs = BUILDERS[size](clip), by_size(size)()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert count(ours, clip) == count(theirs, clip)


def test_offsets_are_indexed_as_in_torchvision(theirs: Callable[[str], nn.Module]) -> None:
    ours = twin(theirs("t"), "t", DEFAULT).get_buffer("stages.0.blocks.1.attention.position_bias.index")
    assert torch.equal(ours, theirs("t").get_buffer(f"features.0.1{WINDOWS}"))
