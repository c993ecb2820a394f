"""How a model is run on a video that is longer than its clip: as many views as it takes, or one stretched over it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vbench.analysis.comparison import at_clip
from vbench.analysis.frame import DefaultClip, default_clips, strides
from vbench.units import extent

USERS = "user"  # the family of networks that no catalog holds


@dataclass(frozen=True, slots=True)
class Protocol:
    """How many views of which clip a model takes, and its cells at that clip; `name` is covering or single."""

    name: str
    views: int
    clip: DefaultClip
    cells: pd.DataFrame

    def cost(self, column: str) -> float | None:
        """The whole protocol's latency_median_s or macs; None where no cell has one."""
        cell = self.cheapest(column)
        return None if cell is None else self.views * float(cell[column])

    def cheapest(self, column: str) -> pd.Series[Any] | None:
        """The cell with the least of the column; None where no cell has one."""
        known = self.cells.dropna(subset=[column])
        if known.empty:
            return None
        cell: pd.Series[Any] = known.sort_values(column, kind="stable").iloc[0]
        return cell


def own_clips(frame: pd.DataFrame, cells: pd.DataFrame) -> dict[str, DefaultClip]:
    """The clip of each network: the one that the catalog gives it.

    A user's own network has no published clip: where its default was not among the records, the longest that was
    measured stands for it.
    """
    clips = default_clips(frame)
    for model in dict.fromkeys(cells.loc[cells["family"] == USERS, "model"]):
        if model not in clips:
            clips = clips | {model: _longest(cells[cells["model"] == model], strides(frame).get(model, 1))}
    return clips


def _longest(rows: pd.DataFrame, stride: int) -> DefaultClip:
    ran = (rows["status"] == "measured").rename("ran")
    row = rows.assign(ran=ran).sort_values(["ran", "frames", "height"], kind="stable").iloc[-1]
    frames, height, width = (int(row[axis]) for axis in ("frames", "height", "width"))
    return DefaultClip(frames=frames, height=height, width=width, stride=stride, title=str(row["model"]))


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


def sweep_command(name: str, clip: DefaultClip, own: DefaultClip | None, device: str | None) -> str:
    """The sweep that would measure the clip; what the model's own clip has need not be said."""
    is_own_length = own is not None and clip["frames"] == own["frames"]
    is_own_crop = own is not None and clip["height"] == own["height"]
    square = clip["height"] == clip["width"]
    crop = f"{clip['height']}" if square else f"{clip['height']}x{clip['width']}"
    frames = "" if is_own_length else f" --frames {clip['frames']}"
    sizes = "" if is_own_crop else f" --sizes {crop}"
    devices = f" --devices {device}" if device not in (None, "cpu") else ""
    return f"vbench sweep --models {name}{frames}{sizes}{devices}"


def clip_text(clip: DefaultClip) -> str:
    """The clip in words: `8x224x224, stride 32`."""
    return f"{extent(clip['frames'], clip['height'], clip['width'])}, stride {clip['stride']}"
