"""The prices of the pooled, pruned, low-rank and state-space patterns against two counters, term by term."""

from collections.abc import Callable
from math import log2
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from vbench.measure.count import tally
from vbench_models.attention import (
    linformer,
    memory_cross,
    performer,
    pooling,
    pruned,
    s4,
    selective_scan,
    temporal_pyramid,
    token_selection,
)
from vbench_models.attention.core import CoreOnly
from vbench_models.video import TokenGrid

FILES: dict[str, ModuleType] = {
    "pruned": pruned,
    "token_selection": token_selection,
    "temporal_pyramid": temporal_pyramid,
    "pooling": pooling,
    "memory_cross": memory_cross,
    "performer": performer,
    "linformer": linformer,
    "s4": s4,
    "selective_scan": selective_scan,
}
GRIDS = [
    TokenGrid(1, 1, 1),
    TokenGrid(1, 7, 7),
    TokenGrid(2, 3, 5),
    TokenGrid(3, 1, 4),
    TokenGrid(5, 4, 1),
    TokenGrid(7, 5, 3),
    TokenGrid(4, 8, 8),
    TokenGrid(8, 14, 14),
    TokenGrid(8, 13, 9),
    TokenGrid(16, 14, 10),
    TokenGrid(9, 7, 21),
    TokenGrid(32, 2, 2),
    TokenGrid(11, 11, 11),
    TokenGrid(16, 28, 28),
]
DIM, HEADS = 48, 6
IN_CORE = ("pruned", "token_selection", "pooling", "memory_cross", "performer", "linformer", "s4")  # extra, too
CHOICES = ("pruned", "token_selection")

every_pattern = pytest.mark.parametrize("name", FILES)
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


def on_meta(name: str, grid: TokenGrid) -> nn.Module:
    with torch.device("meta"):
        pattern: nn.Module = FILES[name].build(grid, DIM, HEADS)
    return pattern


def mixing_extra_macs(name: str, grid: TokenGrid, pattern: nn.Module) -> int:
    price = getattr(FILES[name], "mixing_extra_macs", None)
    return price(grid, pattern.config) if price else 0


@every_grid
@every_pattern
def test_macs_equal_the_count_on_meta(name: str, grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    pattern = on_meta(name, grid)
    assert FILES[name].macs(grid, pattern.config) == count_macs(pattern, 1, grid.t, grid.h, grid.w, DIM)


@every_grid
@every_pattern
def test_core_and_extra_are_told_apart_as_the_files_say(name: str, grid: TokenGrid) -> None:
    pattern = on_meta(name, grid)
    counted = tally(pattern, torch.empty(1, grid.t, grid.h, grid.w, DIM, device="meta"))
    assert counted.macs == FILES[name].macs(grid, pattern.config)
    assert counted.mixing_extra_macs == mixing_extra_macs(name, grid, pattern)
    assert counted.attention_macs == FILES[name].core_macs(grid, pattern.config)


@every_grid
@every_pattern
def test_the_bare_core_costs_the_core_and_the_extra_within_it(
    name: str, grid: TokenGrid, count_macs: Callable[..., int]
) -> None:
    core = CoreOnly(on_meta(name, grid), HEADS)
    expected = FILES[name].core_macs(grid, core.pattern.config)
    expected += mixing_extra_macs(name, grid, core.pattern) if name in IN_CORE else 0
    assert count_macs(core, 1, grid.t, grid.h, grid.w, 3 * DIM) == expected


@every_pattern
def test_a_batch_costs_its_clips(name: str, count_macs: Callable[..., int]) -> None:
    grid = TokenGrid(2, 3, 5)
    pattern = on_meta(name, grid)
    one, three = (count_macs(pattern, batch, 2, 3, 5, DIM) for batch in (1, 3))
    once = 0
    if name == "s4":  # the kernel and its transform serve the whole batch
        once = s4.kernel_macs(grid, pattern.config) + DIM * (2 * 3 * 5 * 5 * log2(60) // 2 + 1)
    assert three - once == 3 * (one - once)


@every_pattern
def test_two_clips_in_a_batch_are_two_clips(name: str) -> None:
    torch.manual_seed(0)
    grid = TokenGrid(3, 4, 5)
    pattern = FILES[name].build(grid, DIM, HEADS).double()
    x = torch.randn(2, 3, 4, 5, DIM, dtype=torch.float64)
    torch.testing.assert_close(pattern(x), torch.cat((pattern(x[:1]), pattern(x[1:]))))


@every_pattern
def test_half_precision_stays_near_single(name: str) -> None:
    torch.manual_seed(0)
    pattern = FILES[name].build(TokenGrid(3, 4, 5), DIM, HEADS)
    x = torch.randn(1, 3, 4, 5, DIM)
    single = pattern(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = pattern(x)
    half = pattern.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    if name not in CHOICES:  # a choice between near equals may fall differently
        scale = single.abs().amax().item()
        rounded = 0.15 if name == "s4" else 0.05  # frequencies of 8 bits drift out of phase
        torch.testing.assert_close(mixed.float(), single, atol=0.05 * scale, rtol=0)
        torch.testing.assert_close(half.float(), single, atol=rounded * scale, rtol=0)


@every_pattern
def test_every_parameter_but_a_hard_choice_learns(name: str) -> None:
    torch.manual_seed(0)
    pattern = FILES[name].build(TokenGrid(4, 5, 3), DIM, HEADS)
    x = torch.randn(1, 4, 5, 3, DIM, requires_grad=True)
    pattern(x).square().sum().backward()
    still = {key.split(".")[0] for key, value in pattern.named_parameters() if value.grad is None}
    assert still == ({"score"} if name == "pruned" else set())
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0


@every_pattern
def test_core_runs_without_the_projections(name: str) -> None:
    torch.manual_seed(0)
    pattern = FILES[name].build(TokenGrid(3, 4, 5), DIM, HEADS)
    qkv = torch.randn(2, 3, 4, 5, 3 * DIM)
    q, k, v = qkv.unflatten(-1, (3, HEADS, DIM // HEADS)).permute(4, 0, 5, 1, 2, 3, 6)
    expected: Tensor = pattern.core(q, k, v)
    assert expected.shape == q.shape
    torch.testing.assert_close(CoreOnly(pattern, HEADS)(qkv), expected)


# how the core grows when one axis doubles, from a grid on which every block and stride is whole

DOUBLED = [TokenGrid(32, 32, 32), TokenGrid(16, 64, 32), TokenGrid(16, 32, 64)]
POWERS = {
    "pruned": 2,
    "token_selection": 2,
    "temporal_pyramid": 2,
    "pooling": 2,
    "memory_cross": 2,
    "performer": 1,
    "linformer": 1,
    "selective_scan": 1,
}


@pytest.mark.parametrize("grid", DOUBLED, ids=str)
@pytest.mark.parametrize("name", POWERS)
def test_the_core_grows_by_its_power_along_every_axis(name: str, grid: TokenGrid) -> None:
    config, core_macs = on_meta(name, grid).config, FILES[name].core_macs
    assert core_macs(grid, config) == 2 ** POWERS[name] * core_macs(TokenGrid(16, 32, 32), config)


@pytest.mark.parametrize("grid", DOUBLED, ids=str)
def test_the_convolution_of_s4_grows_as_n_log_n_along_every_axis(grid: TokenGrid) -> None:
    config, before = on_meta("s4", grid).config, TokenGrid(16, 32, 32)

    def transforms(grid: TokenGrid) -> int:  # 2 n = 2^15 and 2^16: no rounding
        products = 3 * DIM * (grid.tokens + 1)
        return s4.core_macs(grid, config) - products

    assert transforms(grid) * 15 == transforms(before) * 2 * 16
