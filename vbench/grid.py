"""`Grid`: axes to cells. Read from strict TOML, or made of the command line's flags.

title = "my sweep"
budget = "10m"                      # optional, as are timeout, processes and attempts

[[block]]
models = ["timesformer_b", "vivit_*"]
frames = [8, 16]                    # without frames or sizes: the model's default clip
sizes = [112, 224, "256x448"]       # square, or height x width
precisions = ["fp32", "bf16"]
count_only = true                   # count, do not run

[[exclude]]
models = ["vivit_b_16x2"]
frames = [128]
reason = "an hour a forward"
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vbench.cell import BACKENDS, DEVICES, KERNELS, MIXINGS, MODES, PRECISIONS, Cell, Unit
from vbench.errors import GridError, unknown_name
from vbench.units import parse_duration_s

Extent = tuple[int, int, int]  # frames, height, width
ATTEMPTS = 3

_WORDS: dict[str, tuple[str, ...]] = {
    "precisions": PRECISIONS, "modes": MODES, "backends": BACKENDS, "kernels": KERNELS, "devices": DEVICES,
    "mixing": MIXINGS,
}  # fmt: skip
_SWITCH: dict[bool | str, bool] = {False: False, True: True, "off": False, "on": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What a grid must know of a model: the unit of its extents, and the default one."""

    unit: Unit
    default: Extent


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A product of axes."""

    models: tuple[str, ...]
    frames: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    grids: tuple[Extent, ...] = ()
    batch: tuple[int, ...] = (1,)
    precisions: tuple[str, ...] = ("fp32",)
    modes: tuple[str, ...] = ("infer",)
    backends: tuple[str, ...] = ("eager",)
    kernels: tuple[str, ...] = ("fused",)
    devices: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (0,)
    ranks: tuple[int, ...] = (1,)
    hardware: tuple[str, ...] = ("",)
    checkpointing: tuple[bool, ...] = (False,)
    accumulate: tuple[int, ...] = (1,)
    mixing: tuple[str, ...] = ("off",)
    count_only: bool = False
    video: str = ""

    def cells(self, facts: Mapping[str, ModelFacts]) -> Iterator[Cell]:
        """The block's cells, models outermost."""
        for model in self.models:
            extents, unit = self._extents(model, facts[model]), facts[model].unit
            for (frames, height, width), setting in itertools.product(extents, self._settings()):
                yield Cell(
                    model=model, frames=frames, height=height, width=width, unit=unit, video=self.video, **setting
                )

    def _settings(self) -> list[dict[str, Any]]:
        """Every combination of the axes that are neither model nor extent, as fields of a cell."""
        axes: dict[str, tuple[Any, ...]] = {
            "batch": self.batch, "precision": self.precisions, "mode": self.modes, "backend": self.backends,
            "kernel": self.kernels, "device": self.devices, "threads": self.threads, "ranks": self.ranks,
            "hardware": self.hardware,
            "checkpointing": self.checkpointing, "accumulation": self.accumulate, "mixing": self.mixing,
        }  # fmt: skip
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    def _extents(self, model: str, facts: ModelFacts) -> Iterable[Extent]:
        if facts.unit == "tokens":
            if self.frames or self.sizes:
                raise GridError(f"{model!r} is an attention pattern: it takes grids of tokens, not frames and sizes")
            return self.grids or (facts.default,)
        if self.grids and not (self.frames or self.sizes):
            raise GridError(f"{model!r} is a network: it takes frames and sizes, not grids of tokens")
        default_frames, default_size = facts.default[0], facts.default[1:]
        sizes = self.sizes or (default_size,)
        return [(frames, *size) for frames in self.frames or (default_frames,) for size in sizes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Cells that shall not run, and why; an empty axis stands for every value."""

    reason: str
    models: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    grids: tuple[Extent, ...] = ()
    precisions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()

    def covers(self, cell: Cell) -> bool:
        """Whether the exclusion names this cell."""
        return (
            (not self.models or any(fnmatchcase(cell.model, model) for model in self.models))
            and (not self.frames or cell.frames in self.frames)
            and (not self.sizes or (cell.height, cell.width) in self.sizes)
            and (not self.grids or (cell.frames, cell.height, cell.width) in self.grids)
            and (not self.precisions or cell.precision in self.precisions)
            and (not self.devices or cell.device in self.devices)
            and (not self.hardware or cell.hardware in self.hardware)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A cell and what to do with it."""

    cell: Cell
    count_only: bool
    excluded: str = ""  # the reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """A sweep: blocks of cells, exclusions, and how long it may take."""

    title: str
    blocks: tuple[Block, ...]
    exclusions: tuple[Exclusion, ...] = ()
    budget_s: float | None = None
    timeout_s: float = 300.0
    processes: int | None = None  # None: by the length of a forward
    attempts: int = ATTEMPTS  # a noisy cell is measured so many times at most
    source: str = field(default="", compare=False)

    def models(self) -> set[str]:
        """Every name, wildcards included, that the blocks use."""
        return {model for block in self.blocks for model in block.models}

    def plans(self, facts: Mapping[str, ModelFacts]) -> list[Plan]:
        """Every cell once, in the order in which it first appears; to be measured if any block measures it.

        `facts` has an entry for each model that exists; wildcards in blocks are matched against it.
        """
        count_only: dict[Cell, bool] = {}
        for block in self.blocks:
            for cell in _with_names(block, facts).cells(facts):
                count_only[cell] = count_only.get(cell, True) and block.count_only
        return [Plan(cell=cell, count_only=only, excluded=self._reason(cell)) for cell, only in count_only.items()]

    def _reason(self, cell: Cell) -> str:
        return next((exclusion.reason for exclusion in self.exclusions if exclusion.covers(cell)), "")


def _with_names(block: Block, facts: Mapping[str, ModelFacts]) -> Block:
    values = {entry.name: getattr(block, entry.name) for entry in fields(block)}
    return Block(**{**values, "models": tuple(matching_names(block.models, facts))})


def matching_names(patterns: Iterable[str], known: Iterable[str]) -> list[str]:
    """The known names that the patterns (`vivit_*`) stand for, each once.

    Raises:
        UnknownNameError: a pattern stands for nothing.
    """
    known = list(known)
    found: dict[str, None] = {}
    for pattern in patterns:
        names = [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]
        if not names:
            raise unknown_name("model", pattern, known)
        found.update(dict.fromkeys(names))
    return list(found)


def read_grid(path: Path) -> Grid:
    """The grid of a TOML file.

    Raises:
        GridError: no such file, no TOML, or a value of the wrong type.
        UnknownNameError: a key or an axis value that does not exist.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GridError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GridError(f"{path} is no TOML: {error}") from None
    return grid_from_document(document, source=str(path))


def grid_from_document(document: dict[str, Any], source: str) -> Grid:
    """The grid that a parsed TOML document describes; raises as `read_grid`."""
    known = ("title", "budget", "timeout", "processes", "attempts", "block", "exclude")
    _refuse_unknown_keys(document, known, source)
    blocks = _tables(document, "block", source)
    if not blocks:
        raise GridError(f"{source} has no [[block]]: nothing to sweep")
    durations = {f"{key}_s": parse_duration_s(str(document[key])) for key in ("budget", "timeout") if key in document}
    processes = document.get("processes")
    if processes is not None:
        processes = _whole("processes", processes)
    return Grid(
        title=str(document.get("title", Path(source).stem)),
        blocks=tuple(_block(block, source) for block in blocks),
        exclusions=tuple(_exclusion(table, source) for table in _tables(document, "exclude", source)),
        processes=processes,
        attempts=_whole("attempts", document.get("attempts", ATTEMPTS)),
        source=source,
        **durations,
    )


def _tables(document: dict[str, Any], key: str, source: str) -> list[dict[str, Any]]:
    tables = document.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise GridError(f"{source}: {key} must be tables, written [[{key}]]")
    return tables


def _block(table: dict[str, Any], source: str) -> Block:
    _refuse_unknown_keys(table, [entry.name for entry in fields(Block)], f"{source}, [[block]]")
    if not table.get("models"):
        raise GridError(f"{source}: a [[block]] names its models, as in models = ['timesformer_b']")
    return Block(**_axes(table))


def _exclusion(table: dict[str, Any], source: str) -> Exclusion:
    _refuse_unknown_keys(table, [entry.name for entry in fields(Exclusion)], f"{source}, [[exclude]]")
    if not table.get("reason"):
        raise GridError(f"{source}: an [[exclude]] says why, as in reason = 'an hour a forward'")
    return Exclusion(**_axes(table))


def _refuse_unknown_keys(table: dict[str, Any], known: Iterable[str], source: str) -> None:
    known = list(known)
    for key in table:
        if key not in known:
            raise unknown_name(f"key in {source}", key, known)


def _axes(table: dict[str, Any]) -> dict[str, Any]:
    return {key: _axis(key, value) for key, value in table.items()}


def _axis(key: str, value: Any) -> Any:
    """One axis of a block, checked and as a tuple; a single value stands for a list of one."""
    if key == "count_only":
        return _flag(key, value)
    if key in ("video", "reason"):
        return str(value)
    values = value if isinstance(value, list) else [value]
    return tuple(_AXES[key](key, entry) for entry in values)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise GridError(f"{key} must be true or false; got {value!r}")
    return value


def _switch(key: str, value: Any) -> bool:
    if isinstance(value, bool | str) and value in _SWITCH:
        return _SWITCH[value]
    raise GridError(f"{key} must be off or on; got {value!r}")


def _word(key: str, word: Any) -> str:
    if word not in _WORDS[key]:
        raise unknown_name(key.removesuffix("s"), str(word), _WORDS[key])
    return str(word)


def parse_label(label: Any) -> str:
    """A label of hardware, as in `h200` or `epyc-9b14`: what a worker of a fleet announces.

    Raises:
        GridError: it holds something else than small letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", str(label)):
        raise GridError(f"hardware is a label of small letters, digits and dashes, as in h200; got {label!r}")
    return str(label)


def _whole(key: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise GridError(f"{key} must be whole numbers of at least 1; got {number!r}")
    return number


def parse_size(size: int | str) -> tuple[int, int]:
    """(height, width) of `224` or `256x448`, in pixels.

    Raises:
        GridError: not a size, or not positive.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(size).strip())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if height < 1 or width < 1:
        raise GridError(f"sizes must be pixels, as in 224 or 256x448, at least 1; got {size!r}")
    return height, width


def parse_grid(text: str) -> Extent:
    """(T, H, W) of `8x14x14`, in tokens.

    Raises:
        GridError: not a grid, or not positive.
    """
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text.strip())
    extent = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
    if min(extent) < 1:
        raise GridError(f"grids must be tokens T x H x W, as in 8x14x14, at least 1 each; got {text!r}")
    return extent


_AXES: dict[str, Callable[[str, Any], Any]] = {
    "models": lambda _, name: str(name),
    "frames": _whole,
    "batch": _whole,
    "threads": _whole,
    "ranks": _whole,
    "accumulate": _whole,
    "checkpointing": _switch,
    "sizes": lambda _, size: parse_size(size),
    "grids": lambda _, grid: parse_grid(str(grid)),
    "hardware": lambda _, label: parse_label(label),
    **dict.fromkeys(_WORDS, _word),
}
