"""One offline page: every table and figure of a report in a single file that asks the network for nothing.

Style and scripts are the project's own, inlined; a content security policy lets the page run these, by their hashes,
and nothing else. Data stand in it as JSON in which no text can end the element that holds it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from vbench import units
from vbench.analysis.explorer import Setting
from vbench.report.carried import Places, carried_cells, carried_samples, carried_table
from vbench.report.tables import CONVENTION, Table
from vbench.results import Environment, Record

DATA_BYTES = 2_840_000  # of the page's 3 MB; samples take what tables and figures leave
FIGURES_BYTES = 1_500_000  # where the vector figures are more, the page carries none that overflow
SAMPLES_BYTES = 2_000_000
SCRIPTS = (
    "building.js", "units.js", "scales.js", "cells.js", "tables.js", "ranking.js", "front.js", "explorer.js",
    "start.js",
)  # fmt: skip


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
    records: Sequence[Record],
    frame: pd.DataFrame,
    settings: Sequence[Setting],
    left_out: str,
    figures: Iterable[Path],
) -> str:
    """The page as HTML. Every text is escaped; figures and data are inlined; the only scripts are the project's.

    `summary` counts cells by status; `records` are those that the rows of `frame` show, in their order; `settings`
    are what the explorer ranks; `date` is the day of the last record; `figures` are SVG files.
    """
    pictures, too_large = inlined(figures)
    cells = Places(frame["cell"])
    data = {
        "tables": [carried_table(table, cells) for table in tables],
        "cells": carried_cells(records, frame, environments),
        "settings": [_placed(setting, cells) for setting in settings],
        "environments": [dict(environment_rows(environment)) for environment in environments.values()],
    }
    carried = {name: _json(document) for name, document in data.items()}
    taken = sum(map(len, carried.values())) + sum(len(picture.address) for picture in pictures)
    samples, without_samples = carried_samples(records, min(SAMPLES_BYTES, DATA_BYTES - taken))
    style, script = _asset("page.css"), "\n".join(_asset(name) for name in SCRIPTS)
    page: str = _template().render(
        title=title,
        convention=CONVENTION,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        environments=[environment_rows(environment) for environment in environments.values()],
        head=_head(environments, date),
        summary=summary,
        tables=tables,
        carried=carried | {"samples": _json(samples)},
        without_samples=without_samples,
        settings=settings,
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
        ("best matrix product", _products(environment.matmul_flops_per_second)),
        ("best copy", units.bandwidth(environment.copy_bytes_per_second) if environment.copy_bytes_per_second else ""),
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


def _products(flops_per_second: Mapping[str, float]) -> str:
    return ", ".join(f"{precision} {units.rate(best)}" for precision, best in flops_per_second.items())


def _size(size_bytes: int) -> str:
    return units.size(size_bytes) if size_bytes else ""


def _head(environments: Mapping[str, Environment], date: str) -> list[tuple[str, str]]:
    """Machine, date, commit and torch, each value once."""
    used = list(environments.values())
    rows = [
        ("machine", [environment.accelerator or environment.hardware for environment in used]),
        ("date", [date]),
        ("commit", [environment.commit for environment in used]),
        ("torch", [environment.torch for environment in used]),
    ]
    return [(name, ", ".join(dict.fromkeys(words)) or "-") for name, words in rows]


def _placed(setting: Setting, cells: Places) -> dict[str, Any]:
    """The setting with each model's cell as its place among the page's cells."""
    document = setting.to_json()
    for model in document["models"]:
        model["cell"] = cells.known(model.get("cell", ""))
    return document


def _json(document: object) -> Markup:
    """JSON that cannot end its element: `<`, `>`, `&` and everything beyond ASCII are escaped. NaN is refused."""
    return htmlsafe_json_dumps(document, separators=(",", ":"), allow_nan=False)


def _policy(style: str, script: str) -> str:
    """What the page may load and run: its own style and script, known by their hashes, and pictures within it."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return files("vbench.report").joinpath("assets", name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    world = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return world.from_string(_asset("page.html.j2"))
