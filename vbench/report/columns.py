"""The columns of a report's tables: a head with its unit, and how a row reads under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from vbench import units

Row = Any  # a named tuple of DataFrame.itertuples
Column = tuple[str, Callable[[Row], str]]


def _number(value: Any) -> float:
    return float("nan") if pd.isna(value) else float(value)


def _with(text: Callable[[float], str], name: str, factor: float = 1.0) -> Callable[[Row], str]:
    return lambda row: text(_number(getattr(row, name)) * factor)


def _word(name: str) -> Callable[[Row], str]:
    return lambda row: str(getattr(row, name)) or "-"


def _clip(row: Row) -> str:
    return units.extent(row.frames, row.height, row.width)


def _latency(row: Row) -> str:
    return units.seconds_interval(row.latency_median_s, row.latency_low_s, row.latency_high_s)


def _view_latency(row: Row) -> str:
    return units.seconds_interval(row.latency_s, row.latency_low_s, row.latency_high_s)


def _deviation(row: Row) -> str:
    return units.signed_percent(row.deviation_percent / 100)


def _attention_share(row: Row) -> str:
    return units.percent(_number(row.attention_macs) / _number(row.macs)) if row.macs else "-"


def _setting(row: Row) -> str:
    words = (f"b{row.batch}", row.precision, row.mode, row.backend, row.kernel_ran or row.kernel, row.device)
    return " ".join(words)


CELL: Column = ("cell", _word("cell"))
PARAMS: Column = ("params (M)", _with(units.millions, "params"))
GMACS: Column = ("GMACs (papers' GFLOPs)", _with(units.giga, "macs"))
PREDICTED: Column = ("predicted peak", _with(units.size, "predicted_peak_bytes"))
PEAK: Column = ("peak memory", _with(units.size, "peak_memory_bytes"))
CLIPS: Column = ("clips/s", _with(units.three_digits, "clips_per_second"))
QUALITY: Column = ("quality", _word("quality"))

K400_COLUMNS: tuple[Column, ...] = (
    ("id", _word("id")),
    ("model", _word("model")),
    ("clip", _word("clip")),
    ("views", _word("views")),
    ("GMACs claimed", _with(units.as_printed, "gmacs_claimed")),
    ("GMACs published", _with(units.as_printed, "gmacs_published")),
    ("GMACs counted", _with(units.three_digits, "gmacs_counted")),
    ("counted / published", _deviation),
    ("params (M) claimed", _with(units.as_printed, "params_m_claimed")),
    ("params published", _with(units.as_printed, "params_m_published")),
    ("params counted", _with(units.three_digits, "params_m_counted")),
    ("top-1 (%) claimed", _with(units.accuracy, "top1_claimed")),
    ("top-1 published", _with(units.accuracy, "top1_published")),
    ("pre-training", _word("pretrain")),
    ("latency per view", _view_latency),
    ("verdict", _word("verdict")),
    ("published in", _word("source")),
    CELL,
)
MODEL_COLUMNS: tuple[Column, ...] = (
    ("model", _word("model")), ("clip", _clip), PARAMS, GMACS, ("attention", _attention_share), PREDICTED, CELL,
)  # fmt: skip
PATTERN_COLUMNS: tuple[Column, ...] = (
    ("pattern", _word("model")),
    ("grid", _clip),
    ("tokens", _with(units.count, "tokens")),
    ("GMACs", _with(units.giga, "macs")),
    ("attention GMACs", _with(units.giga, "attention_macs")),
    ("latency", _latency),
    PEAK,
    QUALITY,
    CELL,
)
LATENCY_COLUMNS: tuple[Column, ...] = (
    ("model", _word("model")),
    ("clip", _clip),
    ("setting", _setting),
    ("latency", _latency),
    CLIPS,
    ("achieved", _with(units.rate, "flops_per_second")),
    PEAK,
    ("hardware", _word("hardware")),
    QUALITY,
    CELL,
)
SCALING_COLUMNS: tuple[Column, ...] = (
    ("model", _word("model")),
    ("metric", _word("metric")),
    ("in", _word("variable")),
    ("exponent", lambda row: units.exponent(row.exponent, row.low, row.high)),
    ("sizes", lambda row: f"{row.points}, {units.count(row.smallest)} to {units.count(row.largest)}"),
    ("held", _word("held")),
    ("setting", lambda row: f"b{row.batch} {row.precision} {row.mode} {row.kernel} {row.device}"),
    ("hardware", _word("hardware")),
)
MECHANISM_COLUMNS: tuple[Column, ...] = (
    ("id", _word("id")),
    ("mechanism", _word("mechanism")),
    ("pattern", _word("pattern")),
    ("claimed", _word("claimed")),
    ("derived core (MACs)", _word("derived")),
    ("verdict", _word("verdict")),
    ("time", _word("time")),
    ("exponent in T", _word("exponent_t")),
    ("exponent in H*W", _word("exponent_hw")),
    ("core at 8x14x14", _view_latency),
    CELL,
)
CERTIFICATE_COLUMNS: tuple[Column, ...] = (
    ("pattern", _word("name")), ("attention core (MACs)", _word("attention_macs")), ("claimed", _word("claimed")),
    ("verdict", _word("verdict")), ("time", _word("time")), ("page", _word("page")),
)  # fmt: skip
QUIET: Column = ("quality", lambda row: str(row.quality).split(":")[0] or "-")
NARROW_CONSOLE_COLUMNS: tuple[Column, ...] = (
    ("model", _word("model")), ("clip", _clip), ("GMACs", _with(units.giga, "macs")), PEAK,
    ("latency", _with(units.seconds, "latency_median_s")), QUIET,
)  # fmt: skip
CONSOLE_COLUMNS: tuple[Column, ...] = (
    ("model", _word("model")), ("clip", _clip), ("params", _with(units.params, "params")),
    ("GMACs", _with(units.giga, "macs")), PREDICTED, PEAK, ("latency", _latency), CLIPS, QUIET,
)  # fmt: skip
