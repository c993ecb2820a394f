from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vbench_models.relevance.predictive_coding import (
    Foreseen,
    PredictiveCoding,
    PredictiveConfig,
    build,
    frames_before,
    macs,
    news_weights,
    surprise,
)
from vbench_models.relevance.scoring import frame_means
from vbench_models.video import TokenGrid

CONFIG = PredictiveConfig(embed_dim=192)


def trained(frames: Tensor, steps: int) -> tuple[PredictiveCoding, list[float]]:
    """A predictor after some steps of gradient descent on its surprise, and the surprise before each."""
    attention = PredictiveCoding(CONFIG)
    optimizer = torch.optim.Adam(attention.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = surprise(attention.foresee(frames))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return attention, losses


@pytest.mark.parametrize("steps", [0, 40])
def test_a_cut_in_a_real_video_draws_the_most_attention(
    steps: int, bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    """Frame 30 begins a new shot; before it, the predictor saw nothing but the shot that it was trained on."""
    attention, _ = trained(frame_means(tokens(bikes[:, :, :30])), steps)
    weights = attention(tokens(bikes[:, :, 20:40])).weights[0]
    assert int(weights.argmax()) == 10
    assert weights[10] > 3 * weights[:10].max()


def test_a_frame_from_another_video_draws_attention_and_so_does_the_return(
    bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bikes[:, :, :16])
    x[:, 7] = tokens(bunny[:, :, 40:41])[:, 0]
    weights = PredictiveCoding(CONFIG)(x).weights[0]
    assert set(weights.topk(2).indices.tolist()) == {7, 8}


def test_surprise_falls_with_training(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> None:
    _, losses = trained(frame_means(tokens(bikes[:, :, :30])), 40)
    assert losses[-1] < losses[0] - 1


def test_a_still_clip_is_weighted_evenly_and_summed_up_as_its_frame(
    bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bikes[:, :, :1].expand(-1, -1, 6, -1, -1))
    summary, weights = PredictiveCoding(CONFIG)(x)
    torch.testing.assert_close(weights, torch.full((1, 6), 1 / 6))
    torch.testing.assert_close(summary, frame_means(x)[:, 0])


def test_untrained_each_frame_is_expected_as_the_one_before(bikes: Tensor, tokens: Callable[[Tensor], Tensor]) -> None:
    frames = frame_means(tokens(bikes[:, :, :8]))
    error, log_precision = PredictiveCoding(CONFIG).foresee(frames)
    torch.testing.assert_close(error[:, 1:], frames[:, 1:] - frames[:, :-1])
    assert not error[:, 0].any()
    assert not log_precision.any()


def test_weights_are_in_proportion_to_precision_times_error() -> None:
    generator = torch.Generator().manual_seed(0)
    error, log_precision = torch.randn(2, 1, 5, 3, generator=generator)
    weights = news_weights(Foreseen(error, log_precision))[0]
    news = [
        sum(float(p.exp() * e.abs()) for p, e in zip(ps, es, strict=True))
        for ps, es in zip(log_precision[0], error[0], strict=True)
    ]
    torch.testing.assert_close(weights, torch.tensor(news) / sum(news), atol=1e-5, rtol=1e-4)
    assert float(weights.sum()) == pytest.approx(1)


def test_the_precision_of_least_surprise_is_the_inverse_of_the_mean_squared_error(
    bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    error = PredictiveCoding(CONFIG).foresee(frame_means(tokens(bikes[:, :, :30]))).error.detach()
    log_precision = -error.square().mean((0, 1)).log()
    log_precision.requires_grad_()
    surprise(Foreseen(error, log_precision.expand_as(error))).backward()
    assert log_precision.grad is not None
    torch.testing.assert_close(log_precision.grad, torch.zeros(192), atol=1e-6, rtol=0)


def test_a_frame_is_foreseen_from_the_frames_before_it_alone() -> None:
    attention = PredictiveCoding(PredictiveConfig(embed_dim=4, history=3))
    torch.nn.init.normal_(attention.predict.weight)
    frames = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0))
    other = frames.clone()
    other[:, 4] += 1
    (error, precision), (other_error, other_precision) = attention.foresee(frames), attention.foresee(other)
    assert (error != other_error).any(-1)[0].tolist() == [False] * 4 + [True] * 4
    assert (precision != other_precision).any(-1)[0].tolist() == [False] * 5 + [True] * 3


def test_before_the_clip_its_first_frame_stood_still() -> None:
    frames = torch.arange(5.0).reshape(1, 5, 1)
    assert frames_before(frames, 3)[0, ..., 0].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(5, 2, 3), TokenGrid(1, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    attention = build(grid, 48, 4)
    assert count_macs(attention, (1, grid.t, grid.h, grid.w, 48)) == macs(grid, attention.config)
