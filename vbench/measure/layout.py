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
from random import SystemRandom

BLOCKS, BLOCK_BYTES = 64, 64 * 2**10  # small ones come from the heap, and move what follows there by up to 4 MiB
PAGES = 512  # large ones are mapped: a gap, never touched, moves them within a huge page

_kept: list[object] = []


def draw_layout() -> None:
    """Move the heap's next blocks and the next mappings of this process by chance; at most 4 MiB become resident."""
    chance = SystemRandom()  # of the system: forks of one process would draw the same
    _kept.append(mmap.mmap(-1, mmap.PAGESIZE * chance.randint(1, PAGES)))
    _kept.extend(bytearray(chance.randrange(BLOCK_BYTES)) for _ in range(chance.randrange(BLOCKS)))
