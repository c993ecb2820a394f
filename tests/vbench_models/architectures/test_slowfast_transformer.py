"""The SlowFast transformer: its cost by hand, the frames of each pathway, and the one way between them."""

from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.slowfast_transformer import (
    Lateral,
    SlowFastTransformer,
    SlowFastTransformerConfig,
    slowfast_transformer,
)
from vbench_models.layers.attention import AttentionConfig
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=32, height=224, width=224)
OTHER = Clip(frames=24, height=112, width=160)

SLOW, FAST, DEPTH, LATERALS, CLASSES = 768, 96, 12, 4, 400

TINY = SlowFastTransformerConfig(
    slow=AttentionConfig(embed_dim=16, num_heads=2),
    fast=AttentionConfig(embed_dim=4, num_heads=1),
    alpha=4,
    depth=3,
    lateral_layers=(0, 2),
    patch_size=4,
    num_classes=5,
)
TINY_CLIP = Clip(frames=8, height=8, width=12)


def pathway_params(width: int, frames: int, places: int) -> int:
    """A block: two attentions of 4 c^2 + 4 c, c^2 + c between them, 8 c^2 + 5 c behind, three norms of 2 c."""
    block = 17 * width**2 + 20 * width
    embedding = 3 * 16 * 16 * width + width
    places_times_and_class = (1 + places + frames + 1) * width
    return embedding + places_times_and_class + DEPTH * block + 2 * width


def pathway_macs(width: int, frames: int, places: int) -> int:
    """Time sees every patch, space every frame behind a copy of the class token, the MLP every token."""
    patches = frames * places
    time = 5 * patches * width**2 + 2 * patches * frames * width
    space = 4 * frames * (places + 1) * width**2 + 2 * frames * (places + 1) ** 2 * width
    return patches * 3 * 16 * 16 * width + DEPTH * (time + space + 8 * (patches + 1) * width**2)


def params_and_macs(clip: Clip) -> tuple[int, int]:
    with torch.device("meta"):
        model, video = slowfast_transformer(clip).eval(), torch.empty(1, 3, clip.frames, clip.height, clip.width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert model(video).shape == (1, CLASSES)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def tiny(config: SlowFastTransformerConfig = TINY) -> SlowFastTransformer:
    torch.manual_seed(0)
    return SlowFastTransformer(config, TINY_CLIP).eval()


def video() -> Tensor:
    shape = (2, 3, TINY_CLIP.frames, TINY_CLIP.height, TINY_CLIP.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def with_another_frame(frame: int) -> Tensor:
    changed = video()
    changed[:, :, frame] += 1
    return changed


@torch.no_grad()
def class_tokens(model: SlowFastTransformer, x: Tensor) -> tuple[Tensor, Tensor]:
    """The slow and the fast class token as they reach the head."""
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(x)
    hook.remove()
    slow, fast = seen[0].split((model.config.slow.embed_dim, model.config.fast.embed_dim), dim=-1)
    return slow, fast


def test_the_closed_forms_give_the_official_timesformer() -> None:
    assert pathway_params(768, 8, 14 * 14) + 768 * 400 + 400 == 121_566_352
    assert pathway_macs(768, 8, 14 * 14) + 768 * 400 == 195_830_280_192


@pytest.mark.parametrize("clip", [DEFAULT, OTHER], ids=["default", "other"])
def test_parameters_and_macs_are_those_of_two_pathways_and_their_connections(clip: Clip) -> None:
    places, slow_frames = clip.height // 16 * (clip.width // 16), clip.frames // 8
    params, macs = params_and_macs(clip)
    lateral = 8 * FAST * SLOW
    head = (SLOW + FAST) * CLASSES
    assert params == (
        pathway_params(SLOW, slow_frames, places)
        + pathway_params(FAST, clip.frames, places)
        + LATERALS * (2 * 8 * FAST + lateral + SLOW)
        + head
        + CLASSES
    )
    assert macs == (
        pathway_macs(SLOW, slow_frames, places)
        + pathway_macs(FAST, clip.frames, places)
        + LATERALS * slow_frames * places * lateral
        + head
    )


@torch.no_grad()
@pytest.mark.parametrize("frame", range(TINY_CLIP.frames))
def test_the_slow_pathway_is_given_every_fourth_frame_and_the_fast_one_all(frame: int) -> None:
    apart = tiny(replace(TINY, lateral_layers=()))
    pairs = zip(class_tokens(apart, video()), class_tokens(apart, with_another_frame(frame)), strict=True)
    assert [not torch.equal(a, b) for a, b in pairs] == [frame in (0, 4), True]


@pytest.mark.parametrize("frame", [1, 3, 6])
def test_a_frame_between_the_slow_ones_reaches_the_slow_pathway_by_the_connections(frame: int) -> None:
    model = tiny()
    before, _ = class_tokens(model, video())
    after, _ = class_tokens(model, with_another_frame(frame))
    assert (before - after).abs().max() > 1e-4


@torch.no_grad()
def test_nothing_goes_from_slow_to_fast() -> None:
    model = tiny()
    slow, fast = class_tokens(model, video())
    for parameter in model.slow.parameters():
        parameter.add_(torch.randn(parameter.shape))
    slow_after, fast_after = class_tokens(model, video())
    assert not torch.allclose(slow, slow_after)
    assert torch.equal(fast, fast_after)


@torch.no_grad()
def test_a_connection_joins_each_place_to_its_own_and_leaves_the_class_token() -> None:
    torch.manual_seed(0)
    lateral = Lateral(TINY, num_slow_frames=2)
    slow, fast = torch.randn(1, 1 + 2 * 6, 16), torch.randn(1, 1 + 8 * 6, 4)
    other = fast.clone()
    other[:, 1 + 7 * 6 + 2] += torch.randn(4)  # frame 7, place 2
    changed = (lateral(slow, fast) != lateral(slow, other)).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 1 * 6 + 2]
    assert torch.equal(lateral(slow, fast)[:, 0], slow[:, 0])


@torch.no_grad()
def test_a_connection_is_a_convolution_over_alpha_frames_with_stride_alpha() -> None:
    torch.manual_seed(0)
    lateral = Lateral(TINY, num_slow_frames=2)
    lateral.norm = nn.Identity()  # type: ignore[assignment]
    slow, fast = torch.randn(2, 1 + 2 * 6, 16), torch.randn(2, 1 + 8 * 6, 4)
    kernel = rearrange(lateral.fc.weight, "out (alpha c) -> out c alpha 1", alpha=4)
    frames = rearrange(fast[:, 1:], "b (t hw) c -> b c t hw", t=8)
    update = functional.conv2d(frames, kernel, lateral.fc.bias, stride=(4, 1))
    expected = slow[:, 1:] + rearrange(update, "b c t hw -> b (t hw) c")
    torch.testing.assert_close(lateral(slow, fast)[:, 1:], expected)


def test_frames_that_are_no_multiple_of_alpha_are_refused() -> None:
    with pytest.raises(UnsupportedClipError, match=r"frames must be a multiple of 8, .* got frames=12, nearest: 8, 16"):
        slowfast_transformer(replace(DEFAULT, frames=12))
