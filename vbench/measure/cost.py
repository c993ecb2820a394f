"""`Cost`: what one cell costs on paper, as `vbench count` and `vbench.count` tell it. Nothing is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vbench.cell import Cell
from vbench.errors import unknown_name
from vbench.measure.count import By, tally_cell
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.subject import token_extent

KEYS: tuple[By, ...] = ("component", "operator", "module")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Exact counts of one model on one clip, and its predicted tensor peak; 1 multiply-add = 1 MAC = 2 FLOPs."""

    name: str
    clip: dict[str, int] | None  # batch, frames, height, width in pixels; None for a pattern
    tokens: dict[str, int] | None  # t, h, w; None where the model has no grid of constant pitch
    params: int
    macs: int
    flops: int
    attention_macs: int
    mixing_extra_macs: int
    predicted_peak_bytes: int
    kernel: str
    precision: str
    mode: str
    by: dict[str, Any] | None = None  # the key that MACs are split by, and MACs for each of its values

    def to_json(self) -> dict[str, Any]:
        """The document that `vbench count --json` prints."""
        document = asdict(self)
        if self.by is None:
            del document["by"]
        return document


def cost_of(cell: Cell, by: str | None = None) -> Cost:
    """Count one cell; `by` splits its MACs by component, operator or module.

    Raises:
        AxisError: the model does not take such a clip, or there is no such key to split by.
        UncountedOperatorError: the network uses an operator that is on no list.
    """
    key = next((known for known in KEYS if known == by), None)
    if by is not None and key is None:
        raise unknown_name("--by", by, KEYS)
    tally, tokens = tally_cell(cell), token_extent(cell)
    clip = {"batch": cell.batch, "frames": cell.frames, "height": cell.height, "width": cell.width}
    return Cost(
        name=cell.model,
        clip=clip if cell.unit == "pixels" else None,
        tokens=None if tokens is None else dict(zip("thw", tokens, strict=True)),
        params=tally.params,
        macs=tally.macs,
        flops=2 * tally.macs,
        attention_macs=tally.attention_macs,
        mixing_extra_macs=tally.mixing_extra_macs,
        predicted_peak_bytes=footprint_of_cell(cell).peak_bytes,
        kernel=cell.kernel,
        precision=cell.precision,
        mode=cell.mode,
        by=None if key is None else {"key": key, "macs": tally.by(key)},
    )
