"""The table of compressed variants: each beside the full model that it stands for, on the same clip."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.variants import compressed_frame
from vbench.report.columns import CELL, CLIP, GMACS, LATENCY, PARAMS, QUALITY, Column, Row, Word, figure
from vbench.report.tables import CONVENTION, Table


def compressed_table(frame: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Every variant whose full model was counted or measured on the same clip in the same setting."""
    return Table(
        name="compressed",
        title="Compressed variants beside the full model",
        note=f"{CONVENTION}. Ratios are to the full model on the same clip; an INT8 cell's is the same network in "
        "fp32. Distance: ||y - r|| / ||r|| with r of eager fp32. Top-1 on Kinetics-400 in percent is quoted for "
        "this clip. That of INT8 nobody published for these networks: its distance says how far the logits moved, not "
        "how many clips are told apart, and it has no place on an axis of accuracy.",
        data=compressed_frame(frame, published),
        columns=COMPRESSED_COLUMNS,
    )


def _setting(row: Row) -> str:
    return f"b{row.batch} {row.precision} {row.backend} {row.kernel} {row.device}"


def _pretraining(row: Row) -> str:
    """What both saw, or what each of them did."""
    if row.pretrain == row.pretrain_full or not row.pretrain:
        return row.pretrain or "-"
    return f"{row.pretrain}; full model: {row.pretrain_full}" if row.pretrain_full else str(row.pretrain)


COMPRESSED_COLUMNS: tuple[Column, ...] = (
    ("full model", Word("variant_of")),
    ("variant", Word("model")),
    ("how", Word("how")),
    ("clip", CLIP),
    ("setting", _setting),
    PARAMS,
    ("params / full", figure(units.three_digits, "times_params")),
    GMACS,
    ("MACs / full", figure(units.three_digits, "times_macs")),
    ("latency", LATENCY),
    ("latency / full", figure(units.three_digits, "times_latency_median_s")),
    ("saved", figure(units.size, "serialized_bytes")),
    ("saved / full", figure(units.three_digits, "times_serialized_bytes")),
    ("distance", figure(units.distance, "logit_error")),
    ("top-1 (%)", figure(units.accuracy, "top1", quoted=True)),
    ("full model's", figure(units.accuracy, "top1_full", quoted=True)),
    ("pre-training", _pretraining),
    QUALITY,
    CELL,
)
