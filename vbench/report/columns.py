"""The columns of a report's tables: a head with its unit, and how a row reads under it.

A reading is a function from a row to text. Those that are more than text say so by their class: a number by which a
page sorts, a file to which it links, a cell whose samples it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vbench import units

Row = Any  # a named tuple of DataFrame.itertuples
Column = tuple[str, Callable[[Row], str]]


@dataclass(frozen=True, slots=True)
class Number:
    """How a number reads, and the number; `quoted` is one that somebody printed, not one of the row's cell."""

    text: Callable[[Row], str]
    value: Callable[[Row], float]
    quoted: bool = False

    def __call__(self, row: Row) -> str:
        """The number as text."""
        return self.text(row)


@dataclass(frozen=True, slots=True)
class Word:
    """A column's text, or a dash."""

    name: str

    def __call__(self, row: Row) -> str:
        """The word of the row."""
        return str(getattr(row, self.name)) or "-"


class BesidePage(Word):
    """The address of a file that lies beside the page."""

    __slots__ = ()


class CellId(Word):
    """The id of the cell that a row's numbers are of."""

    __slots__ = ()


def _number(value: Any) -> float:
    return float("nan") if pd.isna(value) else float(value)


def _of(name: str) -> Callable[[Row], float]:
    return lambda row: _number(getattr(row, name))


def figure(text: Callable[[float], str], name: str, *, quoted: bool = False) -> Number:
    """A column's number, in words by `text`; NaN where the row has none."""
    value = _of(name)
    return Number(lambda row: text(value(row)), value, quoted)


def _printed(text: Callable[[float], str], name: str) -> Number:
    return figure(text, name, quoted=True)


def _interval(name: str) -> Number:
    value = _of(name)
    return Number(lambda row: units.seconds_interval(value(row), row.latency_low_s, row.latency_high_s), value)


def _clip_text(row: Row) -> str:
    return units.extent(row.frames, row.height, row.width)


def _clip_size(row: Row) -> float:
    return float(row.frames * row.height * row.width)


def _deviation(row: Row) -> str:
    return units.signed_percent(row.deviation_percent / 100)


def _attention_share(row: Row) -> float:
    return _number(row.attention_macs) / _number(row.macs) if row.macs else float("nan")


def _roofline(row: Row) -> str:
    """The fraction reached of the bound that binds, and which it is."""
    return f"{units.percent(_number(row.roofline_fraction))} {row.roofline_bound}".strip()


def _setting(row: Row) -> str:
    words = (f"b{row.batch}", row.precision, row.mode, row.backend, row.kernel_ran or row.kernel, row.device)
    return " ".join(words)


CLIP = Number(_clip_text, _clip_size, quoted=True)  # a size, which no sample shows
LATENCY = _interval("latency_median_s")
VIEW_LATENCY = _interval("latency_s")
SHARE = Number(lambda row: units.percent(_attention_share(row)), _attention_share)
CELL: Column = ("cell", CellId("cell"))
PARAMS: Column = ("params (M)", figure(units.millions, "params"))
GMACS: Column = ("GMACs (papers' GFLOPs)", figure(units.giga, "macs"))
PREDICTED: Column = ("predicted peak", figure(units.size, "predicted_peak_bytes"))
PEAK: Column = ("peak memory", figure(units.size, "peak_memory_bytes"))
CLIPS: Column = ("clips/s", figure(units.three_digits, "clips_per_second"))
EFFICIENCY: Column = ("efficiency", figure(units.percent, "scaling_efficiency"))
QUALITY: Column = ("quality", Word("quality"))

K400_COLUMNS: tuple[Column, ...] = (
    ("id", Word("id")),
    ("model", Word("model")),
    ("clip", Word("clip")),
    ("views", Word("views")),
    ("GMACs claimed", _printed(units.as_printed, "gmacs_claimed")),
    ("GMACs published", _printed(units.as_printed, "gmacs_published")),
    ("GMACs counted", figure(units.three_digits, "gmacs_counted")),
    ("counted / published", Number(_deviation, _of("deviation_percent"))),
    ("params (M) claimed", _printed(units.as_printed, "params_m_claimed")),
    ("params published", _printed(units.as_printed, "params_m_published")),
    ("params counted", figure(units.three_digits, "params_m_counted")),
    ("top-1 (%) claimed", _printed(units.accuracy, "top1_claimed")),
    ("top-1 published", _printed(units.accuracy, "top1_published")),
    ("pre-training", Word("pretrain")),
    ("latency per view", VIEW_LATENCY),
    ("verdict", Word("verdict")),
    ("published in", Word("source")),
    CELL,
)
MODEL_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")), ("clip", CLIP), PARAMS, GMACS, ("attention", SHARE), PREDICTED, CELL,
)  # fmt: skip
PATTERN_COLUMNS: tuple[Column, ...] = (
    ("pattern", Word("model")),
    ("grid", CLIP),
    ("tokens", figure(units.count, "tokens")),
    ("GMACs", figure(units.giga, "macs")),
    ("attention GMACs", figure(units.giga, "attention_macs")),
    ("latency", LATENCY),
    PEAK,
    QUALITY,
    CELL,
)
LATENCY_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("clip", CLIP),
    ("setting", _setting),
    ("latency", LATENCY),
    CLIPS,
    ("achieved", figure(units.rate, "flops_per_second")),
    ("of matrix peak", figure(units.percent, "matmul_peak_fraction")),
    ("of roofline", Number(_roofline, _of("roofline_fraction"))),
    PEAK,
    ("hardware", Word("hardware")),
    QUALITY,
    CELL,
)
SCALING_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")),
    ("metric", Word("metric")),
    ("in", Word("variable")),
    ("exponent", Number(lambda row: units.exponent(row.exponent, row.low, row.high), _of("exponent"))),
    ("sizes", lambda row: f"{row.points}, {units.count(row.smallest)} to {units.count(row.largest)}"),
    ("held", Word("held")),
    ("setting", lambda row: f"b{row.batch} {row.precision} {row.mode} {row.kernel} {row.device}"),
    ("hardware", Word("hardware")),
)
MECHANISM_COLUMNS: tuple[Column, ...] = (
    ("id", Word("id")),
    ("mechanism", Word("mechanism")),
    ("pattern", Word("pattern")),
    ("claimed", Word("claimed")),
    ("derived core (MACs)", Word("derived")),
    ("verdict", Word("verdict")),
    ("time", Word("time")),
    ("exponent in T", Word("exponent_t")),
    ("exponent in H*W", Word("exponent_hw")),
    ("core at 8x14x14", VIEW_LATENCY),
    CELL,
)
CERTIFICATE_COLUMNS: tuple[Column, ...] = (
    ("pattern", Word("name")), ("attention core (MACs)", Word("attention_macs")), ("claimed", Word("claimed")),
    ("verdict", Word("verdict")), ("time", Word("time")), ("page", BesidePage("page")),
)  # fmt: skip
SELECTION_COLUMNS: tuple[Column, ...] = (
    ("clips", lambda row: f"{row.length}, {row.span}"),
    ("frames", _printed(units.count, "frames")),
    ("model", Word("model")),
    ("advice", Word("advice")),
    ("clip", Word("clip")),
    ("GMACs", figure(units.giga, "macs")),
    ("latency", VIEW_LATENCY),
    ("measured peak", figure(units.size, "peak_memory_bytes")),
    PREDICTED,
    ("fits in (GiB)", figure(units.as_printed, "fits_gib")),
    ("top-1 (%) at this clip", _printed(units.accuracy, "top1")),
    ("accuracy", Word("accuracy")),
    ("advice by cost", Word("cost_verdict")),
    ("reason", Word("cost_reason")),
    CELL,
)
CROSSING_COSTS: dict[str, str] = {
    "macs": "multiply-adds", "predicted_peak_bytes": "predicted peak memory", "latency_median_s": "latency",
}  # fmt: skip
CROSSOVER_COLUMNS: tuple[Column, ...] = (
    ("cost", lambda row: CROSSING_COSTS[row.metric]),
    ("cheaper before", Word("short")),
    ("cheaper after", Word("long")),
    ("at (frames)", figure(units.three_digits, "frames")),
    ("interval", lambda row: units.open_interval(row.low, row.high)),
    ("cheapest of all there", lambda row: "yes" if row.cheapest else "-"),
    ("between (frames)", lambda row: f"{row.after} and {row.before}"),
    ("held", Word("held")),
    ("setting", Word("setting")),
    ("hardware", Word("hardware")),
)
UNFINISHED_COLUMNS: tuple[Column, ...] = (CELL, ("status", Word("status")), ("reason", Word("reason")))
CLAIM_COLUMNS: tuple[Column, ...] = (
    ("id", Word("id")), ("verdict", Word("verdict")), ("claim", Word("statement")), ("claimed", Word("claimed")),
    ("derived", Word("derived")), ("evidence", Word("evidence")), ("source", Word("source")),
    ("again with", Word("reproduce")),
)  # fmt: skip
QUIET: Column = ("quality", lambda row: str(row.quality).split(":")[0] or "-")
NARROW_CONSOLE_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")), ("clip", CLIP), ("GMACs", figure(units.giga, "macs")), PEAK,
    ("latency", figure(units.seconds, "latency_median_s")), QUIET,
)  # fmt: skip
CONSOLE_COLUMNS: tuple[Column, ...] = (
    ("model", Word("model")), ("clip", CLIP), ("params", figure(units.params, "params")),
    ("GMACs", figure(units.giga, "macs")), PREDICTED, PEAK, ("latency", LATENCY), CLIPS, QUIET,
)  # fmt: skip
