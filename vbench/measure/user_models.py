"""A user's own model or pattern: `file.py:build`, `package.module:build`, or a key that an installed package announces.

`build(clip)` returns a network on `b c t h w`; `build_pattern(grid, dim, num_heads)` a module on `b t h w c`. A
function whose name begins with `build_pattern` is a pattern; it is given tokens of 768 channels, or of as many as its
name ends in: `build_pattern_256`. A package announces keys by entry points of the group `vbench.models`:

    [project.entry-points."vbench.models"]
    my_model = "my_package.models:build"
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from vbench.errors import UnknownNameError, UserCodeError, VbenchError, first_line
from vbench_models import Clip, TokenGrid
from vbench_models.card import Card
from vbench_models.loading import PREFIXES, names
from vbench_models.video import ModelError

GROUP = "vbench.models"
DEFAULT_CLIP, DEFAULT_GRID = Clip(frames=8, height=224, width=224), TokenGrid(8, 14, 14)
DEFAULT_WIDTH = 768  # of tokens: ViT-B's
HEAD_DIM = 64


def is_users(name: str) -> bool:
    """Whether `name` names code outside the catalog."""
    return name in announced() or (":" in name and not name.startswith(PREFIXES))


@lru_cache
def announced() -> dict[str, str]:
    """The keys that installed packages announce, and what each stands for; a key of the catalog keeps its meaning."""
    taken = set(names())
    return {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in taken}


def place_and_function(name: str) -> tuple[str, str]:
    """The file or module of a user's code, and the function in it."""
    place, _, function = announced().get(name, name).rpartition(":")
    return place, function


def user_width(name: str) -> tuple[int, int]:
    """Channels and heads that a user's pattern is built with."""
    ending = re.search(r"_(\d+)$", place_and_function(name)[1])
    dim = int(ending[1]) if ending else DEFAULT_WIDTH
    return dim, max(1, dim // HEAD_DIM)


@contextmanager
def faults_in_one_line(name: str) -> Iterator[None]:
    """Name whatever a user's own code raises inside; the catalog's faults are ours, with their traceback.

    Raises:
        UserCodeError: the code behind `name` raised.
    """
    try:
        yield
    except (VbenchError, ModelError, MemoryError):
        raise
    except Exception as error:
        if not is_users(name) or "not enough memory" in str(error):
            raise
        raise UserCodeError(f"{name} raised {type(error).__name__}: {first_line(error)}") from error


def user_card(name: str) -> Card:
    """A card for a user's code: what can be said without running it.

    Raises:
        UnknownNameError: no such file.
    """
    place, function = place_and_function(name)
    if place.endswith(".py") and not Path(place).is_file():
        raise UnknownNameError(f"no file {place!r}; a user's model is named file.py:function")
    is_pattern = function.startswith("build_pattern")
    return Card(
        title=name,
        kind="pattern" if is_pattern else "architecture",
        family="user",
        reference=place,
        builder=f"{place}:{function}",
        default_clip=None if is_pattern else DEFAULT_CLIP,
        default_grid=DEFAULT_GRID if is_pattern else None,
    )


def user_builder(name: str) -> Callable[..., Any]:
    """The function that `name` names.

    Raises:
        UnknownNameError: no such module, or no such function in it.
    """
    place, function = place_and_function(name)
    module = _module(place)
    if not callable(getattr(module, function, None)):
        raise UnknownNameError(f"{place!r} has no function {function!r}")
    builder: Callable[..., Any] = getattr(module, function)
    return builder


def user_source_hash(name: str) -> str:
    """Twelve hex digits of the source file's hash; empty for the catalog's names."""
    if not is_users(name):
        return ""
    place, _ = place_and_function(name)
    path = Path(place) if place.endswith(".py") else Path(_specification(place).origin or "")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


class _AsItIs(SourceFileLoader):
    """Reads the source and no cached bytecode, which is taken for that of a file that changed twice in a second."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Nothing that bytecode could be held against."""
        raise OSError(f"the bytecode of {path} is not to be trusted")


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        _specification(place)
        return importlib.import_module(place)
    path = Path(place).resolve()
    name = f"vbench_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    specification = importlib.util.spec_from_file_location(name, path, loader=_AsItIs(name, str(path)))
    if specification is None or specification.loader is None:
        raise UnknownNameError(f"cannot import {path}")
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _specification(place: str) -> Any:
    try:
        specification = importlib.util.find_spec(place)
    except ModuleNotFoundError:
        specification = None
    if specification is None:
        raise UnknownNameError(
            f"no module {place!r}; a user's model is named file.py:function or package.module:function"
        )
    return specification
