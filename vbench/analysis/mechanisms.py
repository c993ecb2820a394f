"""The literature's table of attention mechanisms, made again: claimed cost, derived cost, and what time says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from vbench.analysis.claims import Claim
from vbench.analysis.verdict import judge, parse_claim

SECTION = "10.2"  # of the survey, where its table of mechanisms stands
METHODS = ("core", "each core")
BARE = "core:"
GRID = (8, 14, 14)  # where times are shown: the tokens of 8 frames of 224 pixels at patch 16
COLUMNS = (
    "id", "mechanism", "pattern", "claimed", "derived", "verdict", "time", "exponent_t", "exponent_hw", "latency_s",
    "latency_low_s", "latency_high_s", "cell", "source",
)  # fmt: skip
NOT_MEASURED = "not measured"


def mechanism_claims(claims: Iterable[Claim]) -> list[Claim]:
    """The claims that the survey's table makes."""
    return [claim for claim in claims if SECTION in claim.source and claim.method in METHODS]


def mechanisms_frame(
    claims: Iterable[Claim], certificates: Mapping[str, Mapping[str, Any]], frame: pd.DataFrame
) -> pd.DataFrame:
    """One row for each mechanism and pattern.

    `certificates` are their JSON documents by key: MACs of the attention core in T, H, W tokens, and, where they were
    timed, local exponents. Latencies in seconds are those of the bare core at 8 x 14 x 14 tokens in `frame`.
    """
    rows = [
        {
            "id": claim.id,
            "mechanism": claim.statement,
            "pattern": key,
            "claimed": claim.claimed,
            "source": claim.source,
            **_derived(claim, certificates.get(key)),
            **_timed(key, frame),
        }
        for claim in mechanism_claims(claims)
        for key in claim.keys
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _derived(claim: Claim, certificate: Mapping[str, Any] | None) -> dict[str, str]:
    if certificate is None:
        return {"derived": "not derived", "verdict": "-"} | dict.fromkeys(
            ("time", "exponent_t", "exponent_hw"), NOT_MEASURED
        )
    core, law = certificate["attention_macs"], certificate["latency"]
    verdict = judge(parse_claim(core) if core else None, parse_claim(claim.formula))
    return {
        "derived": core or "no polynomial",
        "verdict": verdict.word,
        "time": law["verdict"] if law else NOT_MEASURED,
        "exponent_t": _exponent(law, "T"),
        "exponent_hw": _exponent(law, "HW"),
    }


def _exponent(law: Mapping[str, Any] | None, axis: str) -> str:
    """The measured exponent of the line that reaches furthest along `axis`, beside the formula's."""
    parts = [part for part in law["exponents"] if part["axis"] == axis] if law else []
    if not parts:
        return NOT_MEASURED
    part = max(parts, key=lambda part: _size(part["larger"], axis))
    between = " to ".join("x".join(map(str, part[end])) for end in ("smaller", "larger"))
    return (
        f"{part['measured']:.2f} [{part['low']:.2f}, {part['high']:.2f}], formula {part['formula']:.2f}, {between}, "
        f"{part['verdict']}"
    )


def _size(grid: tuple[int, int, int], axis: str) -> int:
    return grid[0] if axis == "T" else grid[1] * grid[2]


def _timed(key: str, frame: pd.DataFrame) -> dict[str, Any]:
    cells = frame[(frame["model"] == BARE + key) & (frame["status"] == "measured")]
    for axis, extent in zip(("frames", "height", "width"), GRID, strict=True):
        cells = cells[cells[axis] == extent]
    for _, cell in cells.iterrows():
        names = {"latency_s": "latency_median_s", "latency_low_s": "latency_low_s", "latency_high_s": "latency_high_s"}
        return {name: cell[column] for name, column in names.items()} | {"cell": cell["cell"]}
    return {"latency_s": float("nan"), "latency_low_s": float("nan"), "latency_high_s": float("nan"), "cell": ""}
