"""What one view of each model costs, under every device, precision and resolution of the records.

A question to the guide differs from another in its clip length and its limits. These decide how many views of its own
clip a model takes, ceil(frames of the video / (frames x stride)), never what a view costs. So the guide is asked here
for a video of one frame, which is one view of every model, and whoever has the answers can rank them for any length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from vbench.analysis.certainty import bounds
from vbench.analysis.choice import Choice
from vbench.analysis.comparison import DEFAULT_SETTING, default_setting
from vbench.analysis.frame import DefaultClip
from vbench.analysis.guide import guide
from vbench.analysis.protocol import at_size, clip_text, own_clips
from vbench.analysis.variants import FULL, of_catalog

ONE_FRAME = 1
QUANTISED = "int8"  # nobody published what these networks' accuracies become
DEFAULT_PRECISION = str(DEFAULT_SETTING["precision"])


@dataclass(frozen=True, kw_only=True, slots=True)
class OneView:
    """A model at its own clip. Times in seconds, memory in bytes, `top1` in percent; None: not measured, not published.

    `span_frames` are the source frames that the view covers, frames x stride. Between `latency_least_s` and
    `latency_most_s` two models are not told apart; `latency_published_s` is the protocol that earned the accuracy.
    `unmeasured` and `uncounted` say why there is no latency or no count; of a compressed variant `variant_of` names the
    full model.
    """

    name: str
    clip: str = ""
    span_frames: int = 0
    cell: str = ""
    macs: int | None = None
    latency_s: float | None = None
    latency_low_s: float | None = None
    latency_high_s: float | None = None
    latency_least_s: float | None = None
    latency_most_s: float | None = None
    latency_published_s: float | None = None
    peak_memory_bytes: int | None = None
    predicted_peak_bytes: int | None = None
    top1: float | None = None
    top1_source: str = ""
    top1_views: str = ""
    pretrain: str = ""
    unmeasured: str = ""
    uncounted: str = ""
    variant_of: str = ""

    def to_json(self) -> dict[str, Any]:
        """What is known of it, as one JSON object."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The models under one device, precision and resolution; `size` in pixels, None for each model's own crop."""

    device: str
    hardware: str
    precision: str
    size: int | None
    models: tuple[OneView, ...]

    def to_json(self) -> dict[str, Any]:
        """The setting as one JSON object."""
        return asdict(self) | {"models": [model.to_json() for model in self.models]}


def explorer(frame: pd.DataFrame, published: pd.DataFrame) -> list[Setting]:
    """Every setting in which the records cost at least one network at its own number of frames."""
    networks = frame[frame["kind"] == "architecture"]
    settings = []
    for device, precision in dict.fromkeys(zip(networks["device"], networks["precision"], strict=True)):
        cells = _as_default(networks, precision)
        clips = own_clips(frame, cells)
        for size in _sizes(cells[cells["device"] == device], clips):
            asked = Setting(device=device, hardware="", precision=precision, size=size, models=())
            settings.append(_answered(asked, cells, clips, published))
    return [setting for setting in settings if any(model.cell for model in setting.models)]


def _as_default(networks: pd.DataFrame, precision: str) -> pd.DataFrame:
    """The cells of one precision: the guide ranks the default setting, so to it this precision is the default."""
    wanted = networks[networks["precision"] == precision].assign(precision=DEFAULT_PRECISION)
    return default_setting(wanted)


def _sizes(cells: pd.DataFrame, clips: dict[str, DefaultClip]) -> list[int | None]:
    """Each model's own crop, then the square crops that occur with a model's own number of frames."""
    square = cells[cells["height"] == cells["width"]]
    extents = zip(square["model"], square["frames"], square["height"], strict=True)
    sizes = {int(size) for name, frames, size in extents if name in clips and clips[name]["frames"] == frames}
    return [None, *sorted(sizes)]


def _answered(setting: Setting, cells: pd.DataFrame, clips: dict[str, DefaultClip], published: pd.DataFrame) -> Setting:
    """The setting with what the guide says of every model: as measured, and as if nothing had been."""
    size, device, precision = setting.size, setting.device, setting.precision
    timed = guide(cells, published, frames=ONE_FRAME, size=size, device=device)
    untimed = cells.assign(latency_median_s=float("nan"))
    counted = guide(untimed, published, frames=ONE_FRAME, size=size, device=device)
    views = {name: _blank(name, clips, size) for name in dict.fromkeys(cells["model"])}
    views |= {out.name: replace(views[out.name], uncounted=out.limit) for out in counted.ruled_out}
    views |= {choice.name: replace(views[choice.name], **_counted(choice)) for choice in counted.ranking}
    is_timed = timed.ranked_by == "latency"
    if is_timed:
        views |= {out.name: replace(views[out.name], unmeasured=out.limit) for out in timed.ruled_out}
        views |= {choice.name: replace(views[choice.name], **_timed(choice)) for choice in timed.ranking}
    models = tuple(_in_precision(view, precision) for view in views.values())
    return replace(setting, hardware=timed.hardware if is_timed else "", models=models)


def _blank(name: str, clips: dict[str, DefaultClip], size: int | None) -> OneView:
    """The model before anything is known of its cost; the clip of some is not known, either."""
    known = OneView(name=name, variant_of=of_catalog().get(name, FULL)["variant_of"])
    if name not in clips:
        return known
    clip = at_size(clips[name], size)
    return replace(known, clip=clip_text(clip), span_frames=clip["frames"] * clip["stride"])


def _in_precision(view: OneView, precision: str) -> OneView:
    """The view with the precision in the commands that its reasons name, and in INT8 without the accuracy of fp32."""
    if precision == DEFAULT_PRECISION:
        return view
    if precision == QUANTISED:
        view = replace(view, top1=None, top1_source="", top1_views="", pretrain="", latency_published_s=None)
    command, whole = "vbench sweep", f"vbench sweep --precisions {precision}"
    return replace(
        view, unmeasured=view.unmeasured.replace(command, whole), uncounted=view.uncounted.replace(command, whole)
    )


def _counted(choice: Choice) -> dict[str, Any]:
    """What is known of a model without any measured latency."""
    names = ("cell", "peak_memory_bytes", "predicted_peak_bytes", "top1", "top1_source", "top1_views", "pretrain")
    return {name: getattr(choice, name) for name in names} | {"macs": choice.macs_video}


def _timed(choice: Choice) -> dict[str, Any]:
    """What the measured cell adds to it, or says instead."""
    least_s, most_s = bounds(choice)
    names = ("cell", "latency_s", "latency_published_s", "peak_memory_bytes", "predicted_peak_bytes")
    return {name: getattr(choice, name) for name in names} | {
        "latency_low_s": choice.latency_video_low_s,
        "latency_high_s": choice.latency_video_high_s,
        "latency_least_s": least_s,
        "latency_most_s": most_s,
    }
