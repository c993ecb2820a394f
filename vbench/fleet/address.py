"""Which cluster `--cluster` names: an address, or a TOML file with an address, a queue, or workers on this machine.

address = "tls://head:8786"      # of a Dask scheduler
wait = "2h"                      # for the workers before the sweep starts; optional
workers = 3                      # so many, one otherwise; when the time is up, one is enough

[local]                          # instead: a scheduler and workers here, to try things out
workers = 2
labels = ["quick", "slow"]       # optional, one a worker

[queue]                          # instead: jobs of a queueing system, through dask-jobqueue
system = "slurm"
jobs = 4
[queue.options]                  # as in dask_jobqueue.SLURMCluster
cores = 8
memory = "32GB"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vbench.errors import FleetError, unknown_name
from vbench.grid import parse_label
from vbench.units import parse_duration_s

WAIT_S = 60.0  # for the workers
SYSTEMS = {
    "htcondor": "HTCondorCluster", "lsf": "LSFCluster", "moab": "MoabCluster", "oar": "OARCluster",
    "pbs": "PBSCluster", "sge": "SGECluster", "slurm": "SLURMCluster",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A scheduler that is there already."""

    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalWorkers:
    """A scheduler and workers on this machine, which disturb each other where they share cores."""

    workers: int = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """A scheduler here, and workers that are jobs of a queueing system."""

    system: str
    jobs: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What `--cluster` says."""

    place: Address | LocalWorkers | Queue
    wait_s: float = WAIT_S
    workers: int = 1  # to wait for


def parse_url(text: str) -> tuple[str, str, int]:
    """(protocol, host, port) of `tcp://HOST:PORT` or `tls://HOST:PORT`.

    Raises:
        FleetError: it is something else.
    """
    match = re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^:/\s]+):(\d{1,5})", text)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise FleetError(f"an address is tcp://HOST:PORT or tls://HOST:PORT, as in tcp://127.0.0.1:8786; got {text!r}")
    return match[1], match[2].strip("[]"), int(match[3])


def read_cluster(text: str) -> Cluster:
    """The cluster that an address or the path of a TOML file names.

    Raises:
        FleetError: neither, or a file that says something else than one cluster.
        UnknownNameError: a key or a queueing system that does not exist.
    """
    if not text.endswith(".toml"):
        parse_url(text)
        return Cluster(place=Address(url=text))
    path = Path(text)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FleetError(f"{path} is no TOML: {error}") from None
    return cluster_from_document(document, str(path))


def cluster_from_document(document: Mapping[str, Any], source: str) -> Cluster:
    """The cluster that a parsed TOML document describes; raises as `read_cluster`."""
    _refuse_unknown_keys(document, ("address", "wait", "workers", "local", "queue"), source)
    named = [key for key in ("address", "local", "queue") if key in document]
    if len(named) != 1:
        raise FleetError(f"{source} names one of address, [local] and [queue]; got {' and '.join(named) or 'none'}")
    wait_s = parse_duration_s(str(document["wait"])) if "wait" in document else WAIT_S
    workers = _whole(document.get("workers", 1), "workers", source)
    if "address" in document:
        parse_url(str(document["address"]))
        return Cluster(place=Address(url=str(document["address"])), wait_s=wait_s, workers=workers)
    if "local" in document:
        local = _local(_table(document, "local", source), source)
        return Cluster(place=local, wait_s=wait_s, workers=local.workers)
    return Cluster(place=_queue(_table(document, "queue", source), source), wait_s=wait_s, workers=workers)


def _local(table: Mapping[str, Any], source: str) -> LocalWorkers:
    _refuse_unknown_keys(table, ("workers", "labels"), f"{source}, [local]")
    labels = tuple(parse_label(label) for label in table.get("labels", ()))
    workers = _whole(table.get("workers", len(labels) or 1), "workers", source)
    if labels and len(labels) != workers:
        raise FleetError(f"{source}: labels are one a worker; got {len(labels)} labels for {workers} workers")
    return LocalWorkers(workers=workers, labels=labels)


def _queue(table: Mapping[str, Any], source: str) -> Queue:
    _refuse_unknown_keys(table, ("system", "jobs", "options"), f"{source}, [queue]")
    system = str(table.get("system", ""))
    if system not in SYSTEMS:
        raise unknown_name("queueing system", system, SYSTEMS)
    options = _table(table, "options", source) if "options" in table else {}
    return Queue(system=system, jobs=_whole(table.get("jobs", 1), "jobs", source), options=options)


def _table(document: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    table = document[key]
    if not isinstance(table, dict):
        raise FleetError(f"{source}: {key} is a table, written [{key}]; got {table!r}")
    return table


def _whole(number: Any, key: str, source: str) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise FleetError(f"{source}: {key} must be a whole number of at least 1; got {number!r}")
    return number


def _refuse_unknown_keys(table: Mapping[str, Any], known: Iterable[str], source: str) -> None:
    for key in table:
        if key not in known:
            raise unknown_name(f"key in {source}", key, known)
