"""Claimed | published | counted and measured: the rows of two comparison tables on Kinetics-400, and of the catalog.

Top-1 accuracies are quoted with their source, never measured here. Papers print giga-multiply-adds per view as
"GFLOPs". Each claimed figure is set against the published row that it belongs to; where the figures of one claimed
row belong to several published rows, the verdict names them.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pandas as pd

from vbench.analysis.frame import in_tokens
from vbench.units import accuracy, as_printed, extent, signed_percent

TOLERANCE = 0.01  # of a printed figure
FIGURES = {"gmacs": (as_printed, "GMACs"), "params_m": (as_printed, "M parameters"), "top1": (accuracy, "% top-1")}
COLUMNS = (
    "id", "table", "model", "key", "clip", "views", "gmacs_claimed", "gmacs_published", "gmacs_counted",
    "deviation_percent", "params_m_claimed", "params_m_published", "params_m_counted", "top1_claimed",
    "top1_published", "pretrain", "latency_s", "latency_low_s", "latency_high_s", "verdict", "cell", "source", "note",
)  # fmt: skip
DEFAULT_SETTING = {
    "batch": 1, "precision": "fp32", "mode": "infer", "backend": "eager", "kernel": "fused", "ranks": 1, "views": 1,
}  # fmt: skip

Row = dict[str, Any]


def published_frame() -> pd.DataFrame:
    """The published figures: GMACs per view, parameters in millions, accuracies in percent; NaN where unknown."""
    return _data("published.csv")


def claims_frame() -> pd.DataFrame:
    """The claimed rows of both comparison tables, with the published row that each figure belongs to."""
    return _data("claims_k400.csv")


def published_accuracies() -> pd.DataFrame:
    """Every published accuracy, on any data set: `metric` in percent, with model, data set and source."""
    columns = ["key", "architecture", "variant", "dataset", "metric_name", "metric", "source", "note"]
    return pd.concat([published_frame()[columns], _data("accuracies.csv")], ignore_index=True).dropna(subset=["metric"])


def published_rows(key: str) -> list[Row]:
    """The published rows of one catalog key, empty columns left out."""
    published = published_frame()
    rows = published[published["key"] == key].to_dict("records")
    return [{str(name): value for name, value in row.items() if value != "" and pd.notna(value)} for row in rows]


def _data(name: str) -> pd.DataFrame:
    with files("vbench.data").joinpath(name).open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    text = table.select_dtypes(exclude="number").columns
    table[text] = table[text].astype("object").fillna("")
    return table


def k400_rows(published: pd.DataFrame) -> pd.DataFrame:
    """The published rows with a key of the catalog and figures for top-1 on Kinetics-400."""
    on_k400 = (published["dataset"] == "K400") & (published["metric_name"] == "top1")
    named = published[on_k400 & (published["key"] != "")]
    return named[named[["gmacs_per_view", "params_m", "metric"]].notna().any(axis=1)]


def comparison_frame(frame: pd.DataFrame, published: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Every claimed row, then in table K400-1 every published K400 row of a model that the records hold.

    GMACs per view, parameters in millions, accuracies in percent, latencies in seconds per view in the default
    setting (fp32, inference, batch 1, eager); `deviation_percent` is counted against published GMACs.
    """
    known = k400_rows(published)
    rows = [_claimed_row(claim, frame, known) for _, claim in claims.iterrows()]
    present = known[known["key"].isin(set(frame["model"]))]
    rows += [_catalog_row(row, frame) for _, row in present.iterrows()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _claimed_row(claim: pd.Series[Any], frame: pd.DataFrame, known: pd.DataFrame) -> Row:
    row = _published_columns(_closest(claim, known)) | _observed(claim["key"], _closest(claim, known), frame)
    row |= {f"{figure}_claimed": float(claim[figure]) for figure in FIGURES}
    row |= {name: claim[name] for name in ("id", "table", "model", "key", "note")}
    row["deviation_percent"] = _deviation_percent(row)
    return row | {"verdict": claim_verdict(row, claim["published_rows"])}


def _catalog_row(published: pd.Series[Any], frame: pd.DataFrame) -> Row:
    row = _published_columns(published) | _observed(published["key"], published, frame)
    row |= {"id": "", "table": "K400-1", "key": published["key"], "note": published["note"]}
    row["model"] = f"{published['architecture']} {published['variant']}"
    row["deviation_percent"] = _deviation_percent(row)
    return row | {"verdict": _against_counts(row, "published")}


def _closest(claim: pd.Series[Any], known: pd.DataFrame) -> pd.Series[Any]:
    """The key's published row whose accuracy is nearest to the claimed one: a row belongs to its pre-training too."""
    rows = known[known["key"] == claim["key"]]
    distance = (rows["metric"].fillna(0) - claim["top1"]).abs().to_list()
    row: pd.Series[Any] = rows.iloc[distance.index(min(distance))]
    return row


def _published_columns(published: pd.Series[Any]) -> Row:
    spatial, temporal = published["views_spatial"], published["views_temporal"]
    sizes = (published["frames"], published["height"], published["width"])
    return {
        "clip": extent(*(int(size) for size in sizes)) if all(map(pd.notna, sizes)) else "",
        "views": f"{spatial:.0f}x{temporal:.0f}" if pd.notna(spatial) and pd.notna(temporal) else "",
        "gmacs_published": published["gmacs_per_view"],
        "params_m_published": published["params_m"],
        "top1_published": published["metric"],
        "pretrain": published["pretrain"],
        "source": published["source"],
    }


def _observed(key: str, published: pd.Series[Any], frame: pd.DataFrame) -> Row:
    """What the records hold of the model at the clip of the published row."""
    cells = at_clip(default_setting(frame), key, published)
    counted = cells[cells["macs"].notna()].head(1)
    row: Row = {"gmacs_counted": float("nan"), "params_m_counted": float("nan"), "cell": ""}
    for _, first in counted.iterrows():
        row = {"gmacs_counted": first["macs"] / 1e9, "params_m_counted": first["params"] / 1e6, "cell": first["cell"]}
    for _, first in cells[cells["status"] == "measured"].nsmallest(1, "latency_median_s").iterrows():
        names = {"latency_s": "latency_median_s", "latency_low_s": "latency_low_s", "latency_high_s": "latency_high_s"}
        row |= {name: first[column] for name, column in names.items()} | {"cell": first["cell"]}
    return row


def default_setting(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks' rows in the default setting: fp32, inference, batch 1, eager, fused attention, one view."""
    wanted = ~in_tokens(frame) & ~frame["checkpointing"]
    for column, value in DEFAULT_SETTING.items():
        wanted &= frame[column] == value
    return frame[wanted]


def at_clip(frame: pd.DataFrame, model: str, clip: Any) -> pd.DataFrame:
    """The model's rows with the clip's frames, height and width; no rows where one of these is unknown."""
    wanted = frame["model"] == model
    for axis in ("frames", "height", "width"):
        wanted &= frame[axis].astype("float64") == clip[axis]
    return frame[wanted]


def _deviation_percent(row: Row) -> float:
    return float(100 * (row["gmacs_counted"] / row["gmacs_published"] - 1))


def claim_verdict(row: Row, published_rows: str) -> str:
    """`agrees`, `other row: ...`, `contradicted: ...` or `not measured` for one claimed row.

    `published_rows` reads `gmacs: KEY; params_m: KEY; top1: KEY`, with `none` where no published row of the
    architecture has the figure.
    Only what the published rows do not settle is decided by the counts, within `tolerance`.
    """
    owners = dict(part.split(": ") for part in published_rows.split("; "))
    figures = {name: f"{text(row[f'{name}_claimed'])} {unit}" for name, (text, unit) in FIGURES.items()}
    orphans = [figures[name] for name, owner in owners.items() if owner == "none"]
    strangers = [f"{figures[name]} of {owner}" for name, owner in owners.items() if owner not in ("none", row["key"])]
    if orphans:
        elsewhere = f"; {', '.join(strangers)}" if strangers else ""
        return f"contradicted: no published row of the architecture has {', '.join(orphans)}{elsewhere}"
    return f"other row: {', '.join(strangers)}" if strangers else _against_counts(row, "claimed")


def _against_counts(row: Row, side: str) -> str:
    """The verdict on GMACs and parameters of one side against the counts; accuracy is quoted and not judged here."""
    if pd.isna(row["gmacs_counted"]):
        return "not measured"
    pairs = {"GMACs": "gmacs", "parameters": "params_m"}
    figures = {word: (row[f"{name}_counted"], row[f"{name}_{side}"]) for word, name in pairs.items()}
    figures = {word: (counted, printed) for word, (counted, printed) in figures.items() if pd.notna(printed)}
    if not figures:
        return "quoted"
    off = [
        f"{word} {signed_percent(counted / printed - 1)}"
        for word, (counted, printed) in figures.items()
        if abs(counted - printed) > tolerance(printed)
    ]
    return f"contradicted: counted {', '.join(off)}" if off else "agrees"


def tolerance(printed: float) -> float:
    """1 % of a printed figure, or half a unit of its last digit where rounding hides more than that."""
    decimals = len(as_printed(printed).partition(".")[2])
    return max(TOLERANCE * printed, 0.5 * 10.0**-decimals)
