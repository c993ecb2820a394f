"""A cluster that can be talked to: one that is there, or one that is started here and ends with us."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vbench.errors import FleetError
from vbench.fleet.address import SYSTEMS, Address, Cluster, LocalWorkers, Queue
from vbench.fleet.safety import security_for

if TYPE_CHECKING:
    from distributed import Security

Reached = tuple[str, "Security | None"]
ORPHANED_S = 20  # after which a local worker or a job whose scheduler is gone gives up
JOB = "vbench.cli.job"


def require_dask() -> None:
    """Refuse to go on without Dask; with it, keep it from logging: what matters is told in our own words.

    Raises:
        FleetError: it is not installed.
    """
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError:
        raise FleetError("a fleet wants Dask: pip install 'vbench-attention[cluster]'") from None
    for name in ("asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def reached(cluster: Cluster, *, insecure: bool = False) -> Iterator[Reached]:
    """The scheduler's address and the credentials for it, while the cluster is there.

    Raises:
        FleetError: the cluster is not safe to talk to, or cannot be started.
    """
    require_dask()
    place = cluster.place
    if isinstance(place, Address):
        yield place.url, security_for(place.url, "client", insecure=insecure)
    elif isinstance(place, LocalWorkers):
        with _local(place) as found:
            yield found
    else:
        with _queued(place, insecure=insecure) as found:
            yield found


@contextmanager
def _local(place: LocalWorkers) -> Iterator[Reached]:
    """A scheduler in this process, and workers as processes of their own."""
    from distributed import LocalCluster

    labels = place.labels or ("",) * place.workers
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        url: str = cluster.scheduler_address
        commands = [_worker_command(url, label, shared=len(labels) > 1) for label in labels]
        workers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
        try:
            yield url, None
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()


def _worker_command(url: str, label: str, *, shared: bool) -> list[str]:
    options = [*(("--label", label) if label else ()), *(("--shared",) if shared else ())]
    return [sys.executable, "-m", "vbench", "worker", url, "--device", "cpu", "--patience", f"{ORPHANED_S}s", *options]


@contextmanager
def _queued(place: Queue, *, insecure: bool) -> Iterator[Reached]:
    """A scheduler in this process, and jobs that are workers; under TLS with credentials for this one run."""
    with queue_cluster(place, insecure=insecure) as cluster:
        cluster.scale(jobs=place.jobs)
        yield cluster.scheduler_address, cluster.security


def queue_cluster(place: Queue, *, insecure: bool = False) -> Any:
    """The cluster of dask-jobqueue, without a job yet.

    Raises:
        FleetError: dask-jobqueue is not installed, or refuses the options.
    """
    try:
        import dask_jobqueue
    except ModuleNotFoundError:
        raise FleetError("a queue wants dask-jobqueue: pip install 'vbench-attention[jobqueue]'") from None
    security = {} if insecure else {"security": True}
    ours = {"processes": 1, "worker_command": JOB, "death_timeout": ORPHANED_S, **security}
    scheduler = {"dashboard_address": "127.0.0.1:0", **place.options.get("scheduler_options", {})}
    options = {**ours, **place.options, "scheduler_options": scheduler}
    try:
        return getattr(dask_jobqueue, SYSTEMS[place.system])(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise FleetError(f"{place.system}: dask-jobqueue refuses its options: {error}") from None
