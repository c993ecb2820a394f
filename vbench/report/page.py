"""One offline page: every table and figure of a report in a single file that asks the network for nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import pandas as pd

from vbench import units
from vbench.report.tables import CONVENTION, Table
from vbench.results import Environment

FIGURES_BYTES = 2_000_000  # of the page's 3 MB; where the vector figures are more, the page carries none that overflow


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure inside the page: its name and its content as a data address."""

    name: str
    address: str


def render_page(
    *,
    title: str,
    environments: Mapping[str, Environment],
    date: str,
    summary: Mapping[str, int],
    tables: Sequence[Table],
    unfinished: pd.DataFrame,
    left_out: str,
    figures: Iterable[Path],
) -> str:
    """The page as HTML. Every text is escaped; figures are inlined; there are no scripts and no addresses.

    `summary` counts cells by status; `unfinished` holds the failed and skipped rows of the frame; `date` is the day of
    the last record; `figures` are SVG files.
    """
    pictures, too_large = inlined(figures)
    page: str = _template().render(
        title=title,
        convention=CONVENTION,
        environments=[environment_rows(environment) for environment in environments.values()],
        head=_head(environments, date),
        summary=summary,
        tables=tables,
        unfinished=[(row.cell, row.status, row.reason) for row in unfinished.itertuples(index=False)],
        left_out=left_out,
        pictures=pictures,
        too_large=too_large,
    )
    return page


def environment_rows(environment: Environment) -> list[tuple[str, str]]:
    """What an environment is, as pairs of words; what it does not have is left out."""
    rows = [
        ("fingerprint", environment.fingerprint),
        ("hardware", environment.hardware),
        ("accelerator", environment.accelerator),
        ("accelerator memory", _size(environment.accelerator_memory_bytes)),
        ("cores, threads", f"{environment.cores}, {environment.threads}"),
        ("memory", _size(environment.memory_bytes)),
        ("process without a network", _size(environment.floor_bytes)),
        ("system", environment.system),
        ("python", environment.python),
        ("torch", environment.torch),
        ("CUDA, driver", ", ".join(word for word in (environment.cuda, environment.driver) if word)),
        ("commit", environment.commit),
        ("host", environment.host),
        ("packages", ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))),
    ]
    return [(name, text) for name, text in rows if text]


def inlined(figures: Iterable[Path]) -> tuple[list[Picture], list[str]]:
    """The SVG figures as data addresses, while they fit, and the names of those that do not."""
    pictures: list[Picture] = []
    too_large: list[str] = []
    room = FIGURES_BYTES
    for path in figures:
        content = base64.b64encode(path.read_bytes()).decode("ascii")
        if len(content) > room:
            too_large.append(path.stem)
            continue
        room -= len(content)
        pictures.append(Picture(path.stem.replace("_", " "), f"data:image/svg+xml;base64,{content}"))
    return pictures, too_large


def _size(size_bytes: int) -> str:
    return units.size(size_bytes) if size_bytes else ""


def _head(environments: Mapping[str, Environment], date: str) -> list[tuple[str, str]]:
    """Machine, date, commit and torch, each value once."""
    used = list(environments.values())
    rows = [
        ("machine", [environment.hardware for environment in used]),
        ("date", [date]),
        ("commit", [environment.commit for environment in used]),
        ("torch", [environment.torch for environment in used]),
    ]
    return [(name, ", ".join(dict.fromkeys(words)) or "-") for name, words in rows]


def _template() -> jinja2.Template:
    source = files("vbench.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    world = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return world.from_string(source)
