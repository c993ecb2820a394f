"""Published accuracy against the cost of the protocol that earned it: its views times what one view costs here.

Only top-1 on Kinetics-400: accuracies of other data sets and tasks share no axis with it. A row's cost is its own
clip's: published at another clip or crop than was counted or measured, it has none. Latencies are of one machine.
Compressed variants name their full model; one that the catalog lacks stands beside it at the cost that was published.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from vbench.analysis.comparison import at_clip, default_setting, k400_rows
from vbench.analysis.variants import FULL, of_catalog, quoted_variants
from vbench.units import extent

COSTS = ("macs", "latency_s")
COLUMNS = (
    "key", "row", "clip", "frames", "views", "pretrain", "top1", "macs", "latency_s", "latency_low_s",
    "latency_high_s", "quality", "hardware", "front_macs", "front_latency_s", "variant_of", "how", "basis", "cell",
    "source",
)  # fmt: skip


def trade_off_frame(frame: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row for each published top-1 whose clip and views are known and whose clip the records hold.

    Costs are those of the whole protocol: multiply-adds, seconds with their interval; NaN where nothing was measured.
    `variant_of` and `how` say of which model in the catalog the row's is a smaller variant. `basis` is `counted`, or
    `quoted` of a variant whose multiply-adds are the published ones.
    `front_macs` and `front_latency_s` say which rows no other beats in both accuracy and that cost, quoted ones aside.
    """
    known = ["metric", "frames", "height", "views_spatial", "views_temporal"]
    cells = of_one_machine(default_setting(frame))
    rows = k400_rows(published).dropna(subset=known)
    smaller = of_catalog()
    found = [_row(row, at_clip(cells, row["key"], row), smaller.get(row["key"], FULL)) for _, row in rows.iterrows()]
    present = {row["key"] for row in found if row}
    beside = quoted_variants(published).dropna(subset=[*known, "gmacs_per_view"])
    found += [_quoted_row(row) for _, row in beside[beside["variant_of"].isin(present)].iterrows()]
    table = pd.DataFrame([row for row in found if row], columns=list(COLUMNS))
    for cost in COSTS:
        table[f"front_{cost}"] = on_front(table[cost].where(table["basis"] == "counted"), table["top1"])
    return table


def on_front(costs: pd.Series[Any], accuracies: pd.Series[Any]) -> pd.Series[bool]:
    """Which rows no other beats: in rising cost, each new highest accuracy; no row without a cost is on it."""
    points = pd.DataFrame({"cost": costs.astype("float64"), "accuracy": accuracies.astype("float64")}).dropna()
    points = points.sort_values(["cost", "accuracy"], ascending=[True, False], kind="stable")
    highest = points["accuracy"].cummax().shift(fill_value=0.0)
    return (points["accuracy"] > highest).reindex(costs.index, fill_value=False).astype(bool)


def of_one_machine(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells without those that were measured on another machine than most."""
    measured = cells["status"] == "measured"
    hardware = cells.loc[measured, "hardware"].mode().head(1)
    return cells[~measured | cells["hardware"].isin(hardware)]


def _row(published: pd.Series[Any], cells: pd.DataFrame, full: dict[str, str]) -> dict[str, Any] | None:
    counted = cells[cells["macs"].notna()].head(1)
    if counted.empty:
        return None
    row, views = _of_protocol(published) | full | {"basis": "counted"}, _views(published)
    row |= {"key": published["key"], "macs": views * float(counted.iloc[0]["macs"]), "cell": counted.iloc[0]["cell"]}
    for _, best in cells[cells["status"] == "measured"].nsmallest(1, "latency_median_s").iterrows():
        names = {"latency_s": "latency_median_s", "latency_low_s": "latency_low_s", "latency_high_s": "latency_high_s"}
        row |= {name: views * float(best[column]) for name, column in names.items()}
        row |= {"quality": best["quality"], "hardware": best["hardware"], "cell": best["cell"]}
    return row


def _quoted_row(published: pd.Series[Any]) -> dict[str, Any]:
    """A variant that the catalog lacks, at the multiply-adds that its paper prints."""
    macs = _views(published) * float(published["gmacs_per_view"]) * 1e9
    named = {name: published[name] for name in ("variant_of", "how")}
    return _of_protocol(published) | named | {"key": published["published"], "macs": macs, "basis": "quoted"}


def _of_protocol(published: pd.Series[Any]) -> dict[str, Any]:
    """What a published row says of itself, and no latency."""
    return {
        "row": f"{published['architecture']} {published['variant']}",
        "clip": extent(*(int(published[axis]) for axis in ("frames", "height", "width"))),
        "frames": int(published["frames"]),
        "views": f"{published['views_spatial']:.0f}x{published['views_temporal']:.0f}",
        "pretrain": published["pretrain"],
        "top1": float(published["metric"]),
        "source": published["source"],
        **dict.fromkeys(("quality", "hardware", "cell"), ""),
        **dict.fromkeys(("latency_s", "latency_low_s", "latency_high_s"), float("nan")),
    }


def _views(published: pd.Series[Any]) -> int:
    return int(published["views_spatial"] * published["views_temporal"])
