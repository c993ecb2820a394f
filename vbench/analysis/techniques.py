"""What precision, training and back ends change: each measured cell beside the same model and clip in eager fp32.

A ratio is of two latencies of one environment, measured one after the other: small ones are the machine's moods.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

PLAIN = {"precision": "fp32", "backend": "eager", "accumulation": 1, "checkpointing": False, "ranks": 1}
SAME = ("model", "frames", "height", "width", "batch", "mode", "kernel", "device", "threads", "environment")


def techniques_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The measured cells in training, or in another precision or back end than fp32 and eager, with their plain cell.

    Beside the columns of `records_frame`: `setting`, in words, and `times_plain`, the latency over that of the cell
    that differs in nothing but precision, back end, ranks, checkpointing and accumulation, threads of each process
    included; NaN where that was not measured.
    """
    measured = frame[frame["status"] == "measured"]
    is_plain = (measured[list(PLAIN)] == pd.Series(PLAIN)).all(axis=1)
    chosen = measured[~is_plain | (measured["mode"] == "train")].copy()
    plain = measured[is_plain].drop_duplicates(list(SAME)).set_index(list(SAME))["latency_median_s"]
    keys = pd.MultiIndex.from_frame(chosen[list(SAME)]) if len(chosen) else pd.MultiIndex.from_arrays([[]] * len(SAME))
    chosen["times_plain"] = chosen["latency_median_s"].to_numpy() / plain.reindex(keys).to_numpy(dtype="float64")
    chosen["setting"] = [_setting(row) for row in chosen.itertuples()]
    return chosen.sort_values([*SAME[:6], "precision", "backend"], kind="stable")


def _setting(row: Any) -> str:
    """The axes of a row in words, without those that mostly stay as they are."""
    mixing = re.search(r"/mixing=(\w+)", row.cell)
    words = (
        f"b{row.batch}",
        row.precision,
        row.mode,
        row.backend,
        row.kernel if row.kernel != "fused" else "",
        row.device if row.device != "cpu" else "",
        "checkpointing" if row.checkpointing else "",
        f"{row.accumulation} accumulated" if row.accumulation > 1 else "",
        mixing[1] if mixing else "",
        f"{row.ranks} ranks" if row.ranks > 1 else "",
    )
    return " ".join(word for word in words if word)
