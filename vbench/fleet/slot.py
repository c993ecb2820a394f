"""One slot a device: of the workers on a host, one alone offers a device, unless sharing it is asked for."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vbench.errors import FleetError


@contextmanager
def held_slot(device: str, *, shared: bool) -> Iterator[None]:
    """Hold the device of this user's workers; the system gives it back when the process ends, however it ends.

    GPUs are told apart by CUDA_VISIBLE_DEVICES: a worker uses the first one that it sees.

    Raises:
        FleetError: another worker offers it, and it is not to be shared.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").replace(",", "-") if device == "cuda" else ""
    path = Path(tempfile.gettempdir()) / f"vbench-{os.getuid()}-{device}{visible}.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetError(
                f"another worker offers {device} of this host: one slot a device; with --shared, both measure on it at "
                "a time and disturb each other"
            ) from None
        yield
