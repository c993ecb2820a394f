"""A user's own model or pattern, named `file.py:build` or `package.module:build`.

`build(clip)` returns a network on `b c t h w`; `build_pattern(grid, dim, num_heads)` a module on `b t h w c`. A name
that begins with `build_pattern` is a pattern.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from vbench.errors import UnknownNameError
from vbench_models import Clip, TokenGrid
from vbench_models.card import Card
from vbench_models.loading import CORE, IN_BACKBONE

DEFAULT_CLIP, DEFAULT_GRID = Clip(frames=8, height=224, width=224), TokenGrid(8, 14, 14)


def is_users(name: str) -> bool:
    """Whether `name` names code outside the catalog."""
    return ":" in name and not name.startswith((CORE, IN_BACKBONE))


def user_card(name: str) -> Card:
    """A card for a user's code: what can be said without running it.

    Raises:
        UnknownNameError: no such file.
    """
    place, _, function = name.rpartition(":")
    if place.endswith(".py") and not Path(place).is_file():
        raise UnknownNameError(f"no file {place!r}; a user's model is named file.py:function")
    is_pattern = function.startswith("build_pattern")
    return Card(
        title=name,
        kind="pattern" if is_pattern else "architecture",
        family="user",
        reference=place,
        builder=name,
        default_clip=None if is_pattern else DEFAULT_CLIP,
        default_grid=DEFAULT_GRID if is_pattern else None,
    )


def user_builder(name: str) -> Callable[..., Any]:
    """The function that `name` names.

    Raises:
        UnknownNameError: no such module, or no such function in it.
    """
    place, _, function = name.rpartition(":")
    module = _module(place)
    if not callable(getattr(module, function, None)):
        raise UnknownNameError(f"{place!r} has no function {function!r}")
    builder: Callable[..., Any] = getattr(module, function)
    return builder


def user_source_hash(name: str) -> str:
    """Twelve hex digits of the source file's hash; empty for the catalog's names."""
    if not is_users(name):
        return ""
    place = name.rpartition(":")[0]
    path = Path(place) if place.endswith(".py") else Path(_specification(place).origin or "")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        _specification(place)
        return importlib.import_module(place)
    path = Path(place).resolve()
    name = f"vbench_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    specification = importlib.util.spec_from_file_location(name, path)
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
