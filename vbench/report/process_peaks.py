"""The figure of predicted against measured process peaks: one point a cell, bands of 5 % and 15 %, the line of 256 MB.

Prediction is judged on cells over 256 MB; smaller ones are a process's floor and little else. Only cells that were
measured on a CPU and have both figures are shown: on CUDA a measured peak is what the allocator reserved, and the
prediction holds the context as well.
"""

from __future__ import annotations

import pandas as pd

from vbench import units
from vbench.report.scatter import Band, Scatter
from vbench.stats import median

JUDGED_BYTES = 256 * 10**6
BANDS = (Band(0.05, "within 5 %"), Band(0.15, "within 15 %"))
NAME = "process_peak_predicted"


def process_peaks_plot(frame: pd.DataFrame) -> Scatter | None:
    """What the figure shows of `predicted_process_peak_bytes` and `peak_memory_bytes`; None without data."""
    known = frame[frame["device"] == "cpu"].dropna(subset=["predicted_process_peak_bytes", "peak_memory_bytes"])
    if known.empty:
        return None
    return Scatter(
        title="Predicted against measured peak memory of the process",
        subtitle=_subtitle(known),
        x_label="measured peak of the process (bytes)",
        y_label="predicted peak of the process (bytes)",
        text=units.size,
        x=known["peak_memory_bytes"].astype("float64").tolist(),
        y=known["predicted_process_peak_bytes"].astype("float64").tolist(),
        bands=BANDS,
        line_at=JUDGED_BYTES,
        line_label="judged above 256 MB",
    )


def errors_over_256_mb(frame: pd.DataFrame) -> list[float]:
    """|predicted / measured - 1| of every cell whose measured peak is over 256 MB."""
    large = frame[frame["peak_memory_bytes"] > JUDGED_BYTES]
    return (large["predicted_process_peak_bytes"] / large["peak_memory_bytes"] - 1).abs().astype("float64").tolist()


def _subtitle(known: pd.DataFrame) -> str:
    errors = errors_over_256_mb(known)
    if not errors:
        return "no cell over 256 MB"
    return (
        f"{len(errors)} cells over 256 MB: median error {units.percent(median(errors))}, "
        f"worst {units.percent(max(errors))}\npredicted as floor + tensor peak + workspace of the allocator"
    )
