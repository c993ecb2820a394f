from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.timesformer import (
    TIMESFORMER_B,
    BlockBuilder,
    CoarseStep,
    QuadrantStep,
    SpaceOnlyTimeSformer,
    TimeSformer,
    axial_block,
    divided_block,
    joint_block,
    local_global_block,
    space_first_block,
    timesformer_b,
    timesformer_b_axial,
    timesformer_b_joint,
    timesformer_b_local_global,
    timesformer_b_space,
    timesformer_b_space_first,
)
from vbench_models.layers.attention import MultiHeadAttention
from vbench_models.layers.steps import COLUMNS, FRAMES, ROWS, FrameStep, TimeStep
from vbench_models.video import Clip, TokenGrid, UnsupportedClipError

BUILDERS = [
    timesformer_b,
    timesformer_b_space_first,
    timesformer_b_space,
    timesformer_b_joint,
    timesformer_b_local_global,
    timesformer_b_axial,
]
TINY = replace(TIMESFORMER_B, embed_dim=24, depth=2, num_heads=3, num_classes=5)
GRID = TokenGrid(3, 3, 4)
BLOCKS = [divided_block, space_first_block, joint_block, local_global_block, axial_block]
SMALL = [partial(SpaceOnlyTimeSformer, TINY), *(partial(TimeSformer, TINY, block=block) for block in BLOCKS)]

every_scheme = pytest.mark.parametrize("build", BUILDERS)


def params_and_macs(build: Callable[[Clip], nn.Module], frames: int, size: int = 224) -> tuple[int, int]:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(Clip(frames=frames, height=size, width=size))
        assert model(torch.empty(1, 3, frames, size, size)).shape == (1, 400)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("build", "frames", "size", "params", "macs"),
    [
        (timesformer_b, 8, 224, 121_566_352, 195_830_280_192),
        (timesformer_b, 5, 96, 121_441_168, 22_105_749_504),
        (timesformer_b, 16, 448, 122_024_080, 1_702_685_650_944),
        (timesformer_b, 96, 224, 121_633_936, 2_379_856_982_016),
        (timesformer_b_space, 8, 224, 86_106_256, 140_504_788_992),
        (timesformer_b_space, 5, 96, 85_983_376, 15_945_553_920),
        (timesformer_b_joint, 8, 224, 86_112_400, 179_562_805_248),
        (timesformer_b_joint, 5, 96, 85_987_216, 16_083_499_008),
    ],
)
def test_parameters_and_macs_are_those_of_the_official_code(
    build: Callable[[Clip], nn.Module], frames: int, size: int, params: int, macs: int
) -> None:
    assert params_and_macs(build, frames, size) == (params, macs)


@pytest.mark.parametrize(
    ("build", "params", "published"),
    [(timesformer_b_local_global, 121_566_352, 121.4), (timesformer_b_axial, 157_020_304, 156.8)],
)
def test_schemes_without_official_code_have_the_parameters_of_the_paper(
    build: Callable[[Clip], nn.Module], params: int, published: float
) -> None:
    """Table 1 counts a head for the 174 classes of Something-Something, 226 less than Kinetics has."""
    counted, _ = params_and_macs(build, 8)
    assert counted == params
    assert round((counted - 226 * (768 + 1)) / 1e6, 1) == published


@pytest.mark.parametrize(("frames", "size"), [(8, 224), (5, 96)])
def test_the_order_of_time_and_space_changes_no_count(frames: int, size: int) -> None:
    assert params_and_macs(timesformer_b_space_first, frames, size) == params_and_macs(timesformer_b, frames, size)


def macs_of_embedding_mlps_and_head(grid: TokenGrid) -> int:
    return 768**2 * grid.tokens + 12 * 8 * 768**2 * (1 + grid.tokens) + 768 * 400


@pytest.mark.parametrize(("frames", "side"), [(8, 14), (5, 7)])
def test_local_global_macs_are_those_of_its_definition(frames: int, side: int) -> None:
    """Quadrants counted patch by patch; no key or value is projected for a patch that no query asks."""
    grid = TokenGrid(frames, side, side)
    quadrant = [(h >= (side + 1) // 2, w >= (side + 1) // 2) for h in range(side) for w in range(side)] * frames
    near = sum(quadrant.count(one) ** 2 for one in set(quadrant))
    asked = 1 + len(range(0, frames, 2)) * len(range(0, side, 2)) ** 2
    tokens = 1 + grid.tokens
    local_step = 5 * 768**2 * grid.tokens + 2 * 768 * near
    global_step = 2 * 768**2 * (tokens + asked) + 2 * 768 * tokens * asked
    expected = macs_of_embedding_mlps_and_head(grid) + 12 * (local_step + global_step)
    assert params_and_macs(timesformer_b_local_global, frames, 16 * side)[1] == expected


@pytest.mark.parametrize(("frames", "side"), [(8, 14), (5, 7)])
def test_axial_macs_are_those_of_its_definition(frames: int, side: int) -> None:
    """Each row and each column is one patch longer, by the class token's copy."""
    grid = TokenGrid(frames, side, side)
    lines, length = frames * side, side + 1
    time = 5 * 768**2 * grid.tokens + 2 * 768 * grid.tokens * frames
    rows_and_columns = (5 + 4) * 768**2 * lines * length + 2 * (2 * 768 * lines * length**2)
    expected = macs_of_embedding_mlps_and_head(grid) + 12 * (time + rows_and_columns)
    assert params_and_macs(timesformer_b_axial, frames, 16 * side)[1] == expected


@pytest.mark.parametrize(("build", "giga_macs"), [(timesformer_b, 785.9), (timesformer_b_joint, 1261.8)])
def test_at_32_frames_the_official_macs_remain(build: Callable[[Clip], nn.Module], giga_macs: float) -> None:
    assert round(params_and_macs(build, 32)[1] / 1e9, 1) == giga_macs


@pytest.mark.parametrize("build", SMALL)
@pytest.mark.parametrize("size", [(2, 32, 32), (1, 16, 48), (3, 48, 16)])
def test_clips_of_several_sizes_run(build: Callable[[Clip], nn.Module], size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = build(Clip(frames=frames, height=height, width=width)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


@every_scheme
def test_a_clip_that_the_patches_do_not_tile_is_refused(build: Callable[[Clip], nn.Module]) -> None:
    message = r"^width must be a multiple of 16, the tubelet's; got width=230, nearest: 224, 240$"
    with pytest.raises(UnsupportedClipError, match=message):
        build(Clip(frames=8, height=224, width=230))


def shuffled_and_not(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Logits of a clip with its frames reversed, and as it is."""
    video = torch.randn(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        return model.double()(video.flip(2)), model(video)


def test_space_only_does_not_see_the_order_of_the_frames() -> None:
    torch.testing.assert_close(*shuffled_and_not(SpaceOnlyTimeSformer(TINY, Clip(frames=3, height=32, width=32))))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_order_of_the_frames_is_seen_only_by_the_table_of_times(block: BlockBuilder) -> None:
    """Of three frames, reversed, the middle one stays, and so do the even ones that the global step asks."""
    model = TimeSformer(TINY, Clip(frames=3, height=32, width=32), block)
    assert not torch.allclose(*shuffled_and_not(model))
    nn.init.zeros_(model.tokens.times)
    torch.testing.assert_close(*shuffled_and_not(model))


def tokens() -> Tensor:
    return torch.randn(2, 1 + GRID.tokens, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def attended(attention: MultiHeadAttention, x: Tensor, allowed: Tensor) -> Tensor:
    """Dense attention among all tokens of a sequence under a mask, by torch's own function."""
    q, k, v = rearrange(attention.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=3)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    return attention.proj(rearrange(out, "b heads n d -> b n (heads d)"))


def same(*axes: str) -> Tensor:
    """Which two patches agree in these axes, n x n."""
    places = torch.cartesian_prod(*(torch.arange(extent) for extent in (GRID.t, GRID.h, GRID.w)))
    kept = places[:, ["thw".index(axis) for axis in axes]]
    return (kept[:, None] == kept[None]).all(-1)


def test_the_time_step_is_dense_attention_among_equal_positions_and_leaves_the_class_token() -> None:
    step, x = TimeStep(TINY.attention, GRID).double(), tokens()
    expected = x[:, 1:] + step.fc(attended(step.attention, step.norm(x[:, 1:]), same("h", "w")))
    torch.testing.assert_close(step(x)[:, 1:], expected)
    assert torch.equal(step(x)[:, 0], x[:, 0])


@pytest.mark.parametrize(("groups", "axes"), [(FRAMES, "t"), (ROWS, "th"), (COLUMNS, "tw")])
def test_the_frame_step_is_dense_attention_in_each_group_and_averages_its_class_tokens(groups: str, axes: str) -> None:
    step, x = FrameStep(TINY.attention, GRID, groups, nn.Linear(24, 24)).double(), tokens()
    neighbours = same(*axes)
    allowed = F.pad(neighbours, (1, 0, 1, 0), value=True)
    torch.testing.assert_close(
        step(x)[:, 1:], x[:, 1:] + step.fc(attended(step.attention, step.norm(x), allowed))[:, 1:]
    )
    of_groups = []
    for group in neighbours.unique(dim=0):
        allowed[0, 1:] = group
        of_groups.append(step.fc(attended(step.attention, step.norm(x), allowed))[:, 0])
    torch.testing.assert_close(step(x)[:, 0], x[:, 0] + torch.stack(of_groups).mean(0))


def test_the_quadrant_step_is_dense_attention_in_each_quadrant_and_leaves_the_class_token() -> None:
    step, x = QuadrantStep(TINY.attention, GRID).double(), tokens()
    places = torch.cartesian_prod(*(torch.arange(extent) for extent in (GRID.t, GRID.h, GRID.w)))
    quadrant = torch.stack((places[:, 1] >= 2, places[:, 2] >= 2), dim=1)  # rows 0, 1 | 2 and columns 0, 1 | 2, 3
    allowed = (quadrant[:, None] == quadrant[None]).all(-1)
    expected = x[:, 1:] + step.fc(attended(step.attention, step.norm(x[:, 1:]), allowed))
    torch.testing.assert_close(step(x)[:, 1:], expected)
    assert torch.equal(step(x)[:, 0], x[:, 0])


def test_the_coarse_step_is_dense_attention_over_the_class_token_and_every_second_patch() -> None:
    step, x = CoarseStep(TINY.attention, GRID).double(), tokens()
    dense = MultiHeadAttention(TINY.attention).double()
    state = {f"proj.{kind}": getattr(step.proj, kind) for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        state[f"qkv.{kind}"] = torch.cat((getattr(step.query, kind), getattr(step.key_value, kind)))
    dense.load_state_dict(state)
    places = torch.cartesian_prod(*(torch.arange(extent) for extent in (GRID.t, GRID.h, GRID.w)))
    asked = F.pad((places % 2 == 0).all(-1), (1, 0), value=True)
    torch.testing.assert_close(step(x), x + attended(dense, step.norm(x), asked.expand(len(asked), -1)))


def test_with_time_silent_both_orders_of_the_divided_block_are_the_same() -> None:
    first, second = divided_block(TINY, GRID).double(), space_first_block(TINY, GRID).double()
    second.load_state_dict(first.state_dict())
    assert not torch.allclose(first(tokens()), second(tokens()))
    for block in (first, second):
        nn.init.zeros_(block.steps["time"].fc.weight)
        nn.init.zeros_(block.steps["time"].fc.bias)
    torch.testing.assert_close(first(tokens()), second(tokens()))
