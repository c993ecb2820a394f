"""A process for each core, for counting side by side: nothing is timed meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from vbench.measure.environment import usable_cores
from vbench.measure.processes import without_main
from vbench.measure.worker import end_with_parent


@contextmanager
def crew() -> Iterator[ProcessPoolExecutor]:
    """A process for each core, with everything imported; they end with this one, however it ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vbench.proof"])
    with (
        without_main(),
        ProcessPoolExecutor(usable_cores(), mp_context=context, initializer=end_with_parent) as pool,
    ):
        yield pool
