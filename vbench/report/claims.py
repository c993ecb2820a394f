"""The judged claims that lie beside a sweep, `claims/claims.json`, as a table of its report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pandas as pd

from vbench.analysis.claims import Judged
from vbench.report.columns import CLAIM_COLUMNS
from vbench.report.tables import CONVENTION, Table

JUDGED = "claims.json"


def write_judged(judged: Iterable[Judged], directory: Path) -> Path:
    """Write the claims as the JSON document that `read_judged` reads."""
    path = directory / JUDGED
    path.write_text(json.dumps([entry.to_json() for entry in judged], indent=2) + "\n", encoding="utf-8")
    return path


def read_judged(directory: Path) -> list[Judged]:
    """The claims that were judged into the `claims` folder of a sweep; none where there is none."""
    path = directory / "claims" / JUDGED
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [Judged(**entry) for entry in entries]


def judged_table(judged: Iterable[Judged]) -> Table:
    """Every claim with its verdict, what that rests on, and the command that makes it again."""
    return Table(
        name="claims",
        title="Claims of the literature",
        note=f"What was claimed, and what was derived, counted or read in the source. {CONVENTION}.",
        data=pd.DataFrame(list(judged), columns=[field.name for field in fields(Judged)]),
        columns=CLAIM_COLUMNS,
    )
