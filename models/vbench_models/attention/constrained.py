"""Constrained self-attention: each position attends, in every frame, to a dilated square around itself.

Gu et al., "Pyramid Constrained Self-Attention Network for Fast Video Salient Object Detection" (PCSA), AAAI 2020,
sec. 3. https://doi.org/10.1609/aaai.v34i07.6718. The pyramid is one of heads, not of feature maps: radius and dilation
differ from head to head, as in the official code 3, 3, 4, 4 and 1, 2, 1, 2 for its four heads. More heads repeat this
cycle, which is ours. A token attends to (2 r + 1)^2 places in each of the t frames, its own included; places outside
the frame are masked. Differs from the official module: projections with biases, and the residual is the caller's.

Quadratic in t, linear in h*w. The t queries of a position share its keys; rows of keys are copied 2 r + 1 times,
columns are overlapping views. Where a radius reaches past the whole frame it is cut to it.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from vbench_models.layers.attention import AttentionConfig, attend, projection_macs
from vbench_models.layers.cache import in_parts, rows_at_once
from vbench_models.layers.neighborhoods import ProjectedAttention, at_least
from vbench_models.video import ModelError, TokenGrid


@dataclass(frozen=True, kw_only=True)
class ConstrainedConfig(AttentionConfig):
    """Widths; head i has the radius and the dilation at i modulo their number.

    Raises:
        ModelError: `num_heads` does not divide `embed_dim`, or radii and dilations do not fit.
    """

    radii: tuple[int, ...] = (3, 3, 4, 4)
    dilations: tuple[int, ...] = (1, 2, 1, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.radii or len(self.radii) != len(self.dilations):
            raise ModelError(
                f"each radius needs one dilation; got radii={self.radii}, dilations={self.dilations}",
            )
        at_least(0, radii=min(self.radii))
        at_least(1, dilations=min(self.dilations))

    @property
    def kinds(self) -> list[tuple[int, int, int]]:
        """Radius, dilation and number of heads, of each kind that has any."""
        cycle = len(self.radii)
        heads = [len(range(kind, self.num_heads, cycle)) for kind in range(cycle)]
        return [kind for kind in zip(self.radii, self.dilations, heads, strict=True) if kind[2]]


@dataclass(frozen=True, slots=True)
class Span:
    """The places around each of `extent` along one axis: `radius` to either side, `dilation` apart."""

    extent: int
    radius: int
    dilation: int

    @property
    def places(self) -> int:
        """2 r + 1."""
        return 2 * self.radius + 1

    @property
    def margin(self) -> int:
        """How far the places reach beyond the ends."""
        return self.radius * self.dilation

    @property
    def padded(self) -> int:
        """`extent`, up to the next multiple of the dilation."""
        return -(-self.extent // self.dilation) * self.dilation

    @property
    def pairs(self) -> int:
        """Pairs of a place and one around it that both exist."""
        offsets = range(-self.margin, self.margin + 1, self.dilation)
        return sum(max(self.extent - abs(offset), 0) for offset in offsets)

    def inside(self) -> Bool[Tensor, "padded places"]:
        """Which places exist."""
        offsets = (torch.arange(self.places) - self.radius) * self.dilation
        places = torch.arange(self.padded)[:, None] + offsets
        return (places >= 0) & (places < self.extent)


def spans(grid: TokenGrid, radius: int, dilation: int) -> tuple[Span, Span]:
    """The spans of h and w, cut to the frame; a span of one place has no dilation."""
    rows, columns = (
        Span(extent, reach, dilation if reach else 1)
        for extent, reach in ((extent, min(radius, (extent - 1) // dilation)) for extent in (grid.h, grid.w))
    )
    return rows, columns


class ConstrainedAttention(ProjectedAttention):
    """Attention over a square of each frame, for frames of exactly `grid.h` by `grid.w` tokens."""

    config: ConstrainedConfig

    def __init__(self, config: ConstrainedConfig, grid: TokenGrid) -> None:
        super().__init__(config)
        self.spans = [spans(grid, radius, dilation) for radius, dilation, _ in config.kinds]
        for kind, (rows, columns) in enumerate(self.spans):
            inside = rows.inside()[: grid.h, None, None] & columns.inside()[:, :, None]
            lines = rearrange(inside, "h (j p) kw kh -> (h p) j (kw kh)", p=columns.dilation)
            self.register_buffer(f"inside_{kind}", lines, persistent=False)

    def core(
        self,
        q: Float[Tensor, "b heads t h w d"],
        k: Float[Tensor, "b heads t h w d"],
        v: Float[Tensor, "b heads t h w d"],
    ) -> Float[Tensor, "b heads t h w d"]:
        """The attention alone, one kind of heads after another; on a CPU one head, whose rows are copied, at a time."""
        out, cycle = torch.empty_like(q), len(self.config.radii)
        for kind, around in enumerate(self.spans):
            of_kind = [x[:, kind::cycle] for x in (q, k, v)]
            attend_some = partial(attend_squares, around=around, inside=self.get_buffer(f"inside_{kind}"))
            heads = rows_at_once(q.device, of_kind[0].shape[1], around[0].places * k[:, 0].numel())
            out[:, kind::cycle] = in_parts(attend_some, heads, *of_kind, dim=1)
        return out


def attend_squares(
    q: Float[Tensor, "b heads t h w d"],
    k: Float[Tensor, "b heads t h w d"],
    v: Float[Tensor, "b heads t h w d"],
    around: tuple[Span, Span],
    inside: Bool[Tensor, "lines j places"],
) -> Float[Tensor, "b heads t h w d"]:
    """Heads of one radius and dilation: a line holds every `dilation`-th column of a row."""
    b, heads, t, h, w, _ = q.shape
    rows, columns = around
    axes = {"b": b, "heads": heads, "h": h, "p": columns.dilation}
    lines = F.pad(q, (0, 0, 0, columns.padded - w))
    lines = rearrange(lines, "b heads t h (j p) d -> (b heads h p) j t d", p=columns.dilation)
    mask = repeat(inside, "lines j places -> (n lines) j 1 (places t)", n=b * heads, t=t)
    out = attend(lines, squares(k, rows, columns), squares(v, rows, columns), mask)
    return rearrange(out, "(b heads h p) j t d -> b heads t h (j p) d", **axes)[..., :w, :]


def squares(x: Float[Tensor, "b heads t h w d"], rows: Span, columns: Span) -> Float[Tensor, "lines j keys d"]:
    """The keys of each position, ordered by column, row and frame; those of neighbours in a line overlap in memory."""
    right = columns.margin + columns.padded - columns.extent
    x = F.pad(x, (0, 0, columns.margin, right, rows.margin, rows.margin))
    x = x.unfold(3, 2 * rows.margin + 1, 1)[..., :: rows.dilation]
    lines = rearrange(x, "b heads t h (j p) d kh -> (b heads h p) (j kh t) d", p=columns.dilation)
    column = rows.places * x.shape[2]
    return lines.unfold(1, columns.places * column, column).mT


def build(grid: TokenGrid, dim: int, num_heads: int) -> ConstrainedAttention:
    """Constrained self-attention for frames of `grid.h` by `grid.w` tokens, `b t h w c` to `b t h w c`.

    Raises:
        ModelError: `dim` is no multiple of `num_heads`.
    """
    return ConstrainedAttention(ConstrainedConfig(embed_dim=dim, num_heads=num_heads), grid)


def computed_pairs(grid: TokenGrid, config: ConstrainedConfig) -> int:
    """Pairs of a query and a key of which a score is computed, of all heads together, for the heads differ.

    t^2 frames, h*w positions, the squares in full, and columns of padding where a dilation does not divide w.
    """
    pairs = 0
    for radius, dilation, heads in config.kinds:
        rows, columns = spans(grid, radius, dilation)
        pairs += heads * grid.t**2 * (grid.h * rows.places) * (columns.padded * columns.places)
    return pairs


def useful_pairs(grid: TokenGrid, config: ConstrainedConfig) -> int:
    """Pairs of two tokens of the video that the mask lets through, of all heads together."""
    pairs = 0
    for radius, dilation, heads in config.kinds:
        rows, columns = spans(grid, radius, dilation)
        pairs += heads * grid.t**2 * rows.pairs * columns.pairs
    return pairs


def core_macs(grid: TokenGrid, config: ConstrainedConfig) -> int:
    """MACs of q k^T and a v on one clip; 1 multiply-add = 1 MAC, softmax excluded: 2 d a computed pair."""
    return 2 * computed_pairs(grid, config) * config.head_dim


def macs(grid: TokenGrid, config: ConstrainedConfig) -> int:
    """MACs of the whole module on one clip: the core and 4 c^2 a token."""
    return core_macs(grid, config) + projection_macs(grid, config)
