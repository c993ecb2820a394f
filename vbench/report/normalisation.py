"""The table of where the neutral backbone's norms stand: parameters, multiply-adds and latency of each placement."""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.analysis.normalisation import normalisation_frame
from vbench.report.columns import CELL, CLIP, GMACS, LATENCY, PARAMS, PEAK, QUALITY, Column, Row, Word, figure
from vbench.report.tables import CONVENTION, Table


def normalisation_table(frame: pd.DataFrame) -> Table:
    """Every pattern's backbone whose norms were placed in two ways or more, at the same clip and setting."""
    return Table(
        name="normalisation",
        title="Where the norms stand",
        note=f"{CONVENTION}. The neutral ViT-B/16 around one pattern. Pre-norm: before attention and perceptron, and "
        "one at the end. Post-norm: after each residual sum, none at the end. Adaptive (adaLN-Zero of DiT): scale, "
        "shift and gate from the mean of the clip's embedded tokens, by a linear layer a block. Norms count no "
        "multiply-adds. "
        "Times pre-norm: the figure over that of the pre-norm backbone in the same environment.",
        data=normalisation_frame(frame),
        columns=NORMALISATION_COLUMNS,
    )


def _setting(row: Row) -> str:
    return f"b{row.batch} {row.precision} {row.mode} {row.backend} {row.kernel} {row.device}"


NORMALISATION_COLUMNS: tuple[Column, ...] = (
    ("pattern", Word("pattern")),
    ("norms", Word("placement")),
    ("clip", CLIP),
    ("setting", _setting),
    PARAMS,
    ("params times pre-norm", figure(units.three_digits, "times_params")),
    GMACS,
    ("beyond pre-norm", figure(units.macs, "more_macs")),
    ("latency", LATENCY),
    ("latency times pre-norm", figure(units.three_digits, "times_latency")),
    PEAK,
    QUALITY,
    CELL,
)
