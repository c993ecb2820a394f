"""Where a fresh process's blocks lie in memory, by chance.

The children of one forkserver share its addresses, so that every process of a sweep, or of a side of a comparison, gets
its activations at the same places; where they lie moves a forward by some percent. Two sides that differ in nothing but
the length of their path were told apart by 2.5 % (video_swin_t, 4 frames of 112 x 112, 60 pairs). Mytkowicz et al.,
Producing wrong data without doing anything obviously wrong! (ASPLOS 2009), show the effect; the remedy is that of
Curtsinger and Berger, Stabilizer (ASPLOS 2013): draw the layout anew in every process, and let the interval over
processes contain it.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from random import SystemRandom

import numpy as np

BLOCKS, BLOCK_BYTES = 64, 64 * 2**10  # small ones come from the heap, and move what follows there by up to 4 MiB
HUGE_PAGE = 512  # in pages: large ones are mapped, and move within one
LARGEST = 2**30  # bytes: a mapping of this size moves, and with it all that are larger than a gap

_kept: list[object] = []


def draw_layout() -> None:
    """Move the heap's next blocks and the next mappings of this process by chance; at most 4 MiB become resident."""
    chance = SystemRandom()  # of the system: forks of one process would draw the same
    with suppress(OSError):  # an address space with a limit (ulimit -v) may have no room to look at
        _move_mappings(gap=mmap.PAGESIZE * (HUGE_PAGE + chance.randrange(HUGE_PAGE)))
    _kept.extend(bytearray(chance.randrange(BLOCK_BYTES)) for _ in range(chance.randrange(BLOCKS)))


def _move_mappings(gap: int) -> None:
    """Map gaps, never touched, until one moves a large mapping: the first ones may fill holes between libraries."""
    before = _place_of_next(LARGEST)
    while _place_of_next(LARGEST) == before:
        _kept.append(_map(gap))


def _place_of_next(size: int) -> int:
    return np.frombuffer(_map(size), np.uint8).ctypes.data  # unmapped at once, with its last reference


def _map(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)  # reserves nothing
