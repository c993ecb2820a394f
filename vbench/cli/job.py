"""A worker as a job of a queueing system: what dask-jobqueue writes into the job's script in place of Dask's worker.

    python -m vbench.cli.job ADDRESS --name NAME [--death-timeout S] [--tls-ca-file F --tls-cert F --tls-key F]

dask-jobqueue passes threads and memory, too: here a worker has one slot, and its memory is the machine's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vbench.cli.fleet import say
from vbench.fleet.announced import offer_here
from vbench.fleet.serving import serve
from vbench.fleet.slot import held_slot
from vbench.fleet.started import require_dask
from vbench.measure.support import has_cuda


def main(arguments: Sequence[str] | None = None) -> None:
    """Offer this machine's best device until the scheduler is gone for the time-out."""
    require_dask()
    from distributed import Security

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("address")
    parser.add_argument("--name")
    parser.add_argument("--death-timeout", type=float, default=60.0)
    for name in ("ca-file", "cert", "key"):
        parser.add_argument(f"--tls-{name}")
    asked, _ = parser.parse_known_args(arguments)
    files = {"tls_ca_file": asked.tls_ca_file, "tls_worker_cert": asked.tls_cert, "tls_worker_key": asked.tls_key}
    security = Security(require_encryption=True, **files) if asked.tls_ca_file else None
    device = "cuda" if has_cuda() else "cpu"
    with held_slot(device, shared=False):
        serve(asked.address, offer_here(device), security, say, name=asked.name, patience_s=asked.death_timeout)


if __name__ == "__main__":
    main()
