"""STM: its size, its memory read against a loop, what one frame adds, and masks of every frame size."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.stm import Memory, against_background, cropped, joined, padded, read_memory, stm_r50
from vbench_models.layers.stream import state_bytes
from vbench_models.video import Clip, UnsupportedClipError

SMALL = Clip(frames=3, height=40, width=56)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(clip: Clip) -> int:
    with torch.device("meta"):
        model = stm_r50(clip).eval()
    video = torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(video, *model.further_inputs(video))
    return int(counter.get_total_flops()) // 2


def test_parameters_equal_the_official_ones() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in stm_r50(SMALL).parameters()) == 38_925_570


@pytest.mark.parametrize(
    ("clip", "macs"),
    [(Clip(frames=5, height=480, width=854), 297_785_548_800), (Clip(frames=3, height=240, width=430), 54_327_594_240)],
)
def test_multiply_adds_equal_those_of_the_official_code(clip: Clip, macs: int) -> None:
    assert count(clip) == macs


def test_reading_weighs_every_remembered_position_by_its_fit() -> None:
    memory = Memory(noise(1, 2, 3, 4, 8), noise(1, 2, 3, 4, 6, seed=1))
    key = noise(1, 8, 2, 2, seed=2)
    read = read_memory(memory, key)
    assert read.shape == (2, 6, 2, 2)
    for one in range(2):
        keys, values = memory.keys[0, one].reshape(12, 8), memory.values[0, one].reshape(12, 6)
        for row in range(2):
            for column in range(2):
                weights = torch.exp(keys @ key[0, :, row, column] / math.sqrt(8))
                expected = (weights[:, None] * values).sum(0) / weights.sum()
                torch.testing.assert_close(read[one, :, row, column], expected)


def test_each_remembered_frame_adds_the_same_bytes_and_the_same_reading() -> None:
    macs = [count(Clip(frames=frames, height=64, width=64)) for frames in (2, 3, 4, 5)]
    steps = {later - earlier for earlier, later in pairwise(macs)}
    assert len(steps) == 1  # one more frame to memorise, and to read
    model = stm_r50(SMALL).eval()
    with torch.no_grad():
        one = model.memorise(noise(1, 3, 40, 56), torch.rand(1, 1, 40, 56))
    grid = math.ceil(40 / 16) * math.ceil(56 / 16)
    assert state_bytes(one) == 4 * grid * (128 + 512)
    assert state_bytes(joined([one, one, one])) == 3 * state_bytes(one)


def test_a_stream_frame_by_frame_is_the_clip_at_once() -> None:
    torch.manual_seed(0)
    model = stm_r50(SMALL).eval()
    video, masks = noise(1, 3, 3, 40, 56), torch.rand(1, 2, 2, 40, 56)
    with torch.no_grad():
        past = [model.memorise(video[:, :, index], masks[:, :, index]) for index in range(2)]
        torch.testing.assert_close(model.segment(video[:, :, 2], joined(past)), model(video, masks))


def test_masks_have_the_frame_s_size_and_one_map_more_than_objects() -> None:
    model = stm_r50(SMALL).eval()
    with torch.no_grad():
        logits = model(noise(2, 3, 3, 40, 56), torch.rand(2, 3, 2, 40, 56)).logits
    assert logits.shape == (2, 4, 40, 56)


def test_odds_are_those_of_the_probabilities_and_the_background_is_where_no_object_is() -> None:
    on = torch.tensor([0.25, 0.5]).view(1, 2, 1, 1)
    expected = [math.log(p / (1 - p)) for p in (0.75 * 0.5, 0.25, 0.5)]
    torch.testing.assert_close(against_background(on).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_odds_stay_finite_where_an_object_is_certain(dtype: torch.dtype) -> None:
    assert against_background(torch.tensor([0.0, 1.0], dtype=dtype).view(1, 2, 1, 1)).isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 31), (40, 56)])
def test_padding_is_taken_off_again(height: int, width: int) -> None:
    frame = noise(1, 2, height, width)
    wide = padded(frame)
    assert all(size % 16 == 0 for size in wide.shape[2:])
    torch.testing.assert_close(cropped(wide, height, width), frame)


def test_an_object_is_seen_beside_the_others() -> None:
    torch.manual_seed(0)
    model = stm_r50(SMALL).eval()
    frame, masks = noise(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    masks[0, 0, :8] = 1
    with torch.no_grad():
        alone = model.memorise(frame, masks).keys[:, 0]
        masks[0, 1, 8:] = 1
        beside = model.memorise(frame, masks).keys[:, 0]
    assert not torch.allclose(alone, beside)


def test_a_single_frame_has_nothing_to_read() -> None:
    with pytest.raises(UnsupportedClipError, match="at least 2"):
        stm_r50(Clip(frames=1, height=64, width=64))
