"""Architecture by clip length: what short, medium and long clips cost, held against the literature's advice.

One clip of so many frames costs what was counted and measured of it, at each model's own crop. A model that remembers
takes a long video clip by clip: its cost is that of so many clips with its memory full, its peak that of one. Accuracy
belongs to its clip: where nobody published one for so many frames it is undecided, whatever is published for others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from vbench import units
from vbench.analysis.comparison import at_clip, default_setting, k400_rows
from vbench.analysis.frame import DefaultClip, default_clips
from vbench.analysis.trade_off import of_one_machine

REMEMBERING = {"memvit_16": 16, "memvit_24": 32, "memory_bank": 16}  # key -> frames of a clip
CROP = 224  # of models whose own clip is not among the records
CARDS_GIB = (4, 8, 16, 24, 40, 80)  # memories that accelerators are sold with
COLUMNS = (
    "id", "length", "span", "frames", "model", "advice", "clip", "macs", "latency_s", "latency_low_s",
    "latency_high_s", "peak_memory_bytes", "predicted_peak_bytes", "fits_gib", "top1", "pretrain", "accuracy",
    "cost_verdict", "cost_reason", "hardware", "cell",
)  # fmt: skip
NUMBERS = (
    "macs", "latency_s", "latency_low_s", "latency_high_s", "peak_memory_bytes", "predicted_peak_bytes", "fits_gib",
    "top1",
)  # fmt: skip
ADVISED, RIVAL = "advised", "rival"
COSTS = {"latency_s": units.seconds, "macs": units.macs}

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What the literature advises for clips of so many frames: `advised` rather than `rivals`, by catalog key."""

    claim: str
    length: str
    span: str
    frames: int
    advised: tuple[str, ...]
    rivals: tuple[str, ...]

    def of(self, model: str) -> str:
        """`advised`, `rival` or nothing."""
        return ADVISED if model in self.advised else RIVAL if model in self.rivals else ""


def read_advice() -> list[Advice]:
    """The literature's advice, from short clips to long ones."""
    with files("vbench.data").joinpath("advice.csv").open(encoding="utf-8") as file:
        rows: list[dict[Any, Any]] = pd.read_csv(file, keep_default_na=False).to_dict("records")
    return [
        Advice(**{**row, "advised": tuple(row["advised"].split()), "rivals": tuple(row["rivals"].split())})
        for row in rows
    ]


def selection_frame(frame: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row for each length of the advice and each network whose cost at that length the records hold.

    Costs are of the whole clip: multiply-adds, and where measured seconds with their interval, of one machine.
    `fits_gib` is the least of usual memories that holds the predicted peak. The verdict on cost stands in the rows of
    the models that the advice speaks of.
    """
    cells = of_one_machine(default_setting(frame[frame["kind"] == "architecture"]))
    models = {str(model): part for model, part in cells.groupby("model", sort=False)}
    quoted = k400_rows(published)
    rows = [row for advice in read_advice() for row in _of_length(advice, models, default_clips(frame), quoted)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, "float64"))


def _of_length(
    advice: Advice, models: Mapping[str, pd.DataFrame], clips: Mapping[str, DefaultClip], published: pd.DataFrame
) -> list[Row]:
    rows = sorted(_costed(advice, models, clips, published), key=lambda row: float(row["macs"]))
    verdict, reason = cost_verdict(pd.DataFrame(rows, columns=list(COLUMNS)))
    for row in rows:
        spoken_of = row["advice"] != ""
        row |= {"cost_verdict": verdict if spoken_of else "", "cost_reason": reason if spoken_of else ""}
    return rows


def _costed(
    advice: Advice, models: Mapping[str, pd.DataFrame], clips: Mapping[str, DefaultClip], published: pd.DataFrame
) -> Iterator[Row]:
    for model, cells in models.items():
        height, width = (clips[model]["height"], clips[model]["width"]) if model in clips else (CROP, CROP)
        frames = min(REMEMBERING.get(model, advice.frames), advice.frames)
        at_length = at_clip(cells, model, {"frames": frames, "height": height, "width": width})
        known = at_length[at_length["macs"].notna()]
        if known.empty:
            continue
        times = math.ceil(advice.frames / frames)
        extent = units.extent(frames, height, width)
        yield {
            "id": advice.claim, "length": advice.length, "span": advice.span, "frames": advice.frames, "model": model,
            "advice": advice.of(model), "clip": extent if times == 1 else f"{times} x {extent}, remembered",
            **_costs(known, times), **_accuracy(published, model, advice.frames, height),
        }  # fmt: skip


def _costs(known: pd.DataFrame, times: int) -> Row:
    """What the cells at one clip say of its cost, so many times over; peaks are of one clip."""
    measured = known[known["status"] == "measured"].nsmallest(1, "latency_median_s")
    best = measured.iloc[0] if len(measured) else known.iloc[0]
    latency = {
        f"latency_{name}s": times * float(best[f"latency_{part}_s"])
        for name, part in (("", "median"), ("low_", "low"), ("high_", "high"))
    }
    of_process, of_tensors = (_number(best[f"predicted_{part}peak_bytes"]) for part in ("process_", ""))
    peak = of_tensors if math.isnan(of_process) else of_process
    return {
        "macs": times * float(best["macs"]), **latency, "peak_memory_bytes": _number(best["peak_memory_bytes"]),
        "predicted_peak_bytes": peak, "fits_gib": _fits(peak), "hardware": best["hardware"] if len(measured) else "",
        "cell": best["cell"],
    }  # fmt: skip


def _number(value: Any) -> float:
    return math.nan if pd.isna(value) else float(value)


def _fits(peak_bytes: float) -> float:
    """The least memory that holds the peak, in GiB; infinite where none does."""
    if math.isnan(peak_bytes):
        return math.nan
    return next((float(memory) for memory in CARDS_GIB if peak_bytes <= memory * 2**30), math.inf)


def _accuracy(published: pd.DataFrame, model: str, frames: int, height: int) -> Row:
    """The best top-1 that somebody published for this model at so many frames of this crop."""
    mine = published[(published["key"] == model) & (published["frames"] == frames) & (published["height"] == height)]
    best = mine.dropna(subset=["metric"]).nlargest(1, "metric")
    for _, row in best.iterrows():
        return {"top1": float(row["metric"]), "pretrain": row["pretrain"], "accuracy": "quoted"}
    return {"top1": math.nan, "pretrain": "", "accuracy": "undecided"}


def cost_verdict(rows: pd.DataFrame) -> tuple[str, str]:
    """`agrees` where the cheapest advised model costs less than every rival, `contradicted` where a rival costs less.

    By latency where both sides were measured, and undecided where the intervals of the two cheapest overlap; else by
    multiply-adds. The second text is the reason.
    """
    advised, rivals = (rows[rows["advice"] == role] for role in (ADVISED, RIVAL))
    if advised.empty or rivals.empty:
        missing = " and ".join(word for word, part in (("advised", advised), ("rival", rivals)) if part.empty)
        return "undecided", f"no cost of any {missing} model in these records"
    both_measured = advised["latency_s"].notna().any() and rivals["latency_s"].notna().any()
    column = "latency_s" if both_measured else "macs"
    best, rival = (part.nsmallest(1, column).iloc[0] for part in (advised, rivals))
    text = COSTS[column]
    reason = (
        f"the cheapest advised, {best['model']}, costs {text(best[column])}, the cheapest rival, {rival['model']}, "
        f"{text(rival[column])}{'' if both_measured else ' (counted)'}"
    )
    if both_measured and not _told_apart(best, rival):
        return "undecided", f"{reason}: their intervals do not tell them apart"
    return ("agrees" if best[column] < rival[column] else "contradicted"), reason


def _told_apart(one: Any, other: Any) -> bool:
    """Whether two intervals are known and do not overlap."""
    return bool(one["latency_high_s"] < other["latency_low_s"] or other["latency_high_s"] < one["latency_low_s"])
