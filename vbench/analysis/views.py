"""What a model costs on a video: per view, per protocol of several views, and per second of video. Pure.

A paper's accuracy is that of a protocol, V_s crops at V_t places of the video, averaged: its cost is V_s x V_t views.
The views of a protocol overlap, and serve a video of any length; the cost of a second of video is that of views laid
end to end, each covering frames x stride source frames. Views are taken as run one after another: batching them is
another cell. Latencies are measured, in the default setting, or absent.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from vbench.analysis.comparison import at_clip, default_setting
from vbench.analysis.frame import DefaultClip, default_clips

COMMON_VIEWS = 3 * 10  # crops x clips, as the SlowFast line tests
FPS = 30.0  # of the source video
COLUMNS = (
    "model", "frames", "height", "width", "stride", "macs", "latency_s", "latency_low_s", "latency_high_s",
    "views_per_second", "macs_3x10", "latency_3x10_s", "protocol", "macs_protocol", "latency_protocol_s", "top1",
    "view_covers_s", "macs_per_second_of_video", "latency_per_second_of_video_s", "source", "hardware", "cell",
)  # fmt: skip

Row = dict[str, Any]


def views_frame(frame: pd.DataFrame, published: pd.DataFrame, fps: float = FPS) -> pd.DataFrame:
    """A row for each network that has a default clip, and each protocol published for it on Kinetics-400.

    Costs are those of the clip that the protocol was published for; a network without a published protocol, or of whose
    clip nothing is known, stands with its default clip, and empty columns of the protocol. Times in seconds, top-1 in
    percent, `fps` frames of the source a second.
    """
    cells = default_setting(frame[frame["kind"] != "pattern"])
    rows = [
        row
        for model, own in sorted(default_clips(frame).items())
        for row in _rows(cells, own, model, _protocols(published, model), fps)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(cells: pd.DataFrame, own: DefaultClip, model: str, protocols: list[Row], fps: float) -> list[Row]:
    """One for each protocol whose clip was counted; else that of the default clip."""
    found = [row for protocol in protocols if (row := _row(cells, model, own, protocol, fps))]
    return found or [row for row in (_row(cells, model, own, {}, fps),) if row]


def _protocols(published: pd.DataFrame, model: str) -> list[Row]:
    """The published clips and views of a model, each once, with the best top-1 among those that share them."""
    on_k400 = (published["dataset"] == "K400") & (published["metric_name"] == "top1")
    whole = published[["frames", "height", "width", "views_spatial", "views_temporal"]].notna().all(axis=1)
    mine = published[(published["key"] == model) & on_k400 & whole].sort_values("metric", ascending=False)
    kept = mine.drop_duplicates(["frames", "height", "width", "views_spatial", "views_temporal"])
    return [{str(name): value for name, value in row.items()} for row in kept.to_dict("records")]


def _row(cells: pd.DataFrame, model: str, own: DefaultClip, protocol: Row, fps: float) -> Row:
    """The costs of one protocol; empty where nothing was counted at its clip."""
    clip = {axis: int({**own, **protocol}[axis]) for axis in ("frames", "height", "width")}
    stride = int(own["stride"] if pd.isna(protocol.get("stride", float("nan"))) else protocol["stride"])
    known = at_clip(cells, model, clip)
    known = known[known["macs"].notna()]
    if known.empty:
        return {}
    cell = _quickest(known)
    macs, latency_s = float(cell["macs"]), float(cell["latency_median_s"])
    covers_s = clip["frames"] * stride / fps
    row = {
        "stride": stride,
        "macs": macs,
        "latency_s": latency_s,
        "views_per_second": 1 / latency_s,
        "macs_3x10": COMMON_VIEWS * macs,
        "latency_3x10_s": COMMON_VIEWS * latency_s,
        "view_covers_s": covers_s,
        "macs_per_second_of_video": macs / covers_s,
        "latency_per_second_of_video_s": latency_s / covers_s,
    }
    copied = {name: cell[name] for name in ("model", "latency_low_s", "latency_high_s", "hardware", "cell")}
    return copied | clip | row | _of_protocol(protocol, macs, latency_s)


def _quickest(known: pd.DataFrame) -> pd.Series[Any]:
    """The measured cell of least latency, else the first counted one, whose latency is NaN."""
    measured = known[known["status"] == "measured"]
    row: pd.Series[Any] = known.iloc[0] if measured.empty else measured.nsmallest(1, "latency_median_s").iloc[0]
    return row


def _of_protocol(protocol: Row, macs: float, latency_s: float) -> Row:
    if not protocol:
        return {"protocol": "", "source": ""}
    spatial, temporal = int(protocol["views_spatial"]), int(protocol["views_temporal"])
    return {
        "protocol": f"{spatial}x{temporal}",
        "macs_protocol": spatial * temporal * macs,
        "latency_protocol_s": spatial * temporal * latency_s,
        "top1": protocol["metric"],
        "source": protocol["source"],
    }
