"""How a model is run on a video that is longer than its clip: as many views as it takes, or one stretched over it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from vbench.analysis.comparison import at_clip
from vbench.analysis.frame import DefaultClip
from vbench.units import extent


@dataclass(frozen=True, slots=True)
class Protocol:
    """How many views of which clip a model takes, and its cells at that clip; `name` is covering or single."""

    name: str
    views: int
    clip: DefaultClip
    cells: pd.DataFrame

    def cost(self, column: str) -> float | None:
        """The whole protocol's latency_median_s or macs; None where no cell has one."""
        values = self.cells[column].astype("float64").dropna()
        return None if values.empty else self.views * float(values.min())


def at_size(own: DefaultClip, size: int | None) -> DefaultClip:
    """The clip with a square crop of `size` pixels; None leaves it as it is."""
    return own if size is None else DefaultClip(**{**own, "height": size, "width": size})


def covering(cells: pd.DataFrame, name: str, clip: DefaultClip, source_frames: int) -> Protocol:
    """As many views of the model's own clip as `source_frames` frames of video need."""
    views = math.ceil(source_frames / (clip["frames"] * clip["stride"]))
    return Protocol("covering", views, clip, at_clip(cells, name, clip))


def single_view(cells: pd.DataFrame, name: str, clip: DefaultClip, source_frames: int) -> Protocol:
    """One view of source_frames / stride frames; where that was tried in vain, the longest that was measured."""
    wanted = DefaultClip(**{**clip, "frames": max(1, source_frames // clip["stride"])})
    clip = _longest_that_ran(cells[cells["model"] == name], wanted)
    return Protocol("single", 1, clip, at_clip(cells, name, clip))


def _longest_that_ran(cells: pd.DataFrame, wanted: DefaultClip) -> DefaultClip:
    """The wanted clip, or where it was tried in vain the longest shorter one that was measured."""
    same_crop = cells[(cells["height"] == wanted["height"]) & (cells["width"] == wanted["width"])]
    tried = same_crop[same_crop["frames"] == wanted["frames"]]
    shorter = same_crop[(same_crop["status"] == "measured") & (same_crop["frames"] < wanted["frames"])]
    in_vain = not tried.empty and set(tried["status"]) <= {"failed", "skipped"}
    if not in_vain or shorter.empty:
        return wanted
    return DefaultClip(**{**wanted, "frames": int(shorter["frames"].max())})


def sweep_command(name: str, clip: DefaultClip, own: DefaultClip, device: str | None) -> str:
    """The sweep that would measure the clip; what is a default need not be said."""
    frames = f" --frames {clip['frames']}" if clip["frames"] != own["frames"] else ""
    sizes = f" --sizes {clip['height']}" if clip["height"] != own["height"] else ""
    devices = f" --devices {device}" if device not in (None, "cpu") else ""
    return f"vbench sweep --models {name}{frames}{sizes}{devices}"


def clip_text(clip: DefaultClip) -> str:
    """The clip in words: `8x224x224, stride 32`."""
    return f"{extent(clip['frames'], clip['height'], clip['width'])}, stride {clip['stride']}"
