"""What a worker runs: one cell, in the very same fresh processes as on a machine of its own.

Text comes in and text goes out: a cell and its counts as JSON, a record and its environment as JSON. No object of the
client's is ever unpacked here; a model is a catalog's key or the name of a module that this machine has itself.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import threading
from dataclasses import asdict
from typing import Any

from vbench.bench import Due
from vbench.cell import Cell, cell_from_json
from vbench.errors import AxisError, FleetError, VbenchError
from vbench.measure.environment import environment, of_one_host
from vbench.measure.runner import Runner, Settings
from vbench.measure.survey import surveyed
from vbench.measure.user_models import user_source_hash
from vbench.results import Environment, Record, counts_from_json, record_from_json, record_to_json

CLOSED = json.dumps({"closed": True})

_AT_WORK = threading.Lock()
_CLOSED = threading.Event()
_ENVIRONMENTS: dict[tuple[str, int, str], Environment] = {}


class WorkerClosedError(Exception):
    """The worker was closed before it had an answer: whatever it said of the cell, its processes were killed."""


def order_of(due: Due, settings: Settings, *, name: str, topic: str) -> str:
    """A cell to measure, as text; the worker tells under `name` on `topic` that it has begun."""
    return json.dumps({
        "cell": due.cell.to_json(),
        "counts": asdict(due.counts),
        "user_source": user_source_hash(due.cell.model),
        "timeout_s": settings.timeout_s,
        "processes": settings.processes,
        "name": name,
        "topic": topic,
    })  # fmt: skip


def answer_from(text: str) -> tuple[Record, Environment]:
    """The record and the environment that `measure` wrote.

    Raises:
        FleetError: the worker could not try the cell; says why.
        WorkerClosedError: it was closed meanwhile.
    """
    document = json.loads(text)
    if "closed" in document:
        raise WorkerClosedError
    if "refusal" in document:
        raise FleetError(document["refusal"])
    return record_from_json(document["record"]), Environment(**document["environment"])


def measure(order: str) -> str:
    """Measure the cell of an order on this worker; what the worker's part of `Fleet` submits."""
    document = json.loads(order)
    with _AT_WORK:
        if _CLOSED.is_set():
            return CLOSED
        tell_begun(document)
        try:
            answer = json.dumps(_measured(document))
        except VbenchError as error:
            answer = json.dumps({"refusal": str(error)})
        return CLOSED if _CLOSED.is_set() else answer


def tell_begun(document: dict[str, Any]) -> None:
    """Tell the client of an order that this worker has begun it."""
    from distributed import get_worker

    get_worker().log_event(document["topic"], {"name": document["name"]})


def _measured(document: dict[str, Any]) -> dict[str, Any]:
    cell, counts = cell_from_json(document["cell"]), counts_from_json(document["counts"])
    settings = Settings(timeout_s=document["timeout_s"], processes=document["processes"])
    if user_source_hash(cell.model) != document["user_source"]:
        raise AxisError(f"{cell.model} is another file on this worker than at the client")
    here = _environment(cell, settings)
    runner = Runner(settings.on(here), here.fingerprint)
    record = runner.measure(cell, counts)
    return {"record": record_to_json(record), "environment": asdict(here)}


def _environment(cell: Cell, settings: Settings) -> Environment:
    """The worker's environment for the cell, surveyed once while the worker lives, whoever's model it is."""
    source = user_source_hash(cell.model)
    key, plain = (cell.device, cell.threads, source), (cell.device, cell.threads, "")
    for each in (plain, key):
        if each not in _ENVIRONMENTS:
            here = surveyed(environment(*each), cell, settings, _ENVIRONMENTS.get(plain))
            _ENVIRONMENTS[each] = of_one_host(here)
    return _ENVIRONMENTS[key]


def reopen() -> None:
    """Take cells again."""
    _CLOSED.clear()


async def abandon() -> None:
    """End the cell under way, its processes with it, and begin no other: nobody would take the answer."""
    _CLOSED.set()
    while _AT_WORK.locked():
        for process in multiprocessing.active_children():
            process.kill()
        await asyncio.sleep(0.05)
