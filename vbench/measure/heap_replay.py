"""A script for a fresh process: asks malloc what it would make of a sequence of blocks, and touches none of them.

    python -I -S heap_replay.py < question.json

with {"held": [bytes], "forward": [[block, bytes]], "forwards": 3, "stay": [block]} prints the most bytes that the heap
and the mapped blocks occupy at once, for each size of the small blocks that stay between the others, which decide by
chance what the heap can give back. It is a script of its own because the heap of the process that asks is not fresh.
Blocks that are never written take addresses and no memory, so a question about 100 GiB costs none. See
`vbench.measure.heap` for what follows from the answer.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

ALIGNMENT = 64  # of torch's CPU allocator (c10/core/impl/alloc_cpu.cpp)
PAGE, HEADER = 4096, 16
LARGEST_THRESHOLD = 32 * 2**20  # glibc maps larger blocks by themselves, whatever happened before (mallopt(3))
SMALL_BYTES = (0, 600, 5000)  # what stays after each step of the first forward: entries of caches, Python's objects


class Heap:
    """The main arena of this process and the blocks mapped beside it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.posix_memalign.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._libc.sbrk.argtypes, self._libc.sbrk.restype = (ctypes.c_ssize_t,), ctypes.c_void_p
        self._start = self._libc.sbrk(0)
        self._address = ctypes.c_void_p()
        self._blocks: dict[int, tuple[int | None, int]] = {}  # block: its address to free, its mapped bytes
        self._mapped = self.peak = 0

    def begin(self, block: int, size: int) -> None:
        """Hand out a block; one that is mapped in any case is only booked."""
        address = None if size > LARGEST_THRESHOLD - PAGE else self._take(size)
        mapped = 0 if address is not None and self._start <= address < self._libc.sbrk(0) else _pages(size)
        self._blocks[block] = address, mapped
        self._mapped += mapped
        self.peak = max(self.peak, self._libc.sbrk(0) - self._start + self._mapped)

    def end(self, block: int) -> None:
        """Take a block back."""
        address, mapped = self._blocks.pop(block)
        if address is not None:
            self._libc.free(address)
        self._mapped -= mapped

    def _take(self, size: int) -> int:
        if self._libc.posix_memalign(ctypes.byref(self._address), ALIGNMENT, max(size, 1)):
            raise MemoryError(size)
        return self._address.value or 0


def _pages(size: int) -> int:
    return -(-(size + HEADER) // PAGE) * PAGE


def replay(held: list[int], forward: list[tuple[int, int]], forwards: int, stay: list[int], small_bytes: int) -> int:
    """Bytes at the highest point of taking the `held` blocks and then running the forward some times.

    Of the forward's blocks those that `stay` are taken by the first one and never given back.
    """
    heap, staying = Heap(), set(stay)
    for index, size in enumerate(held):
        heap.begin(-1 - index, size)
    small = -1 - len(held)
    for turn in range(forwards):
        for block, size in forward:
            if block in staying and (turn or size < 0):
                continue
            if size < 0:
                heap.end(block)
            else:
                heap.begin(block, size)
            if turn == 0 and small_bytes:
                small -= 1
                heap.begin(small, small_bytes)
    return heap.peak


def main() -> None:
    """Answer in a child for each size: every answer needs a fresh heap."""
    question = json.load(sys.stdin)
    for size in SMALL_BYTES:
        child = os.fork()
        if child == 0:
            os.write(1, f"{replay(**question, small_bytes=size)}\n".encode())
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)


if __name__ == "__main__":
    main()
