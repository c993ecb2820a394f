from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vbench_models.attention.memory_cross import MemoryConfig, MemoryCrossAttention
from vbench_models.layers.pooling import TokenPooling
from vbench_models.video import ModelError, TokenGrid

CONFIG = MemoryConfig(embed_dim=12, num_heads=4)
GRIDS = [TokenGrid(4, 4, 2), TokenGrid(5, 3, 2), TokenGrid(1, 1, 3)]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
every_length = pytest.mark.parametrize("clips", [1, 2, 3])


def attention(config: MemoryConfig = CONFIG) -> MemoryCrossAttention:
    torch.manual_seed(0)
    return MemoryCrossAttention(config).double()


def compressed(pool: TokenPooling, x: Tensor) -> Tensor:
    """The memory of `b heads t h w d` by hand: `b heads m d`."""
    heads, channels = x.shape[1], x.shape[1] * x.shape[-1]
    whole = x.permute(0, 1, 5, 2, 3, 4).flatten(1, 2)
    out = F.conv3d(whole, pool.conv.weight, stride=(4, 2, 2), padding=(3, 1, 1), groups=channels).flatten(2).mT
    return F.layer_norm(out, (channels,), eps=1e-6).unflatten(-1, (heads, -1)).transpose(1, 2)


def streams(grid: TokenGrid, config: MemoryConfig, clips: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(grid.tokens)
    shape = (2, grid.t, grid.h, grid.w, config.embed_dim)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(clips)]


def by_hand(memory: MemoryCrossAttention, past: list[Tensor], now: Tensor) -> Tensor:
    """Attention of `now` to itself and to each compressed clip of `past`."""

    def heads(x: Tensor) -> Tensor:
        return memory.qkv(x).unflatten(-1, (3, 4, -1)).permute(4, 0, 5, 1, 2, 3, 6)

    q, k, v = heads(now)
    keys = [compressed(memory.compress_keys, heads(clip)[1]) for clip in past] + [k.flatten(2, 4)]
    values = [compressed(memory.compress_values, heads(clip)[2]) for clip in past] + [v.flatten(2, 4)]
    scores = q.flatten(2, 4) @ torch.cat(keys, 2).mT / q.shape[-1] ** 0.5
    out = scores.softmax(-1) @ torch.cat(values, 2)
    return memory.proj(out.transpose(1, 2).flatten(2)).reshape(now.shape)


@every_length
@every_grid
def test_each_step_equals_dense_attention_to_the_clip_and_its_compressed_past(grid: TokenGrid, clips: int) -> None:
    memory, state = attention(replace(CONFIG, memory_clips=clips)), None
    stream = streams(grid, CONFIG, 6)
    for index, clip in enumerate(stream):
        past = ([stream[0]] * clips + stream[:index])[-clips:]
        update, state = memory.step(clip, state)
        torch.testing.assert_close(update, by_hand(memory, past, clip))


@every_length
def test_the_memory_is_bounded_and_detached(clips: int) -> None:
    memory, state, sizes = attention(replace(CONFIG, memory_clips=clips)), None, set()
    for clip in streams(GRIDS[1], CONFIG, 5):
        _, state = memory.step(clip.requires_grad_(), state)
        sizes.add(tuple(part.shape for part in state))
        assert not any(part.requires_grad for part in state)
    assert len(sizes) == 1


def test_only_the_last_clip_teaches_the_compression() -> None:
    memory = attention()
    first, second = streams(GRIDS[0], CONFIG, 2)
    _, state = memory.step(first.requires_grad_())
    update, _ = memory.step(second, state)
    update.square().sum().backward()
    assert first.grad is None
    assert memory.compress_keys.conv.weight.grad.abs().sum() > 0


def test_core_is_the_first_step_of_a_stream(qkv: Callable[..., list[Tensor]]) -> None:
    memory, (q, k, v) = attention(), qkv(GRIDS[1])
    past_keys, past_values = compressed(memory.compress_keys, k), compressed(memory.compress_values, v)
    keys = torch.cat((past_keys, past_keys, k.flatten(2, 4)), 2)
    values = torch.cat((past_values, past_values, v.flatten(2, 4)), 2)
    expected = (q.flatten(2, 4) @ keys.mT / 3**0.5).softmax(-1) @ values
    torch.testing.assert_close(memory.core(q, k, v), expected.reshape(q.shape))


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="got memory_clips=0"):
        replace(CONFIG, memory_clips=0)
