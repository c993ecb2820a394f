"""`Card`: what the catalog says of one system. A card is data: reading it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vbench_models.video import Clip, TokenGrid

Kind = Literal["architecture", "pattern", "module"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One row of the catalog.

    `builder` is "module:function", resolved by `vbench_models.load`: for an architecture `function(clip)` returns the
    network, for a pattern `function(grid, dim, num_heads)` returns a module on `b t h w c`.
    """

    title: str
    kind: Kind
    family: str
    reference: str  # paper and section, with its address
    builder: str
    task: str = "classification"
    default_clip: Clip | None = None  # architectures: the clip of the published figures
    default_grid: TokenGrid | None = None  # patterns
    stride: int = 1  # source frames between two frames of the clip
    channels: int = 3
    classes: int | None = None
    tubelet_size: tuple[int, int, int] | None = None  # None: no token grid of constant pitch
    supports: str = "any clip that the tubelet divides"
    lattice: tuple[int, int, int] | None = None  # steps of the token grid on which the count is a polynomial
    claimed: str | None = None  # the cost formula of the literature, in T, H, W
    verified_against: tuple[str, ...] = ()
    note: str = ""
