"""The line to the scheduler: Dask's client, and another one when the scheduler was lost and came back.

Everything that happens far away arrives in one inbox, as `Begun` and `Done`, and whoever waits for it sleeps.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from vbench.errors import FleetError, first_line
from vbench.fleet import remote
from vbench.units import duration

if TYPE_CHECKING:
    from distributed import Client, Future, Security

CONNECT_S = 5.0
PAUSE_S = 0.5
FAILURES = (OSError, TimeoutError, RuntimeError, ValueError)  # of Dask, when the scheduler does not answer or is gone


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker has begun the task of this name."""

    name: str
    worker: str


@dataclass(frozen=True, slots=True)
class Done:
    """The task of this name is done, one way or another."""

    name: str


class Line:
    """A connection to one scheduler."""

    def __init__(self, url: str, security: Security | None, say: Callable[[str], None], *, patience_s: float) -> None:
        self._url, self._security = url, security
        self._say, self._patience_s = say, patience_s
        self._client: Client | None = None
        self._inbox: SimpleQueue[Begun | Done] = SimpleQueue()
        self._submitted = 0
        self.topic = f"vbench-{uuid.uuid4().hex}"

    def open(self) -> None:
        """Connect.

        Raises:
            FleetError: nobody answers.
        """
        try:
            self._connect()
        except FAILURES as error:
            raise FleetError(
                f"no scheduler at {self._url} ({first_line(error)}); start one with `dask scheduler`"
            ) from None

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            with suppress(*FAILURES):
                self._client.close(timeout=CONNECT_S)
            self._client = None

    @property
    def is_open(self) -> bool:
        """Whether the scheduler is there, as far as is known."""
        return self._client is not None and self._client.status == "running"

    def reopen(self) -> None:
        """Wait for a scheduler that was lost, and connect to it.

        Raises:
            FleetError: patience is at its end.
        """
        self._say(f"the scheduler at {self._url} is gone: waiting for it")
        end_s = time.monotonic() + self._patience_s
        self.close()
        while True:
            try:
                self._connect()
            except FAILURES:
                if time.monotonic() > end_s:
                    waited = duration(self._patience_s)
                    raise FleetError(
                        f"the scheduler at {self._url} is gone for {waited}; what was measured is kept, and the same "
                        "command resumes"
                    ) from None
                time.sleep(PAUSE_S)
            else:
                self._say(f"the scheduler at {self._url} is back")
                return

    def _connect(self) -> None:
        from distributed import Client

        client = Client(self._url, security=self._security, timeout=CONNECT_S, set_as_default=False, name="vbench")
        client.subscribe_topic(self.topic, self._hear)
        self._client = client

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        self._inbox.put(Begun(message["name"], message["worker"]))

    def workers(self) -> Mapping[str, Mapping[str, Any]] | None:
        """What the scheduler says of its workers, by address; None where it does not answer."""
        try:
            found: Mapping[str, Mapping[str, Any]] = self._open_client().scheduler_info(n_workers=-1)["workers"]
        except FAILURES:
            return None
        return found

    def new_name(self) -> str:
        """A name that no task had before."""
        self._submitted += 1
        return f"{self.topic}-{self._submitted}"

    def submit(self, name: str, order: str, resources: Mapping[str, float]) -> Future[str]:
        """Have the order measured by a worker with these resources; the scheduler says which.

        Raises:
            ConnectionError: the scheduler is not there.
        """
        future: Future[str] = self._open_client().submit(
            remote.measure, order, key=name, resources=dict(resources), pure=False
        )
        self.listen(name, future)
        return future

    def listen(self, name: str, future: Future[str]) -> None:
        """Have it told when the task is done."""
        future.add_done_callback(lambda _: self._inbox.put(Done(name)))

    def send_away(self, worker: str) -> None:
        """Have the scheduler remove a worker that hangs; what it was at goes to another."""
        with suppress(*FAILURES):
            self._open_client().retire_workers([worker], close_workers=True)

    def cancel(self, futures: Iterable[Future[str]]) -> None:
        """Take orders back."""
        if self.is_open:
            with suppress(*FAILURES):
                self._open_client().cancel(list(futures), force=True)

    def news(self, patience_s: float) -> list[Begun | Done]:
        """What has happened; asleep until something does, or for `patience_s`."""
        found: list[Begun | Done] = []
        with suppress(Empty):
            found.append(self._inbox.get(timeout=patience_s))
            while True:
                found.append(self._inbox.get_nowait())
        return found

    def _open_client(self) -> Client:
        if self._client is None or not self.is_open:
            raise ConnectionError("the line to the scheduler is closed")
        return self._client
