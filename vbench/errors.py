"""What a user can do wrong, and what can go wrong with a cell.

VbenchError                 one line on stderr, exit code 2
├── UnknownNameError        a model, an axis value, a preset or a TOML key that is on no list
├── AxisError               an axis value that cannot be: 0 frames, CUDA without CUDA, a clip that does not fit
├── GridError               a sweep file that says something else than cells
├── StoreError              a directory or a records file that cannot be used
├── VideoError              a video that cannot be read
├── FleetError              a cluster that cannot be reached, is not safe, or has no worker for us
├── UserCodeError           a user's own model or pattern that raised
├── BackendError            a back end that does not take a network, or computes something else
└── UncountedOperatorError  an operator that is on no list of costs
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_SHOWN = 12  # names in a message: it stays one line


class VbenchError(Exception):
    """A user's mistake; its message says what came, what was wanted and the nearest fix."""


class UnknownNameError(VbenchError):
    """A name that is on no list."""


class AxisError(VbenchError):
    """A value that an axis cannot take, here or anywhere."""


class GridError(VbenchError):
    """A sweep description that cannot be read."""


class StoreError(VbenchError):
    """A directory or file of records that cannot be read or written."""


class VideoError(VbenchError):
    """A video file that is missing, broken or too short."""


class UserCodeError(VbenchError):
    """What a user's own code raised, in one line."""


class BackendError(VbenchError):
    """A back end that does not take a network, or whose output is not eager's."""


class FleetError(VbenchError):
    """A cluster that cannot be reached, is not safe, or has no worker that can be used."""


class UncountedOperatorError(VbenchError):
    """An operator without a known cost: zero is never a default."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind, where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for `name`, with the nearest name that exists."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names[:MOST_SHOWN])}{more}"
    return UnknownNameError(f"unknown {what} {name!r}; {hint}")
