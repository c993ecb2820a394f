"""Compressed variants, and the full model of each: smaller ones, those that select or prune, and INT8 of any model.

Which variant belongs to which model, and how it is smaller, is data (`variants.csv`). None of the catalog is distilled:
a distilled network costs what its architecture does. A variant is compared with its full model on the same clip. Its
accuracy is quoted where somebody published one for that clip; that of a quantised network is not known, and what is
known instead, the distance of its logits from those in fp32, is another thing than accuracy.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import pandas as pd

from vbench.analysis.comparison import at_clip, k400_rows

INT8 = "INT8 linear layers"
FULL = {"variant_of": "", "how": ""}  # a model that is no smaller variant of another
AXES = (
    "frames", "height", "width", "batch", "backend", "kernel", "device", "ranks", "threads", "checkpointing",
    "accumulation",
)  # fmt: skip
FIGURES = ("params", "macs", "latency_median_s", "serialized_bytes")
RATIOS = {f"times_{figure}": figure for figure in FIGURES}
QUOTED = ("top1", "top1_full", "pretrain", "pretrain_full")


def variants() -> pd.DataFrame:
    """`key`, `variant_of`, `how` it is smaller; and `published`, where the catalog lacks the network, its row there."""
    with files("vbench.data").joinpath("variants.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False, dtype="object")


@lru_cache
def of_catalog() -> dict[str, dict[str, str]]:
    """`variant_of` and `how` of every variant that is in the catalog, by its key."""
    rows = variants().query("key != ''").to_dict("records")
    return {row["key"]: {"variant_of": row["variant_of"], "how": row["how"]} for row in rows}


def compressed_frame(frame: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Every variant's cell whose full model has one of the same clip and setting, in inference.

    Beside the columns of `records_frame`: `variant_of`, `how`, `times_params`, `times_macs`, `times_latency_median_s`
    and `times_serialized_bytes`, over the full model's figures (of latencies only within one environment), and `top1`
    and `top1_full`, in percent, with `pretrain` and `pretrain_full`; NaN and empty where unknown.
    """
    cells = frame[frame["macs"].notna() & (frame["mode"] == "infer")]
    paired = _with_full(cells.merge(_pairs(cells), on=["model", "precision"]), cells)
    for ratio, figure in RATIOS.items():
        paired[ratio] = paired[figure].astype("float64") / paired[f"{figure}_full"].astype("float64")
    elsewhere = paired["environment"] != paired["environment_full"]
    paired.loc[elsewhere, "times_latency_median_s"] = float("nan")
    accuracies = [_accuracies(row, published) for row in paired.to_dict("records")]
    quoted = pd.DataFrame(accuracies, columns=list(QUOTED), index=paired.index)
    return pd.concat([paired, quoted], axis=1).sort_values(["variant_of", "macs", "model"], kind="stable")


def _pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """For each model and precision the full models that it is compared with, and in which precision."""
    known, rows = of_catalog(), []
    for model, precision in dict.fromkeys(zip(cells["model"], cells["precision"], strict=True)):
        if precision == "int8":
            rows.append((model, precision, model, "fp32", INT8))
        if model in known:
            rows.append((model, precision, known[model]["variant_of"], precision, known[model]["how"]))
    return pd.DataFrame(rows, columns=["model", "precision", "variant_of", "full_precision", "how"], dtype="object")


def _with_full(cells: pd.DataFrame, all_cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the figures and the environment of the full model's cell, named `..._full`."""
    there = ["model", "precision", *AXES]
    full = all_cells[[*there, *FIGURES, "environment"]].drop_duplicates(there)
    full = full.rename(columns={name: f"{name}_full" for name in (*FIGURES, "environment")})
    full = full.rename(columns={"model": "variant_of", "precision": "full_precision"})
    return cells.merge(full, on=["variant_of", "full_precision", *AXES])


def _accuracies(row: dict[Any, Any], published: pd.DataFrame) -> tuple[float, float, str, str]:
    """Top-1 on Kinetics-400 of both at the cell's clip, of one pre-training if there is such a pair."""
    of_variant = _published(published, row["model"], row["precision"], row)
    of_full = _published(published, row["variant_of"], row["full_precision"], row)
    alike = of_variant[of_variant["pretrain"].isin(set(of_full["pretrain"]))]
    own, own_pretrain = _first(alike if len(alike) else of_variant)
    same = of_full[of_full["pretrain"] == own_pretrain]
    full, full_pretrain = _first(same if len(same) else of_full)
    return own, full, own_pretrain, full_pretrain


def _published(published: pd.DataFrame, model: str, precision: str, clip: dict[Any, Any]) -> pd.DataFrame:
    """The model's rows at the clip with an accuracy; none in INT8, of which none is published."""
    known = k400_rows(published).dropna(subset=["metric"])
    rows = at_clip(known.assign(model=known["key"]), model, clip)
    return rows.head(0) if precision == "int8" else rows


def _first(rows: pd.DataFrame) -> tuple[float, str]:
    """The accuracy and the pre-training of the first row; NaN and nothing where there is none."""
    return (float(rows.iloc[0]["metric"]), str(rows.iloc[0]["pretrain"])) if len(rows) else (float("nan"), "")


def quoted_variants(published: pd.DataFrame) -> pd.DataFrame:
    """The published rows of variants that the catalog lacks, with `variant_of` and `how`; their cost is quoted, too."""
    absent = variants().query("published != ''")[["published", "variant_of", "how"]]
    rows = published.assign(published=published["architecture"] + " " + published["variant"])
    return rows.merge(absent, on="published")
