"""MTV: the official counts, what a fusion carries from view to view, and which class token stands where."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.mtv import (
    MTV,
    MTV_B,
    Fusion,
    MTVConfig,
    ViewConfig,
    mtv_b,
    mtv_h,
    mtv_l,
)
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=32, height=224, width=224)
WIDE = Clip(frames=48, height=224, width=336)
SMALL = Clip(frames=24, height=160, width=96)

TINY = MTVConfig(
    views=(
        ViewConfig(tubelet_size=(4, 8, 8), embed_dim=8, depth=2, num_heads=2),
        ViewConfig(tubelet_size=(2, 8, 8), embed_dim=12, depth=2, num_heads=3),
        ViewConfig(tubelet_size=(1, 4, 4), embed_dim=16, depth=3, num_heads=4),
    ),
    fusion_layers=(1,),
    global_depth=1,
    global_heads=3,
    global_mlp_dim=24,
    num_classes=5,
)
TINY_CLIP = Clip(batch=2, frames=8, height=16, width=24)


def params_and_macs(build: Callable[[Clip], nn.Module], clip: Clip) -> tuple[int, int]:
    with torch.device("meta"):
        model, clips = build(clip).eval(), torch.empty(1, 3, clip.frames, clip.height, clip.width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert model(clips).shape == (1, 400)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def video(seed: int = 0) -> Tensor:
    shape = (TINY_CLIP.batch, 3, TINY_CLIP.frames, TINY_CLIP.height, TINY_CLIP.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scramble(module: nn.Module) -> None:
    """Weights large enough that nothing hides behind a zero or a small one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)


@torch.no_grad()
def view_tokens(model: MTV, x: Tensor) -> list[Tensor]:
    tokens: list[Tensor] = model.encoder([view(x) for view in model.views])
    return tokens


@pytest.mark.parametrize(
    ("build", "clip", "params", "macs"),
    [
        (mtv_b, DEFAULT, 304_270_864, 374_597_276_160),
        (mtv_b, WIDE, 304_421_392, 899_738_264_064),
        (mtv_b, SMALL, 304_078_672, 79_946_476_032),
        (mtv_l, DEFAULT, 875_908_752, 1_418_745_922_048),
        (mtv_l, WIDE, 876_171_984, 3_492_695_423_488),
        (mtv_h, DEFAULT, 1_284_480_144, 3_513_505_638_912),
        (mtv_h, WIDE, 1_284_810_960, 8_704_694_280_704),
    ],
    ids=["B", "B wide", "B small", "L", "L wide", "H", "H wide"],
)
def test_parameters_and_macs_equal_those_in_the_official_jaxpr(
    build: Callable[[Clip], nn.Module], clip: Clip, params: int, macs: int
) -> None:
    assert params_and_macs(build, clip) == (params, macs)


def test_without_fusion_the_official_counts_of_independent_views_remain() -> None:
    independent = replace(MTV_B, fusion_layers=())
    assert params_and_macs(lambda clip: MTV(independent, clip), DEFAULT) == (302_049_040, 367_222_503_936)


def test_a_fresh_fusion_changes_nothing() -> None:
    torch.manual_seed(0)
    fused, independent = MTV(TINY, TINY_CLIP), MTV(replace(TINY, fusion_layers=()), TINY_CLIP)
    independent.load_state_dict({name: x for name, x in fused.state_dict().items() if "fusion" not in name})
    torch.testing.assert_close(fused(video()), independent(video()))


def test_without_fusion_no_view_knows_of_another() -> None:
    torch.manual_seed(0)
    model = MTV(replace(TINY, fusion_layers=()), TINY_CLIP)
    before = view_tokens(model, video())
    scramble(model.views[2])
    first, second, third = (torch.equal(a, b) for a, b in zip(before, view_tokens(model, video()), strict=True))
    assert (first, second, third) == (True, True, False)


def test_a_fusion_carries_each_view_into_the_one_before_it_and_no_further() -> None:
    torch.manual_seed(0)
    fusion = Fusion(TINY.views)
    scramble(fusion)
    tokens = [torch.randn(2, 5, view.embed_dim) for view in TINY.views]
    for changed in range(3):
        others = [x + (index == changed) * torch.randn(x.shape) for index, x in enumerate(tokens)]
        pairs = zip(fusion(tokens), fusion(others), strict=True)
        differs = [not torch.allclose(a, b, atol=1e-4) for a, b in pairs]
        assert differs == [index in (changed - 1, changed) for index in range(3)]


def test_a_view_whose_blocks_are_spent_still_reads() -> None:
    torch.manual_seed(0)
    late = MTV(replace(TINY, fusion_layers=(2,)), TINY_CLIP)
    before = view_tokens(late, video())
    scramble(late.encoder[2].get_submodule("fusion"))
    learned = [not torch.allclose(a, b) for a, b in zip(before, view_tokens(late, video()), strict=True)]
    assert learned == [True, True, False]  # the last has nothing to read from


def test_what_a_view_reads_reaches_the_logits() -> None:
    torch.manual_seed(0)
    model = MTV(TINY, TINY_CLIP)
    fusion = model.encoder[1].get_submodule("fusion")
    before = model(video())
    scramble(fusion.get_submodule("attentions.0"))
    assert not torch.allclose(before, model(video()), atol=1e-4)


def test_attention_stays_within_the_span_of_the_longest_tubelet() -> None:
    torch.manual_seed(0)
    model = MTV(TINY, TINY_CLIP)
    scramble(model)
    changed = video()
    changed[:, :, 5] += 1  # in the second of two groups of four frames
    for a, b in zip(view_tokens(model, video()), view_tokens(model, changed), strict=True):
        unmoved = (a == b).flatten(1).all(dim=1)
        assert unmoved.tolist() == [True, False] * TINY_CLIP.batch


def test_slower_views_stand_beside_the_fastest_in_whole_repetitions() -> None:
    model = MTV(TINY, TINY_CLIP)
    tokens = []
    for view, steps, per_step in zip(TINY.views, (2, 4, 8), (7, 7, 25), strict=True):
        x = torch.full((TINY_CLIP.batch, steps, per_step, view.embed_dim), -1.0)
        x[:, :, 0] = torch.arange(steps)[None, :, None]
        tokens.append(x.reshape(TINY_CLIP.batch * 2, -1, view.embed_dim))
    gathered = model.gather(tokens, TINY_CLIP.batch)
    expected = torch.cat([torch.arange(8)[:, None].expand(8, c) % steps for c, steps in ((8, 2), (12, 4), (16, 8))], 1)
    torch.testing.assert_close(gathered, expected.expand(TINY_CLIP.batch, 8, 36).float())


@pytest.mark.parametrize("size", [(8, 32, 48), (16, 16, 16)])
def test_different_videos_give_different_logits(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    frames, height, width = size
    model = MTV(replace(TINY, num_classes=400), Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 400)
    assert logits.isfinite().all()
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("build", "clip", "message"),
    [
        (mtv_b, replace(DEFAULT, frames=12), "frames must be a multiple of 8, the tubelet's; got frames=12"),
        (mtv_l, replace(DEFAULT, frames=24), "frames must be a multiple of 16, the tubelet's; got frames=24"),
        (mtv_h, replace(DEFAULT, height=256), "height must be a multiple of 112, the tubelet's; got height=256"),
    ],
)
def test_clips_that_some_view_does_not_tile_are_refused(
    build: Callable[[Clip], nn.Module], clip: Clip, message: str
) -> None:
    with pytest.raises(UnsupportedClipError, match=message):
        build(clip)
