from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.relevance.attention_memory import (
    AttentionMemory,
    build,
    draw,
    frame_attention,
    macs,
    memory_rows,
    salient_frames,
)
from vbench_models.video import ModelError, TokenGrid

CONFIG = AttentionConfig(embed_dim=192, num_heads=4)


@pytest.fixture
def matrix(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> Tensor:
    """Twelve frames of a street, across a cut; sharpened, so that frames differ."""
    memory = AttentionMemory(AxisAttention(CONFIG, "t"))
    with torch.no_grad():
        drawn: Tensor = memory(10 * tokens(bikes[:, :, 24:36]))[0]
    return drawn


def test_every_frame_shares_out_the_whole_of_its_attention(matrix: Tensor) -> None:
    assert matrix.shape == (12, 12)
    torch.testing.assert_close(matrix.sum(-1), torch.ones(12))


def test_the_matrix_is_the_one_by_which_the_attention_sums_its_values() -> None:
    """One head and one position: nothing to average, so the matrix times v is the attention's output."""
    q, k, v = torch.randn(3, 2, 1, 6, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    out = AxisAttention(AttentionConfig(embed_dim=8, num_heads=1), "t").core(q, k, v)
    torch.testing.assert_close(frame_attention(q, k) @ v.flatten(1, 4).reshape(2, 6, 8), out.reshape(2, 6, 8))


def test_the_matrix_is_the_mean_over_heads_and_positions_of_an_attention_one_has(
    bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bunny[:, :, 36:44])
    attention = AxisAttention(CONFIG, "t")
    q, k, _ = attention.qkv(x).reshape(8, 8, 8, 3, 4, 48).unbind(3)
    matrices = [
        (q[:, h, w, head] @ k[:, h, w, head].T / 48**0.5).softmax(-1)
        for h in range(8)
        for w in range(8)
        for head in range(4)
    ]
    torch.testing.assert_close(AttentionMemory(attention)(x)[0], torch.stack(matrices).mean(0))


@pytest.mark.parametrize("count", [1, 3, 12])
def test_the_salient_frames_are_those_of_an_independent_sort(count: int, matrix: Tensor) -> None:
    for frame in range(12):
        row = matrix[frame].tolist()
        expected = sorted(((weight, -place) for place, weight in enumerate(row)), reverse=True)[:count]
        assert salient_frames(matrix, frame, count) == [(-place, weight) for weight, place in expected]


def test_of_equal_frames_the_earlier_is_listed_first() -> None:
    assert [salient.frame for salient in salient_frames(torch.full((4, 4), 0.25), 2, 3)] == [0, 1, 2]


def test_the_picture_has_a_row_for_each_frame_and_marks_its_salient_ones(matrix: Tensor, tmp_path: Path) -> None:
    figure = draw(matrix, count=3)
    axes = figure.axes[0]
    (image,) = axes.images
    torch.testing.assert_close(torch.as_tensor(image.get_array()), matrix)
    assert list(axes.get_yticks()) == list(range(12))
    marked = [sorted(zip(*line.get_data(), strict=True)) for line in axes.lines]
    assert marked == [
        sorted((salient.frame, row) for salient in salients) for row, salients in enumerate(memory_rows(matrix, 3))
    ]
    figure.savefig(tmp_path / "memory.png")
    assert (tmp_path / "memory.png").stat().st_size > 0


def test_frames_that_are_not_there_are_refused(matrix: Tensor) -> None:
    with pytest.raises(ModelError, match=r"^frame must be from 0 to 11, .*; got frame=12$"):
        salient_frames(matrix, 12, 1)
    with pytest.raises(ModelError, match=r"^count must be from 1 to 12, .*; got count=13$"):
        salient_frames(matrix, 0, 13)
    with pytest.raises(ModelError, match=r"must run along time, axes 't'; got axes='h w'$"):
        AttentionMemory(AxisAttention(CONFIG, "h w"))


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(5, 2, 3), TokenGrid(1, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    counted = count_macs(build(grid, 48, 4), (1, grid.t, grid.h, grid.w, 48))
    assert counted == macs(grid, AttentionConfig(embed_dim=48, num_heads=4))
