"""What it costs where the norms of the neutral backbone stand: pre-norm, post-norm and adaptive norm.

Ratios are to the pre-norm backbone of the same pattern, clip, setting and environment; those of latencies lie within
what the machine's moods make of two cells that are measured one after the other.
"""

from __future__ import annotations

import pandas as pd

PLACEMENTS = {
    "backbone": "pre-norm", "backbone_post_norm": "post-norm", "backbone_adaptive_norm": "adaptive norm",
}  # fmt: skip
SAME = (
    "pattern", "frames", "height", "width", "batch", "precision", "mode", "backend", "kernel", "device", "ranks",
    "checkpointing", "accumulation", "threads", "environment",
)  # fmt: skip
FIGURES = ("params", "macs", "latency_median_s")


def normalisation_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The backbone's cells that differ in nothing but where the norms stand, where two placements or more are known.

    Beside the columns of `records_frame`: `pattern`, `placement`, and against the pre-norm backbone `times_params` and
    `times_latency`, ratios, and `more_macs`, a difference; NaN where that was not counted or measured.
    """
    placed = _placed(frame)
    known = placed.groupby(list(SAME), dropna=False)["placement"].transform("nunique")
    compared = placed[known.to_numpy() > 1].drop_duplicates([*SAME, "placement"])
    before = compared.loc[compared["placement"] == PLACEMENTS["backbone"], [*SAME, *FIGURES]].astype(
        dict.fromkeys(FIGURES, "float64")
    )
    compared = compared.merge(before, on=list(SAME), how="left", suffixes=("", "_before"))
    compared["times_params"] = compared["params"].astype("float64") / compared["params_before"]
    compared["more_macs"] = compared["macs"].astype("float64") - compared["macs_before"]
    compared["times_latency"] = compared["latency_median_s"] / compared["latency_median_s_before"]
    order = compared["placement"].map(list(PLACEMENTS.values()).index)
    return compared.assign(order=order).sort_values([*SAME, "order"], kind="stable")


def _placed(frame: pd.DataFrame) -> pd.DataFrame:
    """The counted cells of a backbone, with its pattern and the place of its norms."""
    counted = frame[frame["macs"].notna()].copy()
    names = [str(model).partition(":") for model in counted["model"]]
    counted["placement"] = [PLACEMENTS.get(backbone, "") for backbone, _, _ in names]
    counted["pattern"] = [pattern for _, _, pattern in names]
    return counted[counted["placement"] != ""]
