from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor

from vbench_models.relevance.dynamic_frame_sampling import (
    MotionConfig,
    PolicyConfig,
    SamplingPolicy,
    build,
    frame_claims,
    macs,
    motion_energy,
    moved_baseline,
    order_log_prob,
    reinforce_loss,
    sample_by_motion,
)
from vbench_models.video import ModelError, TokenGrid


def frozen(video: Tensor, first: int, last: int) -> Tensor:
    """The video with the frames from `first` to `last` standing still."""
    still = video.clone()
    still[:, :, first : last + 1] = video[:, :, first : first + 1]
    return still


def within(frames: Tensor, first: int, last: int) -> int:
    return int(((frames >= first) & (frames <= last)).sum())


def test_motion_is_the_mean_difference_to_the_frame_before(bikes: Tensor) -> None:
    energy = motion_energy(bikes[:, :, :6])[0]
    assert energy[0] == 0
    for t in range(1, 6):
        torch.testing.assert_close(energy[t], (bikes[0, :, t] - bikes[0, :, t - 1]).abs().mean())


@pytest.mark.parametrize("budget", [1, 2, 7, 16, 50, 111, 112, 500])
def test_frames_are_sorted_distinct_and_as_many_as_the_budget_allows(budget: int, bikes: Tensor, bunny: Tensor) -> None:
    energy = torch.cat((motion_energy(bikes), motion_energy(bunny[:, :, :112]), torch.zeros(1, 112)))
    taken = sample_by_motion(energy, MotionConfig(budget=budget))
    assert taken.shape == (3, min(budget, 112))
    assert (taken.diff(dim=-1) > 0).all()
    assert taken.min() >= 0
    assert taken.max() < 112


def test_a_frozen_stretch_of_a_real_video_gets_few_frames_and_the_moving_rest_the_others(bikes: Tensor) -> None:
    """Frames 41 to 72 of 112 stand still: 2/7 of the video, which evenly spread would be 8 frames of 28."""
    taken = sample_by_motion(motion_energy(frozen(bikes, 40, 72)), MotionConfig(budget=28))
    assert 0 < within(taken, 41, 72) <= 1
    assert taken.shape == (1, 28)


def test_the_fast_seconds_of_a_real_video_get_more_frames_than_the_slow_ones(bunny: Tensor) -> None:
    energy = motion_energy(bunny)
    taken = sample_by_motion(energy, MotionConfig(budget=33))
    halves = [
        (within(taken, start, start + 21), float(energy[0, start : start + 22].sum())) for start in range(0, 132, 22)
    ]
    by_motion = [count for count, _ in sorted(halves, key=lambda half: half[1])]
    assert by_motion == sorted(by_motion)
    assert by_motion[-1] >= 3 * by_motion[0]


def test_without_motion_frames_are_taken_at_equal_steps() -> None:
    taken = sample_by_motion(torch.zeros(1, 12), MotionConfig(budget=4))
    assert taken.tolist() == [[1, 4, 7, 10]]  # the middles of four runs of three


def test_an_even_share_of_one_is_blind_to_motion(bikes: Tensor) -> None:
    config = MotionConfig(budget=16, even_share=1.0)
    assert torch.equal(sample_by_motion(motion_energy(bikes), config), sample_by_motion(torch.zeros(1, 112), config))


@pytest.mark.parametrize("budget", [1, 8, 40, 111])
def test_claims_sum_to_the_budget_none_exceeds_one_and_the_rest_are_in_proportion(budget: int, bikes: Tensor) -> None:
    energy = motion_energy(bikes)
    claims = frame_claims(energy, MotionConfig(budget=budget, even_share=0.2))[0]
    torch.testing.assert_close(claims.sum(), torch.tensor(budget, dtype=torch.float64))
    assert claims.max() <= 1
    weights = 0.2 / 112 + 0.8 * energy[0].double() / energy[0].double().sum()
    rates = (claims / weights)[claims < 0.999]
    torch.testing.assert_close(rates, rates[:1].expand_as(rates))
    assert (weights[claims >= 0.999] * rates[0] >= 0.998).all()


def test_the_probabilities_of_all_orders_sum_to_one() -> None:
    scores = torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    orders = torch.tensor(list(permutations(range(5))))
    whole = order_log_prob(scores.expand(120, 5), orders, 5).exp()
    torch.testing.assert_close(whole.sum(), torch.tensor(1.0, dtype=torch.float64))
    chance = scores[0].softmax(-1)
    pairs = {(a, b): float(chance[a] * chance[b] / (1 - chance[a])) for a, b in permutations(range(5), 2)}
    for order, log_prob in zip(orders, order_log_prob(scores.expand(120, 5), orders, 2), strict=True):
        assert float(log_prob.exp()) == pytest.approx(pairs[int(order[0]), int(order[1])])


def test_frames_are_drawn_as_often_as_their_probability_says() -> None:
    policy = SamplingPolicy(PolicyConfig(budget=1, embed_dim=4))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 2, 2, 4, generator=generator)
    with torch.no_grad():
        chance = policy.scores(10 * x).softmax(-1)[0]
        drawn, log_prob = policy.draw(10 * x.expand(20000, -1, -1, -1, -1), generator)
    often = drawn[:, 0].bincount(minlength=4) / 20000
    torch.testing.assert_close(often, chance, atol=0.02, rtol=0)  # five deviations of a mean of 20000
    torch.testing.assert_close(log_prob.exp(), chance[drawn[:, 0]])


def test_the_policy_learns_from_rewards_alone_to_take_the_moving_frames(
    bikes: Tensor, bunny: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    """Nine frames of 16 stand still; the reward is the share of taken frames that move, 7/16 by chance."""
    x = tokens(torch.cat((frozen(bikes[:, :, 31:47], 0, 8), frozen(bunny[:, :, 31:47], 7, 15)))).repeat(16, 1, 1, 1, 1)
    moving = torch.zeros(2, 16)
    moving[0, 9:], moving[1, 1:8] = 1, 1
    moving = moving.repeat(16, 1)
    policy = SamplingPolicy(PolicyConfig(budget=6, embed_dim=192, score_dim=16))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    baseline, rewards = torch.tensor(0.5), []
    for _ in range(60):
        draw = policy.draw(x, generator)
        reward = moving.gather(1, draw.frames).mean(-1)
        optimizer.zero_grad()
        reinforce_loss(draw.log_prob, reward, baseline).backward()
        optimizer.step()
        baseline = moved_baseline(baseline, reward)
        rewards.append(float(reward.mean()))
    assert rewards[0] < 0.6
    assert sum(rewards[-5:]) / 5 > 0.9
    assert moving.gather(1, policy(x)).mean() > 0.9
    unseen = tokens(torch.cat((frozen(bikes[:, :, 80:96], 4, 12), frozen(bunny[:, :, 17:33], 0, 8))))
    assert within(policy(unseen)[0], 5, 12) + within(policy(unseen)[1], 0, 8) <= 3  # of 12; 6.4 by chance


def test_the_policy_takes_its_highest_scores_in_order_of_time(
    bikes: Tensor, tokens: Callable[[Tensor], Tensor]
) -> None:
    x = tokens(bikes[:, :, 24:40])
    policy = SamplingPolicy(PolicyConfig(budget=5, embed_dim=192))
    scores = policy.scores(x)[0].tolist()
    assert policy(x)[0].tolist() == sorted(sorted(range(16), key=lambda frame: -scores[frame])[:5])


def test_the_gradient_of_the_loss_is_that_of_the_expected_reward() -> None:
    """Over all ordered pairs of four frames, weighted by their probabilities; the baseline falls out."""
    scores = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    orders = torch.tensor(list(permutations(range(4))))
    reward = orders[:, :2].double().square().sum(-1)
    log_prob = order_log_prob(scores.expand(24, 4), orders, 2)
    chance = log_prob.exp() / 2  # each pair heads two of the orders
    (expected,) = torch.autograd.grad((chance * reward).sum(), scores, retain_graph=True)
    baseline = torch.tensor(7.0, dtype=torch.float64)
    losses = [chance[i].detach() * reinforce_loss(log_prob[i : i + 1], reward[i : i + 1], baseline) for i in range(24)]
    (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), scores)
    torch.testing.assert_close(gradient, -expected)


@pytest.mark.parametrize("grid", [TokenGrid(8, 14, 14), TokenGrid(5, 2, 3), TokenGrid(1, 1, 1)], ids=str)
def test_the_closed_form_equals_the_counter(grid: TokenGrid, count_macs: Callable[..., int]) -> None:
    policy = build(grid, 48, 4)
    assert policy.config.budget == (grid.t + 1) // 2
    assert count_macs(policy, (1, grid.t, grid.h, grid.w, 48)) == macs(grid, policy.config)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ModelError, match=r"^budget must be at least 1; got budget=0$"):
        MotionConfig(budget=0)
    with pytest.raises(ModelError, match=r"^even_share must be a fraction from 0 to 1; got even_share=1.5$"):
        MotionConfig(even_share=1.5)
