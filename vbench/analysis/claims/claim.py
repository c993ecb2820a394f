"""A claim of the literature, the evidence that claims are judged by, and a judged claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any

import pandas as pd

from vbench.analysis.certificate import Certificate
from vbench.analysis.frame import records_frame
from vbench.analysis.ratio import PairedRatios
from vbench.cell import Cell

KEPT_FRACTIONS = (0.125, 0.25, 0.5, 1.0)
TABLES = ("claims.csv", "claims_ratios.csv")
MEMORIES_BYTES = (16 * 10**9, 24 * 10**9, 80 * 10**9, 141 * 10**9)  # of accelerators, for which longest clips are asked

Extents = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One row of the claims: `method` says how it is judged, `keys` on which systems."""

    id: str
    statement: str
    claimed: str
    formula: str
    keys: tuple[str, ...]
    method: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A claim's verdict: what was derived, what it rests on, and the command that makes it again."""

    id: str
    statement: str
    claimed: str
    verdict: str
    derived: str
    evidence: str
    reproduce: str
    source: str

    def to_json(self) -> dict[str, str]:
        """The judged claim as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stream:
    """A model over the clips of a long video: what each costs, and what is remembered after it."""

    macs: tuple[int, ...]
    memory_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blindness:
    """What a class token that sees no patch makes of the video: relative change of the logits, and the gradient."""

    logits_change: float
    input_gradient: float


@dataclass(frozen=True, slots=True)
class Quantised:
    """Bytes of a network, or a block of one, on disk: in fp32, with dynamic INT8, and the part that stayed in fp32."""

    fp32_bytes: int
    int8_bytes: int
    untouched: tuple[str, ...]  # weights that the quantiser left as they were


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A question for the longest clip, at the model's own crop in fp32, that an accelerator's memory holds."""

    model: str
    memory_bytes: int
    mode: str = "infer"
    checkpointing: bool = False
    kernel: str = "fused"


def no_cells() -> pd.DataFrame:
    """The table of records without a row."""
    return records_frame([], {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What claims are judged by: certificates by key, counted cells, and what no catalog key holds."""

    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    counted: pd.DataFrame = field(default_factory=no_cells)  # cells as in records.csv
    selection: pd.DataFrame = field(default_factory=pd.DataFrame)  # the selection guide's rows
    core_by_fraction: Mapping[str, Mapping[float, int]] = field(default_factory=dict)  # pattern -> kept -> MACs
    masked_strided_macs: int = 0  # of the sketch that masks, at the default grid
    full_macs: int = 0  # of the same attention without any mask, at the same grid
    strided_macs: int = 0  # of the pattern that skips, at the same grid
    window: tuple[Extents, Extents, Extents] = ((), (), ())  # Video Swin's window, its shift and the video, in tokens
    attending_modules: Mapping[str, int] = field(default_factory=dict)  # model -> how many of its modules attend
    stages: tuple[Extents, ...] = ()  # MViT's tokens (t, h, w) and channels, stage by stage
    streams: Mapping[str, Stream] = field(default_factory=dict)
    class_token: Blindness | None = None
    backward_dtypes: tuple[str, ...] = ()  # of the products of a backward pass under autocast
    autocast_dtype: str = ""
    quantised: Quantised | None = None
    costs: pd.DataFrame = field(default_factory=no_cells)  # each cell in each environment, and what ratios need beyond
    paired: PairedRatios = field(default_factory=PairedRatios)  # of two cells each
    longest: Mapping[Limit, int] = field(default_factory=dict)  # frames; 0: not even the shortest clip
    training_peaks: Mapping[Cell, int] = field(default_factory=dict)  # bytes, predicted
    quantised_networks: Mapping[str, Quantised] = field(default_factory=dict)
    receptive_frames: Mapping[str, int] = field(default_factory=dict)  # along time, of convolutional networks
    gated_macs: Mapping[str, Mapping[float, int]] = field(default_factory=dict)  # form of the gate -> kept -> MACs


def read_claims() -> list[Claim]:
    """The project's claims, in their order."""
    rows: list[dict[Any, Any]] = pd.concat([data(name) for name in TABLES]).to_dict("records")
    return [Claim(**{**row, "keys": tuple(str(row["keys"]).split())}) for row in rows]


def data(name: str) -> pd.DataFrame:
    """One of the project's tables of claims or readings, all text."""
    with files("vbench.data").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False, dtype=str)


def verdict_on(claim: Claim, verdict: str, derived: str, evidence: str, reproduce: str) -> Judged:
    """The judged claim."""
    return Judged(
        id=claim.id, statement=claim.statement, claimed=claim.claimed, verdict=verdict, derived=derived,
        evidence=evidence, reproduce=reproduce, source=claim.source,
    )  # fmt: skip


def undecided(claim: Claim, missing: str, reproduce: str = "vbench claims") -> Judged:
    """The claim left open, with what would decide it."""
    return verdict_on(claim, "undecided", "nothing", f"would be decided by {missing}", reproduce)


def joined(words: Iterable[str]) -> str:
    """Words with commas."""
    return ", ".join(words)
