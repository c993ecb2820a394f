"""Rows of a study, kept in a CSV as they come, so that the same command can resume."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def add(path: Path, row: DataclassInstance) -> None:
    """Write one row, with the head before the first."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(row)))
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(row))
