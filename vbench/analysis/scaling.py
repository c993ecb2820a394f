"""How cost grows along one axis: the exponent e of y = c x^e over cells that differ in nothing but that axis.

Exponents of few sizes mislead: below `MINIMUM_SIZES` there is no row. An exponent over a finite range is an average:
exact growth is the business of the derived polynomials, and the range stands beside each exponent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import pandas as pd

from vbench.analysis.frame import in_tokens
from vbench.stats import log_log_slope

MINIMUM_SIZES = 5
COUNTED = ("macs", "attention_macs", "predicted_peak_bytes")
MEASURED = ("peak_memory_bytes", "latency_median_s")
COLUMNS = (
    "model", "kind", "axis", "variable", "metric", "exponent", "low", "high", "points", "smallest", "largest", "held",
    "precision", "mode", "kernel", "device", "batch", "hardware",
)  # fmt: skip

Axis = Literal["frames", "resolution", "time", "space"]
VARIABLES: dict[Axis, str] = {
    "frames": "T (frames)",
    "resolution": "H*W (pixels)",
    "time": "T (tokens)",
    "space": "H*W (tokens)",
}


@dataclass(frozen=True, slots=True)
class Series:
    """Cells of one model that differ only along `axis`, in rising order of `x`.

    `x` is T in frames or tokens, or H*W in pixels or tokens; `held` says what stayed the same; `setting` is the cell
    id without model and extent.
    """

    model: str
    axis: Axis
    held: str
    setting: str
    x: list[int]
    rows: pd.DataFrame


def scaling_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Exponents with 95 % intervals for every model, axis and metric with at least 5 sizes.

    Counted metrics are the same on every machine, so their `hardware` is empty; measured ones are fitted within one
    environment. Unknown values and zeros are left out.
    """
    counted = [_fit(series, metric) for metric in COUNTED for series in all_series(frame)]
    by_environment = [part for _, part in frame[frame["status"] == "measured"].groupby("environment", sort=False)]
    measured = [_fit(series, metric) for metric in MEASURED for part in by_environment for series in all_series(part)]
    rows = [row for row in (*counted, *measured) if row is not None]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def all_series(frame: pd.DataFrame, axes: Collection[Axis] = tuple(VARIABLES)) -> Iterator[Series]:
    """Every series of the frame's cells along these axes, of two sizes or more."""
    masked = frame["cell"].str.replace(r"/[gt]\d+x\d+x\d+/", "/*/", n=1, regex=True)
    token_rows = in_tokens(frame)
    for tokens, time, space in ((False, "frames", "resolution"), (True, "time", "space")):
        if not {time, space} & {*axes}:
            continue
        part = frame[token_rows == tokens]
        for (model, name), cells in part.groupby(["model", masked[token_rows == tokens]], sort=False):
            setting = str(name).split("/*/")[-1]
            if time in axes:
                yield from _along_time(str(model), setting, cells, tokens)
            if space in axes:
                yield from _along_space(str(model), setting, cells, tokens)


def comparable(frame: pd.DataFrame, column: str, axis: Axis) -> list[Series]:
    """One series per model, all of one setting and one held size: those that most models, then most cells, share.

    Only cells that have the column, which is more than 0; of measured columns only those of one machine.
    """
    known = frame[frame[column].astype("float64") > 0]
    if column in MEASURED:
        known = known[known["hardware"].isin(known["hardware"].mode().head(1))]
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in all_series(known, (axis,)):
        groups.setdefault((series.held, series.setting), []).append(series)
    return max(groups.values(), key=_weight, default=[])


def _weight(group: Sequence[Series]) -> tuple[int, int]:
    return len(group), sum(len(series.x) for series in group)


def _along_time(model: str, setting: str, cells: pd.DataFrame, tokens: bool) -> Iterator[Series]:
    unit = " tokens" if tokens else ""
    for (height, width), group in cells.groupby(["height", "width"]):
        times = [int(frames) for frames in group["frames"]]
        axis: Axis = "time" if tokens else "frames"
        yield from _in_order(Series(model, axis, f"{height}x{width}{unit}", setting, times, group))


def _along_space(model: str, setting: str, cells: pd.DataFrame, tokens: bool) -> Iterator[Series]:
    shapes = [Fraction(int(h), int(w)) for h, w in zip(cells["height"], cells["width"], strict=True)]
    for (frames, shape), group in cells.groupby(["frames", pd.Series(shapes, index=cells.index, dtype=object)]):
        ratio = Fraction(str(shape))
        held = f"{frames} {'tokens in time' if tokens else 'frames'}"
        held += "" if ratio == 1 else f", height:width {ratio.numerator}:{ratio.denominator}"
        areas = [int(h) * int(w) for h, w in zip(group["height"], group["width"], strict=True)]
        yield from _in_order(Series(model, "space" if tokens else "resolution", held, setting, areas, group))


def _in_order(series: Series) -> Iterator[Series]:
    """The series from the smallest size up; nothing where there is one size only."""
    if len(set(series.x)) > 1:
        order = sorted(range(len(series.x)), key=series.x.__getitem__)
        yield replace(series, x=[series.x[place] for place in order], rows=series.rows.iloc[order])


def _fit(series: Series, metric: str) -> dict[str, Any] | None:
    values = series.rows[metric].astype("float64")
    known = [(x, y) for x, y in zip(series.x, values, strict=True) if y > 0]
    sizes = [x for x, _ in known]
    if len(set(sizes)) < MINIMUM_SIZES:
        return None
    slope = log_log_slope(sizes, [y for _, y in known])
    first = series.rows.iloc[0]
    shared = {name: first[name] for name in ("kind", "precision", "mode", "kernel", "device", "batch")}
    return {
        "model": series.model,
        "axis": series.axis,
        "variable": VARIABLES[series.axis],
        "metric": metric,
        "exponent": slope.estimate,
        "low": slope.low,
        "high": slope.high,
        "points": len(sizes),
        "smallest": min(sizes),
        "largest": max(sizes),
        "held": series.held,
        "hardware": first["hardware"] if metric in MEASURED else "",
        **shared,
    }
