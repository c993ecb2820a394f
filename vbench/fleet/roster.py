"""Who is in the cluster: the workers that agree with this client, what they take, and who is refused and why.

A worker with another version of torch or of the project would give records that belong to another sweep; a plain Dask
worker announces nothing. Both may stay in the cluster: what they announce never matches what a cell demands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vbench.bench import NO_WORKER
from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.fleet.announced import ANNOUNCED, Offer, offer_from_json
from vbench.measure.user_models import is_users, user_source_hash
from vbench.units import size

RUNNING = "running"  # of a worker's states in Dask


class Roster:
    """The workers, as the scheduler last told of them."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.offers: dict[str, Offer] = {}  # by the worker's address
        self.refused: dict[str, str] = {}  # why, by the worker's address
        self._met: dict[str, Offer] = {}  # all offers so far: what one measured that has left stays measured
        self._told: set[str] = set()  # refusals that were told already
        self._kinds: dict[tuple[str, str, int, str], frozenset[str]] = {}

    def update(self, workers: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Take in the workers that are there now; in words, who came, went or is refused."""
        found: dict[str, Offer] = {}
        self.refused = {}
        for address, worker in workers.items():
            if worker.get("status") != RUNNING:  # it is about to leave
                continue
            announced = worker.get(ANNOUNCED)
            if announced is None:
                self.refused[address] = f"worker {address} is refused: it was not started with `vbench worker`"
            elif announced["version"] != self._version:
                self.refused[address] = (
                    f"worker {address} on {announced['host']} is refused: it has {announced['version']}; "
                    f"here is {self._version}"
                )
            else:
                found[address] = offer_from_json(announced)
        lines = self._changes(found)
        if not found.keys() <= self._met.keys():
            self._kinds.clear()
        self.offers = found
        self._met |= found
        return lines

    def _changes(self, found: Mapping[str, Offer]) -> list[str]:
        came = [f"worker {address} offers {_in_words(found[address])}" for address in found.keys() - self.offers.keys()]
        gone = self.offers.keys() - found.keys()
        went = [f"worker {address} is gone: {_in_words(self.offers[address])}" for address in gone]
        refused = [line for line in self.refused.values() if line not in self._told]
        self._told.update(refused)
        return sorted(came) + sorted(went) + sorted(refused)

    def able(self, cell: Cell, needed_bytes: int = 0) -> list[Offer]:
        """The workers that can take the cell."""
        return [offer for offer in self.offers.values() if offer.takes(cell) and offer.memory_bytes >= needed_bytes]

    def refusal(self, cell: Cell) -> str:
        """Why no worker can take the cell; empty where one can.

        Raises:
            AxisError: the model is a file of the client's, which no worker can import.
        """
        if is_users(cell.model) and ".py:" in cell.model:
            raise AxisError(
                f"a fleet takes catalog keys and package.module:function that every worker can import; "
                f"got the file {cell.model!r}"
            )
        if self.able(cell):
            return ""
        wanted = f"{cell.device} as {cell.hardware}" if cell.hardware else cell.device
        return f"{NO_WORKER} offers {wanted}; the fleet has {self.in_words()}"

    def lacking_memory(self, cell: Cell, needed_bytes: int) -> str:
        """Why no worker has the memory that the cell needs; empty where one has, or where no worker takes it at all."""
        able = self.able(cell)
        most = max((offer.memory_bytes for offer in able), default=needed_bytes)
        return f"{size(needed_bytes)} needed, {size(most)} is the most of a worker" if most < needed_bytes else ""

    def kinds(self, cell: Cell) -> frozenset[str]:
        """The kinds of environment in which the cell may be measured, or may have been."""
        source = user_source_hash(cell.model)
        key = (cell.device, cell.hardware, cell.threads, source)
        if key not in self._kinds:
            self._kinds[key] = frozenset(offer.kind(cell, source) for offer in self._met.values() if offer.takes(cell))
        return self._kinds[key]

    def label(self, address: str) -> str:
        """The label of a worker that is or was there."""
        return self._met[address].label if address in self._met else "?"

    def hosts(self) -> set[str]:
        """The machines."""
        return {offer.environment.host for offer in self.offers.values()}

    def in_words(self) -> str:
        """What the fleet has, each kind once."""
        return ", ".join(sorted({_in_words(offer) for offer in self.offers.values()})) or "no worker"


def _in_words(offer: Offer) -> str:
    return f"{offer.device} as {offer.label}"
