"""Who waits for whom: the clips a second that loaders make against those that a model takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from vbench.analysis.comparison import at_clip, default_setting
from vbench.cell import Cell


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One model and its input. `model_clips_per_second` is measured at the same clip, or None."""

    name: str
    frames: int
    height: int
    width: int
    stages_s: Mapping[str, float]  # seconds of a clip in each stage, in one loader
    loader_clips_per_second: float
    model_clips_per_second: float | None
    loaders: int | None  # that keep up with the model; None: it was not measured
    hardware: str  # where the model was measured

    @property
    def waits(self) -> str:
        """Who waits, with one loader."""
        if self.model_clips_per_second is None:
            return "not measured"
        return "the model" if self.model_clips_per_second > self.loader_clips_per_second else "the loader"

    def to_json(self) -> dict[str, Any]:
        """The document that `vbench input --json` prints, one of a list."""
        return {**asdict(self), "stages_s": dict(self.stages_s), "waits": self.waits}


def feed(cell: Cell, stages_s: Mapping[str, float], frame: pd.DataFrame) -> Feed:
    """The stages of a cell's input against what the records say of its model at that clip, fp32, batch 1."""
    loader = 1 / sum(stages_s.values())
    extent = {"frames": cell.frames, "height": cell.height, "width": cell.width}
    cells = at_clip(default_setting(frame), cell.model, extent)
    best = cells[cells["status"] == "measured"].nlargest(1, "clips_per_second")
    model = None if best.empty else float(best["clips_per_second"].iloc[0])
    return Feed(
        name=cell.model,
        **extent,
        stages_s=stages_s,
        loader_clips_per_second=loader,
        model_clips_per_second=model,
        loaders=None if model is None else math.ceil(model / loader),
        hardware="" if best.empty else str(best["hardware"].iloc[0]),
    )
