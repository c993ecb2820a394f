"""MViT: its published sizes, what its official code counts elsewhere, its stages, and its parts one by one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.mvit import (
    HALVING,
    MVIT_B,
    MVIT_B_24,
    NO_POOLING,
    MViT,
    PooledAttention,
    SpaceTimeTokens,
    WideningFeedForward,
    mvit_b_16x4,
    mvit_b_24_32x3,
    mvit_b_32x3,
    mvit_b_64x3,
    stage_grids,
)
from vbench_models.layers import cache
from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.pooled_attention import FeedForward, HeadPooling, Pooling
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError

TINY = replace(MVIT_B, embed_dim=8, num_heads=2, depths=(1, 2, 1, 1), num_classes=5)
SHORT = Clip(frames=16, height=224, width=224)


def square(frames: int, side: int) -> Clip:
    return Clip(frames=frames, height=side, width=side)


def count(model: nn.Module, clip: Clip) -> int:
    video = torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(video)
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize(
    ("build", "clip", "parameters", "macs"),
    [
        (mvit_b_16x4, square(16, 224), 36_610_672, 70_599_407_808),
        (mvit_b_32x3, square(32, 224), 36_611_440, 169_958_123_712),
        (mvit_b_64x3, square(64, 224), 36_612_976, 455_061_768_384),
        (mvit_b_24_32x3, square(32, 224), 53_115_280, 235_775_815_680),
        (mvit_b_16x4, square(6, 96), 36_364_432, 3_972_950_208),
        (mvit_b_64x3, square(64, 112), 36_387_184, 74_889_271_488),
        (mvit_b_24_32x3, square(6, 136), 52_923_952, 12_605_989_440),  # 34 tokens a side become 17, 9, 5
    ],
)
def test_parameters_and_multiply_adds_equal_those_of_the_official_code(
    build: Callable[[Clip], MViT], clip: Clip, parameters: int, macs: int
) -> None:
    with torch.device("meta"):
        model = build(clip)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count(model, clip) == macs


def test_no_stage_pools_time_and_each_doubles_the_channels() -> None:
    with torch.device("meta"):
        model = mvit_b_16x4(SHORT)
        x = model.tokens(torch.empty(1, 3, 16, 224, 224))
        shapes = [x.shape[1:]]
        for stage in model.stages:
            x = stage(x)
            shapes.append(x.shape[1:])
    sides = (56, 56, 28, 14, 7)  # a stage widens as it ends and halves as it begins
    channels = (96, 192, 384, 768, 768)
    assert shapes == [(1 + 8 * side**2, width) for side, width in zip(sides, channels, strict=True)]


def test_grids_round_up_and_keep_time() -> None:
    grids = stage_grids(MVIT_B, Clip(frames=6, height=96, width=136))
    assert grids == [TokenGrid(3, 24, 34), TokenGrid(3, 12, 17), TokenGrid(3, 6, 9), TokenGrid(3, 3, 5)]


def test_all_blocks_but_the_first_of_a_stage_see_as_many_keys() -> None:
    with torch.device("meta"):
        model = mvit_b_16x4(SHORT)
    keys: list[int] = []
    for module in model.modules():
        if isinstance(module, PooledAttention):
            module.pool_k.register_forward_hook(lambda _, __, out: keys.append(out.shape[2]))
    count(model, SHORT)
    few, many = 1 + 8 * 7 * 7, 1 + 8 * 14 * 14
    assert keys == [few, many, few, many, *[few] * 10, many, few]


def test_the_deep_network_has_neither_kernel_nor_norm_where_its_kernel_is_one_token() -> None:
    with torch.device("meta"):
        names = {name for name, _ in MViT(MVIT_B_24, SHORT).named_parameters()}
    assert "stages.2.15.attention.pool_k.norm.weight" in names
    assert not [name for name in names if name.startswith("stages.3.") and ("pool_k" in name or "pool_v" in name)]
    assert "stages.3.0.attention.pool_q.norm.weight" in names


def seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return module.double()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def through(pool: nn.Module) -> None:
    """Make a pooling of stride 1 hand its tokens through: its kernels are one at their centre, its norm nothing."""
    assert isinstance(pool, HeadPooling)
    with torch.no_grad():
        pool.conv.weight.zero_()[:, 0, 1, 1, 1] = 1
    pool.norm = nn.Identity()


def test_pooled_attention_equals_plain_attention_where_the_poolings_hand_their_tokens_through() -> None:
    pooling = Pooling((3, 3, 3), (1, 1, 1))
    pooled = PooledAttention(12, 3, TokenGrid(2, 3, 4), pooling, pooling)
    plain = seeded(MultiHeadAttention(AttentionConfig(embed_dim=12, num_heads=3)))
    for index, x in enumerate("qkv"):
        for kind in ("weight", "bias"):
            getattr(getattr(pooled, x), kind).data = getattr(plain.qkv, kind).data.chunk(3)[index]
        through(getattr(pooled, f"pool_{x}"))
    pooled.proj = plain.proj
    x = noise(2, 1 + 24, 12)
    torch.testing.assert_close(pooled.double()(x), plain(x))


@pytest.mark.parametrize("pooling", [HALVING, Pooling((1, 5, 5), (1, 4, 4)), Pooling((3, 3, 3), (1, 1, 1))], ids=str)
def test_every_head_is_pooled_by_the_same_kernels_and_the_class_token_by_none(pooling: Pooling) -> None:
    grid, heads, dim = TokenGrid(3, 5, 6), 2, 4
    pool = seeded(HeadPooling(pooling, dim, grid))
    x = noise(2, 1 + grid.tokens, heads * dim)
    out = pool(x)
    for head in range(heads):
        tokens = x[..., head * dim : (head + 1) * dim]
        video = tokens[:, 1:].mT.unflatten(-1, (3, 5, 6)).contiguous()
        padding = [size // 2 for size in pooling.kernel_size]
        pooled = F.conv3d(video, pool.conv.weight, None, pooling.stride, padding, groups=dim).flatten(2).mT
        expected = torch.cat([tokens[:, :1], pooled], 1)
        expected = (expected - expected.mean(-1, keepdim=True)) / (
            expected.var(-1, keepdim=True, correction=0) + 1e-6
        ) ** 0.5
        torch.testing.assert_close(out[:, head], expected * pool.norm.weight + pool.norm.bias)


def test_the_shortcut_keeps_the_largest_of_nine_patches_and_the_class_token() -> None:
    with torch.device("meta"):
        skip = MViT(MVIT_B, SHORT).stages[1][0].skip
    skip.grid = TokenGrid(2, 3, 4)
    x = noise(1, 1 + 24, 5)
    padded = F.pad(x[0, 1:].reshape(2, 3, 4, 5), (0, 0, 1, 1, 1, 1), value=-torch.inf)
    expected = [
        padded[t, h : h + 3, w : w + 3].amax((0, 1)) for t in range(2) for h in range(0, 3, 2) for w in range(0, 4, 2)
    ]
    torch.testing.assert_close(skip(x), torch.stack([x[0, 0], *expected])[None])


def test_within_a_stage_the_perceptron_is_added_to_tokens_that_are_not_normalised() -> None:
    feed_forward = seeded(FeedForward(6, 4.0))
    assert isinstance(feed_forward, FeedForward)
    x = noise(1, 3, 6)
    normed = F.layer_norm(x, (6,), feed_forward.norm.weight, feed_forward.norm.bias, 1e-6)
    torch.testing.assert_close(feed_forward(x), x + feed_forward.mlp(normed))


def test_a_stage_widens_by_projecting_what_its_last_perceptron_reads() -> None:
    feed_forward = seeded(WideningFeedForward(6, 4.0))
    assert isinstance(feed_forward, WideningFeedForward)
    x = noise(1, 3, 6)
    normed = F.layer_norm(x, (6,), feed_forward.norm.weight, feed_forward.norm.bias, 1e-6)
    hidden = F.gelu(normed @ feed_forward.mlp.fc1.weight.T + feed_forward.mlp.fc1.bias)
    expected = feed_forward.widen(normed) + hidden @ feed_forward.mlp.fc2.weight.T + feed_forward.mlp.fc2.bias
    torch.testing.assert_close(feed_forward(x), expected)


def test_a_patch_has_the_position_of_its_place_and_of_its_time() -> None:
    tokens = seeded(SpaceTimeTokens(TINY, TokenGrid(2, 3, 4)))
    assert isinstance(tokens, SpaceTimeTokens)
    video = noise(1, 3, 4, 12, 16)
    patches = tokens.patches.proj(video)
    x = tokens(video)
    assert torch.equal(x[0, 0], (tokens.cls_token + tokens.cls_position)[0, 0])
    expected = patches[0, :, 1, 1, 2] + tokens.positions[0, 4 + 2] + tokens.times[0, 1]
    torch.testing.assert_close(x[0, 1 + 12 + 4 + 2], expected)


@pytest.mark.parametrize("clip", [Clip(frames=4, height=36, width=52), Clip(frames=2, height=4, width=4)], ids=str)
def test_clips_of_a_batch_do_not_see_one_another(clip: Clip) -> None:
    model = seeded(MViT(TINY, clip)).eval()
    videos = noise(2, 3, clip.frames, clip.height, clip.width)
    with torch.no_grad():
        together, apart = model(videos), torch.cat([model(video[None]) for video in videos])
    torch.testing.assert_close(together, apart)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_a_part_at_a_time_is_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(batch=2, frames=4, height=32, width=40)
    model = seeded(MViT(TINY, clip)).eval()
    video = noise(2, 3, 4, 32, 40)
    with torch.no_grad():
        whole = model(video)
        monkeypatch.setattr(cache, "CACHED_VALUES", 1)
        calls: list[int] = []
        model.stages[0][0].feed_forward.mlp.register_forward_hook(lambda _, __, out: calls.append(out.shape[1]))
        torch.testing.assert_close(model(video), whole)
    assert len(calls) > 1
    assert sum(calls) == 1 + 2 * 8 * 10


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (Clip(frames=15, height=224, width=224), "frames must be a multiple of 2"),
        (Clip(frames=16, height=226, width=224), "height must be a multiple of 4"),
        (Clip(frames=16, height=224, width=90), "width must be a multiple of 4.*nearest: 88, 92"),
    ],
)
def test_clips_that_the_patches_stride_does_not_divide_are_refused(clip: Clip, message: str) -> None:
    with pytest.raises(UnsupportedClipError, match=message):
        mvit_b_16x4(clip)


def test_a_block_that_pools_nothing_says_so() -> None:
    attention = PooledAttention(8, 2, TokenGrid(1, 2, 2), NO_POOLING, NO_POOLING)
    assert {name.split(".")[0] for name, _ in attention.named_parameters()} == {"q", "k", "v", "proj"}
