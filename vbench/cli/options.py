"""What several commands share: exit codes, and the flags that mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CHANGED, USERS_MISTAKE, NO_ANSWER, INTERRUPTED = 1, 2, 3, 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", help="Directory to write to.")]
Records = Annotated[Path | None, typer.Option("--records", help="Directory of a sweep; default: the latest.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 where a claim does not hold.")]
