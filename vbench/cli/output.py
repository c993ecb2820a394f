"""What the commands share: the cell that their flags name, the records that they read, and how answers leave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vbench.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from vbench.cell import Cell
    from vbench.results import Environment, Record

LOG_WIDTH = 160


def fail(message: str, code: int) -> NoReturn:
    """Say in one line on stderr what went wrong, and end with `code`."""
    print("vbench: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


def print_json(document: object) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2))


def cell_asked(
    name: str, *, size: str | None = None, height: int | None = None, width: int | None = None,
    grids: str | None = None, **axes: Any,
) -> Cell:  # fmt: skip
    """The one cell that a command's flags name; --height and --width win over --size."""
    from vbench.grid import parse_grid, parse_size
    from vbench.measure.subject import cell_named

    tall, wide = parse_size(size) if size is not None else (None, None)
    return cell_named(
        name,
        height=tall if height is None else height,
        width=wide if width is None else width,
        grid=parse_grid(grids) if grids else None,
        **axes,
    )


def console() -> Console:
    """A console as wide as the terminal; a log has no width of its own."""
    from rich.console import Console

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(width=LOG_WIDTH, highlight=False)


def frame_of(directory: Path) -> pd.DataFrame:
    """The records of a sweep as a table, one row a cell."""
    from vbench.analysis.frame import records_frame

    return records_frame(*records_of(directory))


def records_of(directory: Path) -> tuple[list[Record], dict[str, Environment]]:
    """The records of a sweep, and the environments that they name."""
    from vbench.store import Store

    store = Store(directory)
    records = store.records()
    if not records:
        raise StoreError(f"no records in {directory}; make some with: vbench sweep --out {directory}")
    return records, store.environments()


def records_directory(records: Path | None) -> Path:
    """The directory asked for, else the latest sweep below reports/, else the reference that the project carries."""
    from vbench.store import latest_records

    carried = Path(__file__).parents[1] / "data" / "reference"  # in a wheel; a checkout has it in its own reports
    checkout = Path(__file__).parents[2] / "reports" / "reference"
    return records or latest_records(Path("reports"), carried if carried.exists() else checkout)
