"""The shape of a video, in pixels and in tokens; imports nothing but the standard library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ModelError(ValueError):
    """A request that no model here can answer: its message says what came, what was wanted and the nearest fix."""


class UnsupportedClipError(ModelError):
    """The architecture does not take a clip of this size."""


class UnknownModelError(ModelError):
    """No card, file or package of this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A batch of clips of video, in frames and pixels; the network's input is `b c t h w`."""

    batch: int = 1
    frames: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for axis in ("batch", "frames", "height", "width"):
            if getattr(self, axis) < 1:
                raise UnsupportedClipError(f"{axis} must be at least 1; got {axis}={getattr(self, axis)}")

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class TokenGrid:
    """A grid of tokens, always in the order (t, h, w)."""

    t: int
    h: int
    w: int

    def __post_init__(self) -> None:
        for axis in ("t", "h", "w"):
            if getattr(self, axis) < 1:
                raise UnsupportedClipError(f"a token grid is at least 1x1x1; got {self}")

    @property
    def tokens(self) -> int:
        """N = t * h * w."""
        return self.t * self.h * self.w

    def __str__(self) -> str:
        return f"{self.t}x{self.h}x{self.w}"


def token_grid(clip: Clip, tubelet_size: tuple[int, int, int]) -> TokenGrid:
    """The grid that tubelets of `tubelet_size` (t, h, w) cut out of `clip`, without remainder.

    Raises:
        UnsupportedClipError: an axis of the clip is no multiple of the tubelet's.
    """
    extents = {"frames": clip.frames, "height": clip.height, "width": clip.width}
    for (axis, extent), size in zip(extents.items(), tubelet_size, strict=True):
        if extent % size:
            fits = ", ".join(str(fit) for fit in (extent // size * size, (extent // size + 1) * size) if fit)
            raise UnsupportedClipError(
                f"{axis} must be a multiple of {size}, the tubelet's; got {axis}={extent}, nearest: {fits}"
            )
    return TokenGrid(*(extent // size for extent, size in zip(extents.values(), tubelet_size, strict=True)))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is on no list, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"unknown {what} {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {shown(names)}")


def shown(names: list[str], most: int = 12) -> str:
    """The names with commas; of a long list the first ones, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
