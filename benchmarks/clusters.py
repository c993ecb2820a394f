"""A real cluster on loopback, to be struck: scheduler, workers and sweeps as processes of their own.

`tests/vbench/fleet/test_faults.py` plays every misfortune once, `benchmarks.fleet` at length. All run from copies of
the package, so that their versions agree whatever is edited meanwhile.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.crashes import Place, Started, end, members, orphans, until

LABELS = ("quick", "slow")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class LoopbackCluster:
    """A scheduler that can be killed and started again at its address, and workers."""

    place: Place
    protocol: str = "tcp"
    port: int = field(default_factory=free_port)
    scheduler: Started | None = None
    workers: dict[str, Started] = field(default_factory=dict)  # by label

    @property
    def url(self) -> str:
        """Of the scheduler."""
        return f"{self.protocol}://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start it, or start it again, and wait until it listens."""
        where = ("--protocol", self.protocol, "--host", "127.0.0.1", "--port", str(self.port))
        self.scheduler = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", *where, "--no-dashboard"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert until(self._listens, 30.0), "the scheduler does not listen"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill_scheduler(self) -> None:
        """As if its machine went down."""
        assert self.scheduler is not None, "no scheduler was started"
        end(self.scheduler)

    def start_worker(self, label: str, *, first: Sequence[Path] = ()) -> Started:
        """A worker that offers this machine's cores under a label; folders that are `first` hide what is installed."""
        command = ("worker", self.url, "--device", "cpu", "--label", label, "--shared")
        self.workers[label] = self.place.run(*command, first=first)
        return self.workers[label]

    def wait_for_offers(self, label: str, number: int) -> bool:
        """Whether the worker has said so many times that it joins the scheduler."""
        return until(lambda: self.place.said.count(f"offers cpu as {label}") >= number)

    def stop(self) -> list[psutil.Process]:
        """End everything, politely; returns the processes of workers that stay."""
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                end(worker, signal.SIGTERM)
        if self.scheduler is not None:
            end(self.scheduler)
        return [process for worker in self.workers.values() for process in orphans(worker.pid)]


@contextmanager
def loopback_cluster(root: Path, labels: Sequence[str] = LABELS, *, protocol: str = "tcp") -> Iterator[LoopbackCluster]:
    """A scheduler and a worker for each label; under `tls` with the certificates that Dask's configuration names."""
    cluster = LoopbackCluster(Place(root, ()), protocol)
    cluster.start_scheduler()
    try:
        for label in labels:
            cluster.start_worker(label)
        yield cluster
    finally:
        cluster.stop()


def is_measuring(worker: Started) -> bool:
    """Whether a fresh process of the worker runs now, below its forkserver."""
    return worker.poll() is None and len(processes_of(worker)) > 0


def processes_of(worker: Started) -> list[psutil.Process]:
    """The fresh processes of a worker that live now."""
    try:
        servers = [child for child in psutil.Process(worker.pid).children() if "forkserver" in _command(child)]
        return [process for server in servers for process in server.children()]
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def busy_worker(cluster: LoopbackCluster, sweep: Started) -> tuple[str, Started] | None:
    """A worker that measures now, while the sweep goes on; None where the sweep is over."""
    found: list[tuple[str, Started]] = []

    def has_one() -> bool:
        found[:] = [(label, worker) for label, worker in cluster.workers.items() if is_measuring(worker)]
        return bool(found) or sweep.poll() is not None

    until(has_one)
    return found[0] if found else None


def left_of(worker: Started) -> list[psutil.Process]:
    """The living processes of a worker that is gone, after some patience."""
    until(lambda: not members(worker.pid), 20.0)
    return members(worker.pid)
