"""The same cells on several kinds of hardware, and which conclusions change from one kind to another.

A conclusion is that one model is faster than another on the same clip under the same setting; it is drawn where their
95 % intervals, each over the processes of one host, are apart. It changes where another kind of hardware says, as
firmly, the opposite: a ranking measured on one of them is no ranking for the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

SIDE_COLUMNS = (
    "what", "model", "kind_of_hardware", "latency_median_s", "latency_low_s", "latency_high_s", "times_quickest",
    "peak_memory_bytes", "cell",
)  # fmt: skip
CHANGE_COLUMNS = ("setting", "faster_here", "here", "by_here", "faster_there", "there", "by_there")
LABEL = r"/hardware=([^/]+)"


def side_by_side(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each measured cell and kind of hardware, of the cells that more than one kind has; `SIDE_COLUMNS`.

    `what` is the cell's id without its hardware, `times_quickest` the latency as a multiple of the quickest kind's.
    """
    measured = _measured(frame)
    several = measured.groupby("what")["kind_of_hardware"].transform("nunique") > 1
    rows = measured[several].copy()
    rows["times_quickest"] = rows["latency_median_s"] / rows.groupby("what")["latency_median_s"].transform("min")
    return rows.sort_values(["what", "latency_median_s"], kind="stable")[list(SIDE_COLUMNS)]


def changed_conclusions(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of models whose order is firm on two kinds of hardware, and not the same; `CHANGE_COLUMNS`.

    `by_here` and `by_there` say how many times faster the faster model is on each.
    """
    measured = _measured(frame)
    measured["setting"] = measured["what"].str.split("/", n=1).str[-1]
    found = [
        change for setting, group in measured.groupby("setting", sort=False) for change in _changes(str(setting), group)
    ]
    return pd.DataFrame(found, columns=list(CHANGE_COLUMNS))


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame[frame["status"] == "measured"].copy()
    rows["what"] = rows["cell"].str.replace(LABEL, "", regex=True)
    rows["kind_of_hardware"] = rows["cell"].str.extract(LABEL, expand=False).fillna(rows["hardware"])
    return rows


def _changes(setting: str, group: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The pairs of models of one setting whose order two kinds of hardware do not share."""
    if group["kind_of_hardware"].nunique() < 2:
        return
    by_kind = {str(kind): _by_model(rows) for kind, rows in group.groupby("kind_of_hardware", sort=True)}
    for (here, ours), (there, theirs) in itertools.combinations(by_kind.items(), 2):
        for one, other in itertools.combinations([model for model in ours if model in theirs], 2):
            by_here, by_there = _firmly(ours[one], ours[other]), _firmly(theirs[one], theirs[other])
            if by_here > 1 > by_there > 0:
                yield setting, one, here, by_here, other, there, 1 / by_there
            elif by_there > 1 > by_here > 0:
                yield setting, other, here, 1 / by_here, one, there, by_there


def _by_model(rows: pd.DataFrame) -> dict[str, Any]:
    return {str(row.model): row for row in rows.itertuples(index=False)}


def _firmly(one: Any, other: Any) -> float:
    """How many times faster `one` is, where the intervals are apart; 0 where they are not, or there is none."""
    apart = one.latency_high_s < other.latency_low_s or other.latency_high_s < one.latency_low_s
    return float(other.latency_median_s / one.latency_median_s) if apart else 0.0
