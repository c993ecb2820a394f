"""Deformable attention: against sampling spelled out place by place, its start, and its price."""

from math import floor

import pytest
import torch
from torch import Tensor, nn

from vbench.measure.count import tally
from vbench_models.layers.deformable_attention import (
    DeformableAttention,
    DeformableConfig,
    sampling_macs,
    weighted_samples,
    weighted_sum,
)
from vbench_models.layers.deformable_transformer import pixel_centres, sine_positions

SHAPES = ((4, 6), (2, 3))
PIXELS = 30
CONFIG = DeformableConfig(embed_dim=12, num_heads=2, num_levels=2, num_points=3)


@pytest.fixture
def attention() -> DeformableAttention:
    """Every weight and bias away from its start."""
    torch.manual_seed(0)
    module = DeformableAttention(CONFIG, SHAPES).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def references(coordinates: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(2, 5, coordinates, generator=generator, dtype=torch.float64)


def bilinear(level: Tensor, x: float, y: float) -> Tensor:
    """`level` (h, w, d) at a place of the unit square, between the centres of its pixels; zero outside."""
    h, w, d = level.shape
    column, row = x * w - 0.5, y * h - 0.5
    total = level.new_zeros(d)
    for i in (floor(row), floor(row) + 1):
        for j in (floor(column), floor(column) + 1):
            if 0 <= i < h and 0 <= j < w:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * level[i, j]
    return total


def spelled_out(module: DeformableAttention, queries: Tensor, reference: Tensor, memory: Tensor) -> Tensor:
    """One query, head, level and point at a time."""
    values = module.value(memory).view(2, PIXELS, 2, 6)
    offsets = module.offsets(queries).view(2, 5, 2, 2, 3, 2)
    weights = module.weights(queries).view(2, 5, 2, 6).softmax(-1).view(2, 5, 2, 2, 3)
    out = torch.zeros(2, 5, 2, 6, dtype=torch.float64)
    for b, q, head, level, point in torch.cartesian_prod(*map(torch.arange, (2, 5, 2, 2, 3))).tolist():
        (h, w), start = SHAPES[level], sum(a * b for a, b in SHAPES[:level])
        pixels = values[b, start : start + h * w, head].view(h, w, 6)
        x, y, *size = reference[b, q].tolist()
        dx, dy = offsets[b, q, head, level, point].tolist()
        steps = (size[0] / 2 / 3, size[1] / 2 / 3) if size else (1 / w, 1 / h)
        sample = bilinear(pixels, x + dx * steps[0], y + dy * steps[1])
        out[b, q, head] += weights[b, q, head, level, point] * sample
    return module.proj(out.flatten(2))


@pytest.mark.parametrize("coordinates", [2, 4], ids=["around points", "around boxes"])
def test_it_equals_sampling_spelled_out(attention: DeformableAttention, coordinates: int) -> None:
    queries, reference, memory = noise(2, 5, 12), references(coordinates), noise(2, PIXELS, 12, seed=3)
    with torch.no_grad():
        expected = spelled_out(attention, queries, reference, memory)
        torch.testing.assert_close(attention(queries, reference, memory), expected)


def test_a_place_at_the_centre_of_a_pixel_returns_that_pixel() -> None:
    values = noise(1, 4, PIXELS)
    places = pixel_centres(SHAPES).double()[0, :, None, None].expand(-1, 2, 1, -1)[None]
    weights = torch.zeros(1, PIXELS, 2, 1, dtype=torch.float64)
    weights[:, :24, 0], weights[:, 24:, 1] = 1, 1  # each pixel looks at its own level
    torch.testing.assert_close(weighted_samples(values, places, weights, SHAPES), values.mT, atol=1e-5, rtol=0)


def test_heads_start_in_equal_directions_and_their_points_at_growing_distances() -> None:
    module = DeformableAttention(DeformableConfig(), ((8, 8),) * 4)
    offsets = module.offsets(torch.randn(1, 1, 256)).view(8, 4, 4, 2)
    squares = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    expected = torch.tensor(squares)[:, None, None] * torch.arange(1, 5)[:, None]
    torch.testing.assert_close(offsets, expected.expand(-1, 4, -1, -1).float(), atol=1e-5, rtol=0)


def test_sampling_is_five_multiply_adds_a_value_and_counts_as_attention() -> None:
    class Among(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = DeformableAttention(CONFIG, SHAPES)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x[..., :2].sigmoid(), x)

    with torch.device("meta"):
        counted = tally(Among(), torch.empty(2, PIXELS, 12))
    assert counted.attention_macs == 2 * sampling_macs(PIXELS, CONFIG) == 5 * 2 * PIXELS * 12 * 2 * 3
    linear = 2 * PIXELS * 12 * (12 + 12 + 3 * 12)  # value, out, and three numbers a place
    assert counted.macs == counted.attention_macs + linear


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_samples_no_memory_that_is_not_its_own(dtype: torch.dtype) -> None:
    h, w, queries = 12, 17, 279
    level = noise(1, queries, 8, 32).to(dtype).permute(0, 2, 3, 1)[0, ..., : h * w].unflatten(-1, (h, w))
    places, weights = torch.rand(8, queries, 4, 2), torch.full((8, queries, 4), 0.25)
    exact = weighted_sum(level.float(), places, weights)
    for _ in range(5):
        for size in (8 * 32 * queries * 4, 8 * 32 * queries, 8 * 32 * h * w):
            torch.full((size,), torch.nan, dtype=dtype)  # what freed memory may hold
        out = weighted_sum(level, places.to(dtype), weights.to(dtype))
        torch.testing.assert_close(out.float(), exact, atol=0.3, rtol=0)


def test_positions_are_sines_of_the_place_in_the_frame_whatever_the_level() -> None:
    table = sine_positions(((3, 5), (1, 1)), 8)
    assert table.shape == (1, 16, 8)
    y, x = (2 * torch.pi * torch.tensor(place) for place in (0.5, 0.5))
    expected = [f(p / 10_000 ** (step / 4)) for p in (y, x) for step in (0, 2) for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(table[0, 15], torch.stack(expected))
    torch.testing.assert_close(table[0, 7], table[0, 15])  # the middle of either level
