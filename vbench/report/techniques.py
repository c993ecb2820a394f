"""The table of what precisions, training steps and back ends cost, and how far their output is from eager fp32."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.techniques import techniques_frame
from vbench.report.columns import CELL, CLIP, EFFICIENCY, LATENCY, PEAK, QUALITY, Column, Word, figure
from vbench.report.tables import Table


def techniques_table(frame: pd.DataFrame) -> Table:
    """Every measured cell that trains, or runs in another precision or back end than fp32 and eager."""
    return Table(
        name="techniques",
        title="Precision, training, back ends",
        note="In training the latency is that of a whole step and its forward stands apart. Compilation starts from an "
        "empty cache and is in no latency. Distance: ||y - r|| / ||r|| with r of eager fp32, same weights and input. "
        "Saved: the state dict in a file. Times plain: the latency over that of eager fp32 without checkpointing and "
        "accumulation on one rank, the same model, clip, mode and threads. Backward: the types of its products. Of "
        "several ranks the latency is the slowest one's, bytes and GMACs are one's, and the efficiency is what they "
        "take in over as many times what one rank does, each with a batch of its own.",
        data=techniques_frame(frame),
        columns=TECHNIQUES_COLUMNS,
    )


TECHNIQUES_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("clip", CLIP),
    ("setting", Word("setting")),
    ("latency", LATENCY),
    ("times plain", figure(units.three_digits, "times_plain")),
    ("forward", figure(units.seconds, "forward_median_s")),
    ("compilation", figure(units.seconds, "compile_s")),
    ("backward", Word("backward_dtypes")),
    EFFICIENCY,
    ("batch norm", Word("batch_norm")),
    ("distance", figure(units.distance, "logit_error")),
    ("saved", figure(units.size, "serialized_bytes")),
    PEAK,
    ("GMACs", figure(units.giga, "macs")),
    QUALITY,
    CELL,
)
