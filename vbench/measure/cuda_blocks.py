"""What torch's caching allocator reserves on CUDA for a forward's blocks; its rules as known, not measured.

c10/cuda/CUDACachingAllocator.cpp by default: a request is rounded up to 512 bytes and served by the
smallest free block of its pool that is large enough; else a new segment is reserved: 2 MiB for requests up to 1 MiB,
20 MiB for those under 10 MiB, else the request rounded up to 2 MiB. What is left of a block is split off where it is
worth it, and neighbours in a segment merge again. Segments are kept. One stream, no fragmentation by others, and
nothing is given back under pressure, so that a process which would survive by that is said to need more.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

Block = tuple[int, int]  # (block, bytes): it begins, or ends if less than 0

MIB = 2**20
SMALLEST = 512
SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
LARGE_REQUEST, LARGE_SEGMENT = 10 * MIB, 20 * MIB
ROUND_SEGMENT = 2 * MIB


@dataclass(slots=True, eq=False)
class Piece:
    """Part of a segment, free or in use."""

    size: int
    pool: Pool
    is_free: bool = True
    before: Piece | None = None
    after: Piece | None = None


@dataclass(slots=True, eq=False)
class Pool:
    """The free pieces of one kind of segment, smallest first."""

    least_rest: int  # a smaller rest is not split off
    free: list[Piece] = field(default_factory=list)

    def take(self, size: int) -> Piece | None:
        """The smallest free piece that is large enough, if there is one."""
        index = next((place for place, piece in enumerate(self.free) if piece.size >= size), None)
        return None if index is None else self.free.pop(index)

    def put(self, piece: Piece) -> None:
        """Keep a piece that is free."""
        piece.is_free = True
        insort(self.free, piece, key=lambda known: known.size)


class CachingAllocator:
    """Reserved bytes under requests and returns."""

    def __init__(self) -> None:
        self.reserved = 0
        self._small, self._large = Pool(SMALLEST), Pool(SMALL_REQUEST + 1)
        self._used: dict[int, Piece] = {}

    def begin(self, block: int, size: int) -> None:
        """Serve a request."""
        size = _rounded(size, SMALLEST)
        pool = self._small if size <= SMALL_REQUEST else self._large
        piece = pool.take(size) or self._segment(pool, size)
        piece.is_free = False
        rest = piece.size - size
        if rest >= pool.least_rest:
            piece.size = size
            split = Piece(rest, pool, before=piece, after=piece.after)
            if piece.after:
                piece.after.before = split
            piece.after = split
            pool.put(split)
        self._used[block] = piece

    def end(self, block: int) -> None:
        """Take a block back, and merge it with its free neighbours."""
        piece = self._used.pop(block)
        for neighbour in (piece.before, piece.after):
            if neighbour and neighbour.is_free:
                piece.pool.free.remove(neighbour)
                _merge(piece, neighbour)
        piece.pool.put(piece)

    def _segment(self, pool: Pool, size: int) -> Piece:
        whole = SMALL_SEGMENT if size <= SMALL_REQUEST else LARGE_SEGMENT
        if size >= LARGE_REQUEST:
            whole = _rounded(size, ROUND_SEGMENT)
        self.reserved += whole
        return Piece(whole, pool)


def reserved_peak_bytes(history: Sequence[Block], forwards: int = 2) -> int:
    """Bytes that the allocator has reserved after building a network and running it a few times.

    `history` is a `Footprint`'s: blocks that do not end in it are parameters, buffers and inputs.
    """
    allocator = CachingAllocator()
    ended = {block for block, size in history if size < 0}
    for block, size in history:
        if block not in ended and size > 0:
            allocator.begin(block, size)
    for _ in range(forwards):
        for block, size in history:
            if block in ended and size > 0:
                allocator.begin(block, size)
            elif size < 0:
                allocator.end(block)
    return allocator.reserved


def _rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def _merge(piece: Piece, neighbour: Piece) -> None:
    piece.size += neighbour.size
    if neighbour is piece.before:
        piece.before = neighbour.before
        if piece.before:
            piece.before.after = piece
    else:
        piece.after = neighbour.after
        if piece.after:
            piece.after.before = piece
