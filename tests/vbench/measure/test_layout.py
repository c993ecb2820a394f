"""Layouts that are drawn: the processes of one forkserver put their blocks at different places."""

from __future__ import annotations

import mmap
import multiprocessing
from multiprocessing.connection import Connection

import pytest
import torch

from vbench.measure.layout import draw_layout

HUGE_PAGE = 2 * 2**20
SMALL, LARGE = 100 * 2**10, 64 * 2**20  # from the heap, and mapped
HOLE = 8 * 2**20  # takes a gap, and not the large tensor


def tell_places(connection: Connection, holes: int) -> None:
    """Send where a small and a large tensor lie within a huge page, in a process with holes between its mappings."""
    mapped = [mmap.mmap(-1, HOLE) for _ in range(2 * holes)]
    for every_other in mapped[::2]:
        every_other.close()
    draw_layout()
    connection.send([torch.empty(size, dtype=torch.uint8).data_ptr() % HUGE_PAGE for size in (SMALL, LARGE)])


@pytest.mark.parametrize("holes", [0, 5])
def test_blocks_of_the_same_size_lie_elsewhere_in_every_process(holes: int) -> None:
    context = multiprocessing.get_context("forkserver")
    places = []
    for _ in range(5):
        ours, theirs = context.Pipe()
        process = context.Process(target=tell_places, args=(theirs, holes))
        process.start()
        theirs.close()  # so that a child that fails ends the wait
        places.append(ours.recv())
        process.join()
    small, large = zip(*places, strict=True)
    assert len(set(small)) > 1
    assert len(set(large)) > 1
