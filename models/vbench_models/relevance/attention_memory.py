"""The attention memory view: which frames a frame draws on, as a matrix, as a list and as a picture.

A design of ours; the matrix is that of temporal attention in Bertasius et al., "Is Space-Time Attention All You Need
for Video Understanding?", ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095, averaged over heads and positions.
`AttentionMemory` reads it off an attention along time that one has, `salient_frames` lists the frames that weigh most,
and `draw` shows all of it, a row a frame.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, AxisAttention
from vbench_models.video import ModelError, TokenGrid

if TYPE_CHECKING:
    import matplotlib.figure


class Salient(NamedTuple):
    """A frame that another one draws on, and its share of the attention."""

    frame: int
    weight: float


class AttentionMemory(nn.Module):
    """The frames-by-frames matrix of a temporal attention, for tokens `b t h w c` as that attention would be given."""

    def __init__(self, attention: AxisAttention) -> None:
        super().__init__()
        if attention.axes != "t":
            raise ModelError(f"the attention must run along time, axes 't'; got axes={attention.axes!r}")
        self.attention = attention

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t t"]:
        """How much each frame (row) draws on each other (column); rows sum to 1. Values are not projected."""
        config, qkv = self.attention.config, self.attention.qkv
        queries_and_keys = slice(2 * config.embed_dim)
        bias = None if qkv.bias is None else qkv.bias[queries_and_keys]
        qk = F.linear(x, qkv.weight[queries_and_keys], bias)
        q, k = rearrange(qk, "b t h w (two heads d) -> two b heads t h w d", two=2, heads=config.num_heads)
        return frame_attention(q, k)


def frame_attention(q: Float[Tensor, "b heads t h w d"], k: Float[Tensor, "b heads t h w d"]) -> Float[Tensor, "b t t"]:
    """The weights of attention along time, the mean over heads and positions."""
    queries = rearrange(q, "b heads t h w d -> b heads h w t d")
    keys = rearrange(k, "b heads t h w d -> b heads h w d t")
    weights = (queries @ keys * q.shape[-1] ** -0.5).softmax(-1)
    matrix: Tensor = reduce(weights, "b heads h w query key -> b query key", "mean")
    return matrix


def salient_frames(matrix: Float[Tensor, "t t"], frame: int, count: int) -> list[Salient]:
    """The `count` frames on which `frame` draws most, the heaviest first; of equal ones the earlier first.

    Raises:
        ModelError: no such frame, or fewer than `count` frames.
    """
    frames = len(matrix)
    if not 0 <= frame < frames:
        raise ModelError(f"frame must be from 0 to {frames - 1}, the last of the matrix; got frame={frame}")
    if not 1 <= count <= frames:
        raise ModelError(f"count must be from 1 to {frames}, the frames of the matrix; got count={count}")
    weights, order = matrix[frame].sort(descending=True, stable=True)
    return [Salient(int(place), float(weight)) for place, weight in zip(order[:count], weights[:count], strict=True)]


def memory_rows(matrix: Float[Tensor, "t t"], count: int) -> list[list[Salient]]:
    """The salient frames of every frame, in order of time: what the picture marks."""
    return [salient_frames(matrix, frame, count) for frame in range(len(matrix))]


def draw(matrix: Float[Tensor, "t t"], count: int = 3) -> "matplotlib.figure.Figure":
    """The matrix as a picture, a row for each frame, its `count` salient frames marked; the caller saves it."""
    from matplotlib.figure import Figure

    frames = len(matrix)
    figure = Figure(figsize=(1.5 + 0.3 * frames, 1.0 + 0.3 * frames), layout="constrained")
    axes = figure.add_subplot(xlabel="frame drawn on", ylabel="frame")
    axes.set_xticks(range(frames))
    axes.set_yticks(range(frames))
    image = axes.imshow(matrix.detach().cpu().float().numpy(), cmap="viridis", vmin=0)
    for row, salients in enumerate(memory_rows(matrix, count)):
        drawn_on = [salient.frame for salient in salients]
        axes.plot(
            drawn_on, [row] * count, linestyle="none", marker="o", markerfacecolor="none", markeredgecolor="white"
        )
    figure.colorbar(image, ax=axes, label="share of attention")
    return figure


def build(grid: TokenGrid, dim: int, num_heads: int) -> AttentionMemory:  # noqa: ARG001 - every grid will do
    """The view of a new attention along time; for a trained one, `AttentionMemory(attention)`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return AttentionMemory(AxisAttention(AttentionConfig(embed_dim=dim, num_heads=num_heads), "t"))


def macs(grid: TokenGrid, config: AttentionConfig) -> int:
    """MACs on one clip; 1 multiply-add = 1 MAC: queries and keys of each token, and q k^T along time."""
    return grid.tokens * config.embed_dim * (2 * config.embed_dim + grid.t)
