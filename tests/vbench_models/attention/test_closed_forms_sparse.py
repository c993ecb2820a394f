"""The price beside each sparse pattern against torch's counter, and what holds for all of them alike."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from vbench_models.attention import (
    block_local_global,
    constrained,
    knn,
    local_global_temporal,
    relative_rhythm,
    space_time_mixing,
    sparse_local_global,
    specious_present,
    strided,
)
from vbench_models.attention.core import CoreOnly
from vbench_models.video import TokenGrid

PATTERNS: dict[str, tuple[ModuleType, Callable[..., nn.Module]]] = {
    "sparse_local_global": (sparse_local_global, sparse_local_global.build),
    "local_global_temporal": (local_global_temporal, local_global_temporal.build),
    "local_global_windows": (local_global_temporal, local_global_temporal.build_windows),
    "strided": (strided, strided.build),
    "block_local_global": (block_local_global, block_local_global.build),
    "specious_present": (specious_present, specious_present.build),
    "specious_present_centred": (specious_present, specious_present.build_centred),
    "relative_rhythm": (relative_rhythm, relative_rhythm.build),
    "constrained": (constrained, constrained.build),
    "knn": (knn, knn.build),
    "space_time_mixing": (space_time_mixing, space_time_mixing.build),
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
    TokenGrid(6, 15, 16),
]
DIM, HEADS = 48, 6
POWERS = {  # of the cost, along t, h and w
    "strided": (2, 1, 1),
    "local_global_temporal": (2, 1, 1),
    "relative_rhythm": (2, 1, 1),
    "sparse_local_global": (2, 2, 2),
    "knn": (2, 2, 2),
    "space_time_mixing": (1, 2, 2),
    "local_global_windows": (1, 2, 2),
    "constrained": (2, 1, 1),
    "block_local_global": (1, 1, 1),
    "specious_present": (1, 1, 1),
    "specious_present_centred": (1, 1, 1),
}

every_pattern = pytest.mark.parametrize("name", PATTERNS)
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


def mixing_extra_macs(module: ModuleType, grid: TokenGrid, config: object) -> int:
    return int(module.mixing_extra_macs(grid, config)) if hasattr(module, "mixing_extra_macs") else 0


def clip(grid: TokenGrid, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, grid.t, grid.h, grid.w, DIM, generator=generator, dtype=torch.float64)


@every_grid
@every_pattern
def test_macs_equal_the_count_on_meta(name: str, grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    module, build = PATTERNS[name]
    pattern = build(grid, DIM, HEADS)
    assert module.macs(grid, pattern.config) == count_macs(pattern, 1, grid.t, grid.h, grid.w, DIM)


@every_grid
@every_pattern
def test_core_macs_equal_the_count_of_the_bare_core_on_meta(
    name: str, grid: TokenGrid, count_macs: Callable[..., int]
) -> None:
    module, build = PATTERNS[name]
    core = CoreOnly(build(grid, DIM, HEADS), HEADS)
    config = core.pattern.config
    expected = module.core_macs(grid, config) + mixing_extra_macs(module, grid, config)
    assert expected == count_macs(core, 1, grid.t, grid.h, grid.w, 3 * DIM)


@every_pattern
def test_a_pattern_is_built_on_the_meta_device(name: str, count_macs: Callable[..., int]) -> None:
    module, build = PATTERNS[name]
    grid = TokenGrid(5, 4, 3)
    with torch.device("meta"):
        pattern = build(grid, DIM, HEADS)
    assert module.macs(grid, pattern.config) == count_macs(pattern, 1, 5, 4, 3, DIM)


@every_pattern
def test_a_batch_costs_its_clips(name: str, count_macs: Callable[..., int]) -> None:
    module, build = PATTERNS[name]
    grid = TokenGrid(5, 9, 4)
    pattern = build(grid, DIM, HEADS)
    assert count_macs(pattern, 3, 5, 9, 4, DIM) == 3 * module.macs(grid, pattern.config)


@every_pattern
@pytest.mark.parametrize("axis", [0, 1, 2], ids="thw")
def test_the_core_grows_along_each_axis_with_the_power_of_the_closed_form(name: str, axis: int) -> None:
    """Where one axis is so long that lower powers have faded, twice its length is 2^power times the cost."""
    module, build = PATTERNS[name]
    with torch.device("meta"):
        config = build(TokenGrid(1, 1, 1), DIM, HEADS).config
    small = replace(TokenGrid(64, 56, 56), **{"thw"[axis]: 28 * 512})
    large = replace(small, **{"thw"[axis]: 28 * 1024})
    ratio = module.core_macs(large, config) / module.core_macs(small, config)
    assert ratio == pytest.approx(2 ** POWERS[name][axis], rel=0.01)


@every_grid
@every_pattern
def test_no_more_pairs_are_useful_than_are_computed(name: str, grid: TokenGrid) -> None:
    module, build = PATTERNS[name]
    config = build(grid, DIM, HEADS).config
    assert 0 < module.useful_pairs(grid, config) <= module.computed_pairs(grid, config)


@every_pattern
@pytest.mark.parametrize("grid", [TokenGrid(5, 4, 3), TokenGrid(6, 9, 8), TokenGrid(1, 1, 1)], ids=str)
def test_a_batch_of_two_equals_two_clips(name: str, grid: TokenGrid) -> None:
    _, build = PATTERNS[name]
    pattern, x = build(grid, DIM, HEADS).double(), clip(grid, 2)
    torch.testing.assert_close(pattern(x), torch.cat((pattern(x[:1]), pattern(x[1:]))))


@every_pattern
def test_a_bare_core_equals_the_core_of_its_pattern(name: str, qkv: Callable[..., list[Tensor]]) -> None:
    _, build = PATTERNS[name]
    grid = TokenGrid(5, 4, 3)
    pattern = build(grid, 12, 4)
    q, k, v = qkv(grid)
    expected = pattern.core(q, k, v)
    projected = torch.cat([x.permute(0, 2, 3, 4, 1, 5).flatten(4) for x in (q, k, v)], dim=-1)
    torch.testing.assert_close(CoreOnly(pattern, 4)(projected), expected)


@every_pattern
def test_every_token_of_the_input_gets_a_finite_gradient(name: str) -> None:
    _, build = PATTERNS[name]
    grid = TokenGrid(5, 9, 8)
    x = clip(grid, 1).requires_grad_()
    build(grid, DIM, HEADS).double()(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.abs().sum(-1) > 0).all()


@every_pattern
def test_every_parameter_gets_a_gradient(name: str) -> None:
    _, build = PATTERNS[name]
    grid = TokenGrid(5, 9, 8)
    pattern = build(grid, DIM, HEADS).double()
    pattern(clip(grid, 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pattern.parameters())


@every_pattern
def test_index_buffers_stay_out_of_the_checkpoint(name: str) -> None:
    _, build = PATTERNS[name]
    pattern = build(TokenGrid(5, 9, 8), DIM, HEADS)
    assert set(pattern.state_dict()) == {name for name, _ in pattern.named_parameters()}


@every_pattern
def test_the_gradient_of_the_core_is_its_numerical_one(name: str, qkv: Callable[..., list[Tensor]]) -> None:
    """Overlapping views of keys add up what each of their readers sends back."""
    _, build = PATTERNS[name]
    grid = TokenGrid(5, 3, 4)
    core = build(grid, 12, 4).double().core
    assert torch.autograd.gradcheck(core, [x.requires_grad_() for x in qkv(grid)], fast_mode=True)
