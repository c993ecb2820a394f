"""`Layout`: how one publisher names the tensors of a network. A layout is data: reading it imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeAlias


class Part(NamedTuple):
    """One of `of` equal parts of their tensor, cut along its first axis: q out of q, k and v in one projection."""

    name: str
    which: int = 0
    of: int = 1


Theirs: TypeAlias = str | Part | tuple[str, ...]
Names: TypeAlias = Mapping[str, Theirs]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One publisher's names.

    `names` leads from a module or a tensor of ours to theirs: `*` stands for a number, the same on both sides, and
    what follows a module's name (`.weight`, `.bias`) follows on both sides too. Several of theirs are stacked along
    the first axis. `structure` names what they store although it follows from sizes, tables of indices, which is not
    read.
    """

    publisher: str
    names: Names
    structure: tuple[str, ...] = ()

    def sources(self, ours: str) -> tuple[Part, ...]:
        """The parts of their tensors that make up our tensor `ours`; none if the table does not know it."""
        for name, theirs in self.names.items():
            if match := _pattern(name).fullmatch(ours):
                *numbers, rest = match.groups()
                return tuple(part._replace(name=_filled(part.name, numbers) + rest) for part in _parts(theirs))
        return ()

    def is_structure(self, theirs: str) -> bool:
        """Whether their tensor holds no weights."""
        return any(_pattern(name).fullmatch(theirs) for name in self.structure)


def within(ours: str, theirs: str, names: Names) -> dict[str, Theirs]:
    """The table `names` of a module, for where that module stands in the network."""
    return {f"{ours}.{name}": _moved(value, theirs) for name, value in names.items()}


def _moved(value: Theirs, prefix: str) -> Theirs:
    if isinstance(value, str):
        return f"{prefix}.{value}"
    if isinstance(value, Part):
        return value._replace(name=f"{prefix}.{value.name}")
    return tuple(f"{prefix}.{name}" for name in value)


def _parts(value: Theirs) -> tuple[Part, ...]:
    if isinstance(value, Part):
        return (value,)
    return tuple(Part(name) for name in ((value,) if isinstance(value, str) else value))


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """Matches the module or tensor `name`; a group for each `*`, and one for what follows."""
    return re.compile(re.escape(name).replace(r"\*", r"(\d+)") + r"((?:\.(?:weight|bias))?)")


def _filled(name: str, numbers: list[str]) -> str:
    for number in numbers:
        name = name.replace("*", number, 1)
    return name
