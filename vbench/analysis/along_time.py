"""Attention patterns along time, bare and in their block: where two change places, and what share is attention's.

The bare core is the pattern on given q, k and v (`core:NAME`), the layer the pattern with its projections (`NAME`), the
block that of the neutral backbone around it (`backbone:NAME`), its network. MLPs, embedding and head are the same for
all patterns, so that layers and networks change places in multiply-adds where the blocks do; peaks hold the parameters,
in which patterns differ. Attention's share of time is the bare core's latency, as often as the backbone attends, over
the backbone's: two measurements of one environment, none of them inside the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd

from vbench.analysis.comparison import DEFAULT_SETTING
from vbench.analysis.crossover import COLUMNS, METRICS, crossovers
from vbench.analysis.ratio import latency_ratio, scaled
from vbench.analysis.scaling import Axis, comparable
from vbench.stats import UNKNOWN, Interval

CORE, BLOCK = "core:", "backbone:"
FORMS: dict[str, tuple[str, Axis]] = {  # how a form's names begin, and where its T stands
    "core": (CORE, "time"), "layer": ("", "time"), "block": (BLOCK, "frames"),
}  # fmt: skip
CROSSOVER_COLUMNS = ("form", *COLUMNS)
SHARE_COLUMNS = (
    "pattern", "frames", "tokens", "macs_share", "time_share", "time_share_low", "time_share_high", "hardware",
)  # fmt: skip
NOT_TIMED = Interval(UNKNOWN, UNKNOWN, UNKNOWN)

Row = Any  # of the table of records, by itertuples, and the pattern's name


def pattern_crossovers_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Every decided crossover of two patterns along T, in tokens: of bare cores, whole layers and whole blocks.

    In multiply-adds, predicted peak memory and latency; latencies are of one machine.
    """
    rows: list[dict[str, Any]] = []
    for form, (prefix, axis) in FORMS.items():
        cells = frame[frame["model"].str.match(rf"{prefix}\w+$") & ((frame["kind"] == "pattern") == (axis == "time"))]
        cells = cells.assign(model=cells["model"].str.removeprefix(prefix))
        for metric in METRICS:
            found = crossovers(comparable(cells, metric, axis), metric)
            rows += [{"form": form, **asdict(crossing)} for crossing in found if crossing.is_decided]
    return pd.DataFrame(rows, columns=list(CROSSOVER_COLUMNS))


def attention_share_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Attention's share of a backbone's multiply-adds and, where both were measured, of its time with its interval.

    In the default setting. One row for each pattern and grid, with its frames (T) and tokens (T*H*W). The share of time
    is NaN where the backbone, or the bare core on as many tokens, was not measured in one environment.
    """
    cores = {_where(row): row for row in _plain(frame, CORE)}
    rows = [_share(block, cores.get(_where(block))) for block in _plain(frame, BLOCK)]
    shares = pd.DataFrame(rows, columns=list(SHARE_COLUMNS))
    return shares.sort_values(["pattern", "tokens", "frames"], ignore_index=True)


def _plain(frame: pd.DataFrame, prefix: str) -> Iterator[Row]:
    """The cells of one form in the default setting, each extent once and rather measured than counted."""
    wanted = frame["model"].str.startswith(prefix) & frame["macs"].notna() & ~frame["checkpointing"]
    for column, value in DEFAULT_SETTING.items():
        wanted &= frame[column] == value
    cells = frame[wanted].sort_values("status", ascending=False, kind="stable")
    cells = cells.assign(pattern=cells["model"].str.removeprefix(prefix))
    yield from cells.drop_duplicates(["pattern", "frames", "tokens", "device"]).itertuples()


def _where(row: Row) -> tuple[object, ...]:
    return row.pattern, row.frames, row.tokens, row.device


def _share(block: Row, core: Row | None) -> dict[str, Any]:
    share = _share_of_time(block, core) if core and core.attention_macs else NOT_TIMED
    return {
        "pattern": block.pattern,
        "frames": block.frames,
        "tokens": block.tokens,
        "macs_share": block.attention_macs / block.macs,
        "time_share": share.estimate,
        "time_share_low": share.low,
        "time_share_high": share.high,
        "hardware": block.hardware if share is not NOT_TIMED else "",
    }


def _share_of_time(block: Row, core: Row) -> Interval:
    measured = block.status == core.status == "measured"
    if not measured or (block.environment, str(block.threads)) != (core.environment, str(core.threads)):
        return NOT_TIMED
    attends = block.attention_macs / core.attention_macs  # as often as the backbone has blocks
    return scaled(latency_ratio(core, block), attends)
