"""What the C library's allocator makes of a forward's blocks: resident bytes beyond those that are alive.

On a CPU torch takes each tensor from malloc. glibc maps a large block by itself and gives it back when it is freed;
smaller ones come from a heap that only shrinks at its end. What "large" means grows up to 32 MiB with the blocks that a
process frees, so that after the first forward most activations live in the heap, whose holes stay resident: that is
why a process's peak lies above the peak of its tensors. The rules (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD;
malloc/malloc.c, sysmalloc and systrim) need no model here: the allocator itself is asked, in a fresh process, with the
predicted sequence of blocks. An allocator that was preloaded in its place (LD_PRELOAD) is asked all the same.

To torch's blocks the small ones are added that come between: the records of each tensor, and what the first forward
leaves behind, most of it where convolutions are compiled. Where such a block lies in a hole, the next large one does
not fit any more, and the heap grows: whether it does is a matter of chance, so that the same forward differs by some
tens of MiB from process to process. The answer is the mean of some draws, of more where these differ much: they often
lie about two values, between which a median of few would jump. They begin at different places of the heap, and all are
made in the same environment: what the asking process's own heap leaves free would move them, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

Block = tuple[int, int]  # (block, bytes): it begins, or ends if less than 0

FORWARDS = 3  # the first one differs, and the heap is the same after each later one
DRAWS, FEWEST_DRAWS = 6, 4  # even: every other one has small holes for records
STEPS_DRAWN = 50_000  # beginnings and ends of blocks, of all draws: long forwards are drawn less often
AGREE, MOST_DRAWS = 1.25, 16  # where the largest draw is more than so much the least, so many are made,
MOST_STEPS_DRAWN = 200_000  # and no more steps than these
SCRIPT = Path(__file__).with_name("heap_replay.py")
PATIENCE_S = 60.0
# What the names of variables begin with that choose an allocator or tell it what to do.
ALLOCATOR_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_", "TCMALLOC_", "MIMALLOC_")


def heap_peak_bytes(history: Sequence[Block], outlasting: Collection[int] = (), compiling: Collection[int] = ()) -> int:
    """Bytes of heap and mapped blocks at the highest point of building a network and running it three times.

    `history` is a `Footprint`'s: blocks that do not end in it are parameters, buffers and inputs. Those `outlasting`
    stay from the first forward on, as casts of parameters do where one autocast context holds all forwards.
    `compiling` are places in it at which a kernel is compiled in the first forward.
    """
    held, forward = parted(history)
    question = {
        "held": held,
        "forward": forward,
        "forwards": FORWARDS,
        "stay": sorted({block for block, _ in forward} & set(outlasting)),
        "compiling": [n for n, place in enumerate(_passing(history)) if place in compiling],
    }
    peaks = _drawn(question, _affordable(DRAWS, STEPS_DRAWN, forward))
    more = _affordable(MOST_DRAWS, MOST_STEPS_DRAWN, forward)
    if max(peaks) > AGREE * min(peaks) and more > len(peaks):
        peaks = _drawn(question, more)
    return round(fmean(peaks))


def _affordable(draws: int, steps: int, forward: Sequence[Block]) -> int:
    """As many draws as that many steps allow, an even number."""
    return min(draws, max(FEWEST_DRAWS, steps // max(1, len(forward)) // 2 * 2))


def _drawn(question: dict[str, object], draws: int) -> list[int]:
    command = [sys.executable, "-I", "-S", str(SCRIPT)]
    settings = {name: value for name, value in os.environ.items() if name.startswith(ALLOCATOR_VARIABLES)}
    answer = subprocess.run(
        command, input=json.dumps(question | {"draws": draws}), capture_output=True, text=True, check=True,
        timeout=PATIENCE_S, env=settings,
    )  # fmt: skip
    return [int(peak) for peak in answer.stdout.split()]


def parted(history: Sequence[Block]) -> tuple[list[int], list[Block]]:
    """The sizes of the blocks that stay, and the beginnings and ends of those that come and go, in order."""
    passing = _passing(history)
    ended = {history[place][0] for place in passing}
    held = [size for block, size in history if block not in ended and size > 0]
    return held, [history[place] for place in passing]


def _passing(history: Sequence[Block]) -> list[int]:
    """Places of the beginnings and ends of blocks that come and go."""
    ended = {block for block, size in history if size < 0}
    return [place for place, (block, size) in enumerate(history) if block in ended and size != 0]
