"""A worker's life: offer a device to a scheduler, measure what comes, and come back when the scheduler does.

The worker is Dask's own, in this process, without a nanny: a killed worker leaves nothing behind, for the processes
that measure end with it. What Dask does beside the work, profiling and watching memory, is off or seldom.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from vbench.errors import FleetError
from vbench.fleet import remote
from vbench.fleet.address import parse_url
from vbench.fleet.announced import ANNOUNCED, Offer
from vbench.fleet.safety import is_loopback

if TYPE_CHECKING:
    from distributed import Security, Worker

PAUSE_S = 0.5  # before a worker that was sent away comes back
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.diagnostics.nvml": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.terminate": False,
}


def serve(
    url: str, offer: Offer, security: Security | None, say: Callable[[str], None], *,
    name: str | None = None, patience_s: float | None = None,
) -> None:  # fmt: skip
    """Work for the scheduler at `url` until it is gone for longer than `patience_s`, or for ever.

    Raises:
        FleetError: the scheduler was not there for so long.
    """
    import dask

    with dask.config.set(QUIET), tempfile.TemporaryDirectory(prefix="vbench-worker-") as scratch:
        while True:
            say(f"offers {offer.device} as {offer.label} to {url}")
            try:
                end = asyncio.run(_one_life(url, offer, security, name=name, scratch=scratch, patience_s=patience_s))
            except TimeoutError:
                raise FleetError(f"no scheduler at {url} for {patience_s:g} s") from None
            say(end)


async def _one_life(
    url: str, offer: Offer, security: Security | None, *, name: str | None, scratch: str, patience_s: float | None
) -> str:
    """From joining the scheduler to the end; in words, why."""
    remote.reopen()
    try:
        async with one_worker(url, offer, security, name=name, scratch=scratch, patience_s=patience_s) as worker:
            await worker.finished()
    except RuntimeError as error:  # Dask's for all that can go wrong at a start: a name in use, until it is let go
        await asyncio.sleep(PAUSE_S)
        return f"did not start: {error.__cause__ or error}"
    await asyncio.sleep(PAUSE_S)
    return "the scheduler is gone, or has sent this worker away"


def one_worker(
    url: str, offer: Offer, security: Security | None, *,
    name: str | None = None, scratch: str | None = None, patience_s: float | None = None,
) -> Worker:  # fmt: skip
    """Dask's worker with one slot, which announces the offer; enter it to join the scheduler."""
    from distributed import Worker, WorkerPlugin

    class Ending(WorkerPlugin):  # type: ignore[misc]
        """What is under way ends with the worker."""

        name = "vbench-ending"

        async def teardown(self, worker: Worker) -> None:  # noqa: ARG002
            await remote.abandon()

    _, host, _ = parse_url(url)
    return Worker(
        url,
        nthreads=1,
        name=name,
        host=host if is_loopback(host) else None,
        resources=offer.resources(),
        startup_information={ANNOUNCED: lambda _: offer.to_json()},
        security=security,
        plugins=(Ending(),),
        memory_limit=0,
        death_timeout=patience_s,
        dashboard=False,
        local_directory=scratch,
    )
