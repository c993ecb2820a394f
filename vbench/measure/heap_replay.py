"""A script for a fresh process: asks malloc what it would make of a sequence of blocks, and touches none of them.

    python -I -S heap_replay.py < question.json

with {"held": [bytes], "forward": [[block, bytes]], "forwards": 3, "stay": [block], "compiling": [place in the forward],
"draws": 8} prints for each draw the most bytes that the heap and the mapped blocks occupy at once. Draws differ in
where the heap begins and in the small blocks that come between: the records that torch keeps of each tensor, and what
stays from the first forward on. It is a script of its own because the heap of the process that asks is not fresh.
Blocks that are never written take addresses and no memory, so a question about 100 GiB costs none. See
`vbench.measure.heap` for what follows from the answer.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import sys
from typing import NamedTuple

ALIGNMENT = 64  # of torch's CPU allocator (c10/core/impl/alloc_cpu.cpp)
PAGE, HEADER = 4096, 16
LARGEST_THRESHOLD = 32 * 2**20  # glibc maps larger blocks by themselves, whatever happened before (mallopt(3))

# What torch 2.13 takes from malloc for a tensor, as a recording malloc showed under Video Swin: a record of its storage
# before its numbers, of itself and of its version after them; views have the latter two and one of what they view.
STORAGE_RECORD, TENSOR_RECORDS, VIEW_RECORDS = 96, (176, 24), (176, 24, 312)
VIEWS, VIEW_STEPS = 0.78, 10  # views that outlive their operator, of each storage; and for how many steps, in the mean
BEGINNINGS = (16, 2**16)  # bytes of a small block before all others


class Leaving(NamedTuple):
    """The first forward's steps, of which such a share leaves a block of one of these sizes."""

    share: float
    sizes: tuple[int, ...]


USUAL = Leaving(0.02, (600, 2000, 8000))  # buffers of MKL, entries of caches
# oneDNN keeps some forty blocks of a convolution that it compiles, most of which find room in small holes.
COMPILING = Leaving(0.5, (24, 24, 48, 104, 104, 224, 500, 3000, 13_000))
NOTHING = Leaving(0.0, (0,))


class Heap:
    """The main arena of this process and the blocks mapped beside it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.posix_memalign.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._libc.malloc.argtypes, self._libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._libc.sbrk.argtypes, self._libc.sbrk.restype = (ctypes.c_ssize_t,), ctypes.c_void_p
        self._address = ctypes.c_void_p()
        self._blocks: dict[int, tuple[int | None, int]] = {}  # block: its address to free, its mapped bytes
        self.start()

    def start(self) -> None:
        """Count from here on."""
        self._start = self._libc.sbrk(0)
        self._mapped = self.peak = 0

    def litter(self, sizes: tuple[int, ...], count: int) -> None:
        """Leave `count` small holes of each size, as in a heap that has been in use."""
        for size in sizes:
            blocks = self.small(2 * count * (size,))
            self.free(blocks[::2])  # between others that stay, so that they do not grow together

    def begin(self, block: int, size: int) -> None:
        """Hand out a block; one that is mapped in any case is only booked."""
        address = None if size > LARGEST_THRESHOLD - PAGE else self._aligned(size)
        top = self._libc.sbrk(0)
        mapped = 0 if address is not None and self._start <= address < top else _pages(size)
        self._blocks[block] = address, mapped
        self._mapped += mapped
        self.peak = max(self.peak, top - self._start + self._mapped)

    def end(self, block: int) -> None:
        """Take a block back."""
        address, mapped = self._blocks.pop(block)
        if address is not None:
            self._libc.free(address)
        self._mapped -= mapped

    def small(self, sizes: tuple[int, ...]) -> list[int]:
        """Hand out small blocks, in this order: their addresses."""
        return [self._libc.malloc(size) for size in sizes]

    def free(self, addresses: list[int]) -> None:
        """Take small blocks back."""
        for address in addresses:
            self._libc.free(address)

    def _aligned(self, size: int) -> int:
        if self._libc.posix_memalign(ctypes.byref(self._address), ALIGNMENT, max(size, 1)):
            raise MemoryError(size)
        return self._address.value or 0


def _pages(size: int) -> int:
    return -(-(size + HEADER) // PAGE) * PAGE


class Tensors:
    """Blocks of tensors, with the records that torch keeps of them.

    Small blocks beside the records come and go by the hundred thousand in a forward, and leave small holes, in which
    there may be room for the records of as many tensors as are `expected`. Without such holes records split the large
    ones. Both are seen: of all that SlowFast R101 in bf16 was recorded to take from malloc, its tensors alone need
    439 MB, with their records 541 MB, and with everything else 452 MB again; under SlowFast R50 in fp32 everything
    needs 535 MB, the tensors alone 385 MB.
    """

    def __init__(self, heap: Heap, chance: random.Random, expected: int) -> None:
        self._heap, self._chance = heap, chance
        self._heap.small((chance.randrange(*BEGINNINGS),))
        self._heap.litter((STORAGE_RECORD, *VIEW_RECORDS), expected)
        self._heap.start()
        self._records: dict[int, list[int]] = {}
        self._views: dict[int, list[int]] = {}  # the step at which it ends: records
        self._step = 0

    def begin(self, block: int, size: int, *, is_viewed: bool = False) -> None:
        """A new tensor; one that is viewed may have a view for some steps."""
        records = self._heap.small((STORAGE_RECORD,))
        self._heap.begin(block, size)
        self._records[block] = records + self._heap.small(TENSOR_RECORDS)
        if is_viewed and self._chance.random() < VIEWS:
            end = self._step + 1 + int(self._chance.expovariate(1 / VIEW_STEPS))
            self._views.setdefault(end, []).extend(self._heap.small(VIEW_RECORDS))

    def end(self, block: int) -> None:
        """The end of a tensor."""
        self._heap.end(block)
        self._heap.free(self._records.pop(block))

    def step(self, leaving: Leaving) -> None:
        """A block has begun or ended: views end by and by, and something may be left behind."""
        self._step += 1
        self._heap.free(self._views.pop(self._step, []))
        if self._chance.random() < leaving.share:
            self._heap.small((self._chance.choice(leaving.sizes),))


def replay(  # noqa: PLR0917 - the question's keys
    held: list[int], forward: list[tuple[int, int]], forwards: int, stay: list[int], compiling: list[int], seed: int
) -> int:
    """Bytes at the highest point of taking the `held` blocks and then running the forward some times.

    Of the forward's blocks those that `stay` are taken by the first one and never given back. Half of the draws have
    small holes for the tensors' records.
    """
    heap, staying, slow = Heap(), set(stay), set(compiling)
    tensors_expected = len(held) + sum(size > 0 for _, size in forward)
    tensors = Tensors(heap, random.Random(seed), expected=tensors_expected if seed % 2 else 0)
    for index, size in enumerate(held):
        tensors.begin(-1 - index, size)
    for turn in range(forwards):
        for place, (block, size) in enumerate(forward):
            if block in staying and (turn or size < 0):
                continue
            if size < 0:
                tensors.end(block)
            else:
                tensors.begin(block, size, is_viewed=True)
            tensors.step(NOTHING if turn else COMPILING if place in slow else USUAL)
    return heap.peak


def main() -> None:
    """Answer in a child for each draw: every answer needs a fresh heap."""
    question = json.load(sys.stdin)
    for seed in range(question.pop("draws")):
        child = os.fork()
        if child == 0:
            os.write(1, f"{replay(**question, seed=seed)}\n".encode())
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)


if __name__ == "__main__":
    main()
