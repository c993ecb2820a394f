"""Tables for those who take a model elsewhere: what whole videos cost, and what hardware that is not here allows."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.accelerators import Accelerator, accelerators
from vbench.analysis.modelled import CONTEXT_BYTES, modelled_frame
from vbench.analysis.views import COMMON_VIEWS, FPS, views_frame
from vbench.report.columns import CELL, CLIP, VIEW_LATENCY, Column, Number, Row, Word, figure
from vbench.report.tables import CONVENTION, Table

SIGNS = {"compute": "c", "bandwidth": "b"}


def deployment_tables(frame: pd.DataFrame, published: pd.DataFrame) -> list[Table]:
    """Both tables, those without rows left out."""
    return [table for table in (views_table(frame, published), modelled_table(frame)) if not table.data.empty]


def views_table(frame: pd.DataFrame, published: pd.DataFrame) -> Table:
    """What a view, a video and a second of video cost."""
    return Table(
        name="views",
        title="Per view, per video, per second of video",
        note=f"{CONVENTION}. A protocol of 3x10 is 3 crops at 10 places, {COMMON_VIEWS} views; beside it stands the "
        "one that the published top-1 (quoted) belongs to. Views run one after another, fp32, batch 1. A second of "
        f"video at {FPS:.0f} frames a second costs views laid end to end, each frames x stride source frames long.",
        data=views_frame(frame, published),
        columns=VIEWS_COLUMNS,
    )


def modelled_table(frame: pd.DataFrame) -> Table:
    """The least latency of every counted network on every accelerator of the catalog, and whether it fits."""
    return Table(
        name="modelled",
        title="Modelled hardware",
        note="Modelled, not measured, and in no ranking: the roofline's lower bound on the latency, the longer of "
        "FLOPs over the datasheet's dense peak (c, compute) and bytes read and written by operators over its bandwidth "
        "(b); a cache can beat the second. Memory is the predicted peak of the tensors and "
        f"{units.size(CONTEXT_BYTES)} assumed for the CUDA context. "
        + "; ".join(f"{one.title}: {one.source}" for one in accelerators().values())
        + ".",
        data=modelled_frame(frame),
        columns=MODELLED_COLUMNS,
    )


def _at_least(accelerator: Accelerator) -> Number:
    """The bound with the letter of what binds; what does not fit has none."""
    seconds = figure(units.seconds, accelerator.key)

    def text(row: Row) -> str:
        said = str(getattr(row, f"{accelerator.key}_says"))
        return f"{seconds(row)} {SIGNS[said]}" if said in SIGNS else said

    return Number(text, seconds.value)


VIEWS_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("clip", CLIP),
    ("stride", figure(units.count, "stride")),
    ("GMACs a view", figure(units.giga, "macs")),
    ("latency a view", VIEW_LATENCY),
    ("views/s", figure(units.three_digits, "views_per_second")),
    ("GMACs 3x10", figure(units.giga, "macs_3x10")),
    ("latency 3x10", figure(units.seconds, "latency_3x10_s")),
    ("published views", Word("protocol")),
    ("GMACs", figure(units.giga, "macs_protocol")),
    ("latency", figure(units.seconds, "latency_protocol_s")),
    ("top-1 (%) published", figure(units.accuracy, "top1", quoted=True)),
    ("a view covers", figure(units.seconds, "view_covers_s")),
    ("GMACs a second of video", figure(units.giga, "macs_per_second_of_video")),
    ("latency a second of video", figure(units.seconds, "latency_per_second_of_video_s")),
    ("hardware", Word("hardware")),
    CELL,
)
MODELLED_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("clip", CLIP),
    ("precision", Word("precision")),
    ("basis", lambda _: "modelled"),
    ("memory needed", figure(units.size, "needed_bytes")),
    *((f"{one.title.removeprefix('NVIDIA ')}, at least", _at_least(one)) for one in accelerators().values()),
)
