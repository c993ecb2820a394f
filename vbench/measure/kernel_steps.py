"""The order in which an operator's kernel takes and gives back memory beside its results.

An allocator fits what comes later into the holes that earlier blocks left, so that for a process it matters not only
how much a kernel takes, but in how many pieces, and whether its results are made before, between or after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RESULTS = "results"
MOST_EVENTS = 128  # of an operator that works in parts: by then a few of them are done, and those after are like them
Steps = list[tuple[str, int]]  # a block and its bytes, less than 0 where it is given back; or the results, and 0


def within(kept: Mapping[str, int], inner: Steps) -> Steps:
    """The blocks that are there from the beginning to the end, around what happens meanwhile."""
    taken = list(kept.items())
    return [*taken, *inner, *((block, -size) for block, size in reversed(taken))]


def after_results(*sizes: int) -> Steps:
    """Blocks that are taken when the results are made already, and given back together, the last one first."""
    return [(RESULTS, 0), *within({f"scratch {n}": size for n, size in enumerate(sizes)}, [])]


def highest_above(steps: Steps, results_bytes: int) -> int:
    """Bytes at the highest point beyond those of the results."""
    live = peak = 0
    for block, size in steps:
        live += results_bytes if block == RESULTS else size
        peak = max(peak, live)
    return peak - results_bytes


def steps_of(events: Sequence[tuple[int, int]]) -> Steps:
    """The steps of an operator from the blocks that began and ended in it; the one that stays is its result."""
    ended = {block for block, size in events if size < 0}
    return [(str(block), size) if block in ended else (RESULTS, 0) for block, size in events]


def shortened(events: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first of the blocks that began and ended, those that stay, and those alive at the highest point."""
    alive: dict[int, int] = {}
    live = peak = 0
    highest: set[int] = set()
    for block, size in events:
        live += size
        if size < 0:
            del alive[block]
        else:
            alive[block] = size
        if live > peak:
            peak, highest = live, set(alive)
    kept = {block for block, _ in events[:MOST_EVENTS]} | highest | set(alive)
    return [(block, size) for block, size in events if block in kept]
