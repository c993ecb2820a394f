"""A worker of a fleet: one device of this machine, offered to a Dask scheduler."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def worker(
    address: Annotated[str, typer.Argument(help="Of the scheduler: tcp://HOST:PORT or tls://HOST:PORT.")],
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda where torch finds it.")] = None,
    label: Annotated[str | None, typer.Option(help="Of the hardware, as in h200; default: its name.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Beside other workers on the same device.")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="Another machine without TLS.")] = False,
    patience: Annotated[str | None, typer.Option(help="With a scheduler that is gone, as in 10m.")] = None,
) -> None:
    """Measure cells for a fleet, one at a time, until interrupted. What others can do to a worker: docs/fleet.md."""
    from vbench.cell import DEVICES
    from vbench.errors import unknown_name
    from vbench.fleet.announced import offer_here
    from vbench.fleet.safety import security_for
    from vbench.fleet.serving import serve
    from vbench.fleet.slot import held_slot
    from vbench.fleet.started import require_dask
    from vbench.grid import parse_label
    from vbench.measure.support import has_cuda, require_device
    from vbench.units import parse_duration_s

    require_dask()
    chosen = device or ("cuda" if has_cuda() else "cpu")
    if chosen not in DEVICES:
        raise unknown_name("device", chosen, DEVICES)
    require_device(chosen)
    security = security_for(address, "worker", insecure=insecure)
    offer = offer_here(chosen, parse_label(label) if label else "")
    patience_s = parse_duration_s(patience) if patience else None
    with held_slot(chosen, shared=shared):
        serve(address, offer, security, say, patience_s=patience_s)


def say(line: str) -> None:
    """Tell the user of the worker."""
    print(f"vbench worker: {line}", file=sys.stderr, flush=True)
