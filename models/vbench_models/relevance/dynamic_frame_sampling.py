"""Dynamic frame sampling: under a budget, more frames where a video is fast and fewer where it stands still.

By rule: Zhi et al., "MGSampler: An Explainable Sampling Strategy for Video Action Recognition", ICCV 2021, sec. 3,
https://arxiv.org/abs/2104.09952, takes frames at equal steps of the accumulated motion, measured by frame differences.
Differs from the paper: motion is that of pixels alone; a share of the budget is spread evenly, where the paper takes a
power of the motion; and no frame is taken twice: what a frame could claim beyond one goes to the others in proportion.

Learned: a small policy drawn from and trained by REINFORCE (Williams, "Simple Statistical Gradient-Following Algorithms
for Connectionist Reinforcement Learning", 1992, https://doi.org/10.1007/BF00992696), as in Wu et al., "AdaFrame:
Adaptive Frame Selection for Fast Video Recognition", CVPR 2019, sec. 3, https://arxiv.org/abs/1811.12432. Differs from
the paper: no recurrence over glimpses; all frames are drawn at once, without replacement, by perturbed scores (Kool et
al., "Stochastic Beams and Where to Find Them", ICML 2019, https://arxiv.org/abs/1903.06059).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vbench_models.layers.neighborhoods import at_least
from vbench_models.relevance.scoring import Score, change, frame_means, score_macs
from vbench_models.video import ModelError, TokenGrid

CERTAIN = 1 - 1e-9  # a claim of one frame, less what keeps rounding from taking it twice


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """Frames to take, and the share of them that is spread evenly, whatever the motion.

    Raises:
        ModelError: a budget below 1, or a share outside [0, 1].
    """

    budget: int = 8
    even_share: float = 0.1

    def __post_init__(self) -> None:
        at_least(1, budget=self.budget)
        if not 0 <= self.even_share <= 1:
            raise ModelError(f"even_share must be a fraction from 0 to 1; got even_share={self.even_share}")


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Frames to take, channels of a token and the policy's hidden channels.

    Raises:
        ModelError: one of them is below 1.
    """

    budget: int = 8
    embed_dim: int = 768
    score_dim: int = 64

    def __post_init__(self) -> None:
        at_least(1, budget=self.budget, embed_dim=self.embed_dim, score_dim=self.score_dim)


def motion_energy(video: Float[Tensor, "b channels t height width"]) -> Float[Tensor, "b t"]:
    """The mean absolute difference of each frame to the one before it; zero for the first."""
    return F.pad(video.diff(dim=2).abs().mean((1, 3, 4)), (1, 0))


def sample_by_motion(energy: Float[Tensor, "b t"], config: MotionConfig) -> Int[Tensor, "b taken"]:
    """Frames at equal steps of the accumulated claims: sorted, distinct, the budget's number or all there are."""
    b, t = energy.shape
    if config.budget >= t:
        return torch.arange(t, device=energy.device).expand(b, t)
    steps = torch.arange(config.budget, device=energy.device, dtype=torch.float64) + 0.5
    return torch.searchsorted(frame_claims(energy, config).cumsum(-1), steps.repeat(b, 1))


def frame_claims(energy: Float[Tensor, "b t"], config: MotionConfig) -> Float[Tensor, "b t"]:
    """How much of a frame each frame can claim: in proportion to its motion, at most 1, in sum the budget.

    With the m largest claims cut to 1, the others share the rest of the budget at one rate; m is the least for which
    none of them exceeds 1. A clip without motion is claimed evenly.
    """
    t = energy.shape[-1]
    motion = energy.double() / energy.double().sum(-1, keepdim=True).clamp_min(1e-12)
    even = torch.where(energy.sum(-1, keepdim=True) > 0, config.even_share, 1.0) / t
    weights = even + (1 - even * t) * motion
    largest = weights.sort(descending=True).values
    rest = largest.flip(-1).cumsum(-1).flip(-1)
    rates = (config.budget - torch.arange(t, device=energy.device)) / rest.clamp_min(1e-12)
    least = (rates * largest <= 1).int().argmax(-1, keepdim=True)
    return (rates.gather(-1, least) * weights).clamp(max=CERTAIN)


class Draw(NamedTuple):
    """Frames drawn from a policy, in order of time, and the logarithm of the probability of having drawn them so."""

    frames: Int[Tensor, "b taken"]
    log_prob: Float[Tensor, "b"]


class SamplingPolicy(nn.Module):
    """Which frames of a token grid `b t h w c` to take: those with the highest scores, or, in training, a draw."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.score = Score(2 * config.embed_dim, config.score_dim)

    def scores(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t"]:
        """From what a frame shows and from how much of it is new since the last."""
        scores: Tensor = self.score(torch.cat((frame_means(x), frame_means(change(x).abs())), dim=-1))
        return scores

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Int[Tensor, "b taken"]:
        """The best frames, in order of time: the budget's number, or all there are."""
        taken = min(self.config.budget, x.shape[1])
        return self.scores(x).topk(taken, sorted=False).indices.sort().values

    def draw(self, x: Float[Tensor, "b t h w c"], generator: torch.Generator | None = None) -> Draw:
        """Frames drawn one after another without replacement, each by the softmax over those that are left."""
        scores = self.scores(x)
        noise = torch.empty_like(scores).exponential_(generator=generator).log()
        order = (scores.detach() - noise).argsort(descending=True)
        taken = min(self.config.budget, x.shape[1])
        return Draw(order[:, :taken].sort().values, order_log_prob(scores, order, taken))


def order_log_prob(scores: Float[Tensor, "b t"], order: Int[Tensor, "b t"], taken: int) -> Float[Tensor, "b"]:
    """The log-probability that the first `taken` frames of `order` are drawn, in that order."""
    drawn = scores.gather(-1, order)
    left = drawn.flip(-1).logcumsumexp(-1).flip(-1)
    return (drawn - left)[:, :taken].sum(-1)


def reinforce_loss(
    log_prob: Float[Tensor, "b"], reward: Float[Tensor, "b"], baseline: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """A loss whose gradient is, on average, that of minus the expected reward, whatever the baseline."""
    return -((reward - baseline).detach() * log_prob).mean()


def moved_baseline(baseline: Float[Tensor, ""], reward: Float[Tensor, "b"], momentum: float = 0.9) -> Float[Tensor, ""]:
    """The moving average of the rewards so far, to be subtracted from the next ones."""
    return torch.lerp(reward.mean().detach(), baseline, momentum)


def build(grid: TokenGrid, dim: int, num_heads: int) -> SamplingPolicy:  # noqa: ARG001 - every width will do
    """The learned policy with half of the grid's frames, rounded up, as its budget: `b t h w c` to indices."""
    return SamplingPolicy(PolicyConfig(budget=-(-grid.t // 2), embed_dim=dim))


def macs(grid: TokenGrid, config: PolicyConfig) -> int:
    """MACs of the policy on one clip, all in its scores; the rule by motion multiplies nothing."""
    return score_macs(grid.t, 2 * config.embed_dim, config.score_dim)
