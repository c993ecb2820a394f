"""A fleet at length: the same as one machine, at which price, under kills, and with 64 workers.

    python -m benchmarks.fleet [same] [overhead] [kills] [simulated] [--out DIR] [--cells N] [--every S] ...

`same`: one grid locally and on four workers gives the same cells and counts. `overhead`: beside its processes a
cell on a worker costs at most 0.1 s. `kills`: a random worker killed every 20 s during a sweep of 60 cells changes
nothing in the end. `simulated`: workers that answer at once, from a recorded result, take 10,000 cells; the client's
own processor time grows linearly. Everything runs on loopback: the workers share this machine's cores, and their
latencies say nothing. Ends with 1 if something is not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tabulate import tabulate

from benchmarks.clusters import LoopbackCluster, loopback_cluster
from benchmarks.crashes import PATIENCE_S, Place, end, orphans
from benchmarks.scale import LINEAR, Silence, grid_of
from vbench.cell import Cell, cell_from_json
from vbench.fleet import remote
from vbench.fleet.announced import Offer, offer_here
from vbench.fleet.dispatch import Fleet
from vbench.fleet.serving import QUIET, one_worker
from vbench.fleet.started import require_dask
from vbench.grid import Grid
from vbench.measure.environment import code_of, environment, of_one_host
from vbench.measure.subject import known_facts, subject_of
from vbench.results import Counts, Environment, Measured, ProcessRun, record_to_json
from vbench.store import RECORDS, Store
from vbench.sweep import Sweep

NAMES = ("axial", "divided", "joint", "space")
OVERHEAD_BAR_S = 0.1  # a cell
Row = dict[str, object]


def sweep_over(cells: int) -> tuple[tuple[str, ...], set[str]]:
    """The flags of a sweep over so many small cells, and the cells."""
    lengths = math.ceil(cells / len(NAMES))
    grids = [f"{frames}x4x4" for frames in range(1, lengths + 1)]
    models = [f"core:{name}" for name in NAMES]
    flags = ("--models", ",".join(models), "--grids", ",".join(grids), "--processes", "1", "--timeout", "60s")
    return flags, {f"{model}/g{grid}/b1/fp32/infer/eager/fused/cpu" for model in models for grid in grids}


def same(root: Path, options: argparse.Namespace) -> Iterator[Row]:
    """The same grid alone and on four workers."""
    flags, cells = sweep_over(options.cells)
    alone = Place(root / "alone", flags)
    codes = [alone.finish("--no-report")]
    with loopback_cluster(root / "cluster", labels=("one", "two", "three", "four")) as cluster:
        together = Place(root / "together", (*flags, "--cluster", cluster.url))
        codes.append(together.finish("--no-report"))
    counts = [_counts_of(place) for place in (alone, together)]
    wrong = together.problems([], cells) + ([] if counts[0] == counts[1] else ["the counts differ"])
    wrong += [] if codes == [0, 0] else [f"exit codes {codes}"]
    yield {"what": "same", "cells": len(cells), "found": f"{len(counts[1])} cells", "wrong": "; ".join(wrong)}


def _counts_of(place: Place) -> dict[Cell, Counts]:
    """All but the workspace, which is what the C library says in the process that counts."""
    return {record.cell: replace(record.counts, workspace_bytes=None) for record in place.records() if record.counts}


def overhead(root: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Seconds a cell that no process of it lives, from the first record to the last: starts are not in it.

    Alone, counting each turn is in it; a fleet on the client's own host has counted everything before.
    """
    flags, cells = sweep_over(options.cells)
    alone_s = _beside_a_cell_s(Place(root / "alone", flags))
    with loopback_cluster(root / "cluster", labels=("one",)) as cluster:
        fleet_s = _beside_a_cell_s(Place(root / "together", (*flags, "--cluster", cluster.url)))
    wrong = "" if fleet_s <= OVERHEAD_BAR_S else f"more than {OVERHEAD_BAR_S} s"
    found = f"{fleet_s:.3f} s on a worker, {alone_s:.3f} s alone"
    yield {"what": "overhead a cell", "cells": len(cells), "found": found, "wrong": wrong}


def _beside_a_cell_s(place: Place) -> float:
    """What a cell takes from its record to the next but for its processes' lives, told by whoever started them."""
    sweep = place.start("--no-report")
    place.wait_for_records(1, sweep)
    first_s, before = time.time(), len(place.records())
    code = sweep.wait(timeout=100 * PATIENCE_S)
    assert code == 0, place.said
    later = [record for record in place.records() if isinstance(record, Measured)][before:]
    lives_s = sum(run.inside_s + run.harness_s for record in later for run in record.processes)
    return ((place.directory / RECORDS).stat().st_mtime - first_s - lives_s) / len(later)


def kills(root: Path, options: argparse.Namespace) -> Iterator[Row]:
    """A random worker killed every so often, another one started in its place, and nothing changes in the end."""
    flags, cells = sweep_over(options.killed_cells)
    chance, killed, left = random.Random(options.seed), 0, 0
    with loopback_cluster(root / "cluster", labels=("one", "two", "three", "four")) as cluster:
        place = Place(root / "sweep", (*flags[:-4], "--processes", "3", "--timeout", "60s", "--cluster", cluster.url))
        sweep = place.start("--no-report")
        place.wait_for_records(1, sweep)
        while sweep.poll() is None:
            killed, left = killed + 1, left + _kill_one(cluster, chance)
            _wait_s(sweep, options.every)
        wrong = place.problems([], cells) + ([f"exit code {sweep.returncode}"] if sweep.returncode else [])
    wrong += [f"{left} processes of killed workers stayed"] if left else []
    later = sum(record.attempt > 1 for record in place.records())
    found = f"{killed} workers killed; {later} cells have a later attempt"
    yield {"what": "kills", "cells": len(cells), "found": found, "wrong": "; ".join(wrong)}


def _kill_one(cluster: LoopbackCluster, chance: random.Random) -> int:
    """Kill a worker and start another; how many of its processes stay."""
    label = chance.choice(sorted(cluster.workers))
    worker = cluster.workers[label]
    end(worker)
    stayed = len(orphans(worker.pid))
    cluster.start_worker(label)
    return stayed


def _wait_s(sweep: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        sweep.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return


def simulated(root: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Sweeps of growing size on workers that answer from one recorded result."""
    sizes = [int(size) for size in options.simulated_cells.split(",")]
    spent: list[tuple[int, float]] = []
    require_dask()
    with simulated_cluster(root / "cluster", options.workers) as url:
        for size in sizes:
            cells, client_s, elapsed_s, wrong = _simulate(url, root / str(size), grid_of(size), options.workers)
            spent.append((cells, client_s))
            found = f"client {client_s:.1f} s ({1e3 * client_s / cells:.1f} ms a cell), elapsed {elapsed_s:.1f} s"
            yield {"what": f"{options.workers} workers", "cells": cells, "found": found, "wrong": wrong}
    if len(spent) > 1:
        (n1, s1), (n2, s2) = spent[-2:]
        exponent = math.log(s2 / s1) / math.log(n2 / n1)
        wrong = "" if exponent <= LINEAR else "not linear"
        yield {"what": "growth", "cells": n2, "found": f"client's time ~ cells^{exponent:.2f}", "wrong": wrong}


def _simulate(url: str, directory: Path, grid: Grid, workers: int) -> tuple[int, float, float, str]:
    """Cells, the client's processor seconds, its elapsed seconds, and what is wrong."""
    plans = [plan for plan in grid.plans(known_facts(grid.models())) if not plan.excluded]
    store, code = Store(directory), code_of(environment())
    directory.mkdir()
    with store.writing():
        for plan in plans:
            store.keep_counts(plan.cell.id, code, COUNTS)
    with Fleet(url, None, Silence().say, wait_s=PATIENCE_S, wait_for=workers) as fleet:
        began_s, own_s = time.monotonic(), time.process_time()
        Sweep(replace(grid, attempts=1), directory, Silence(), bench=fleet).run()
        own_s, took_s = time.process_time() - own_s, time.monotonic() - began_s
    records = [record for record in store.records() if record.status == "measured"]
    wrong = [] if {record.cell for record in records} == {plan.cell for plan in plans} else ["cells are missing"]
    wrong += [] if len(records) == len(plans) else [f"{len(records)} records of {len(plans)} cells"]
    return len(plans), own_s, took_s, "; ".join(wrong)


COUNTS = Counts(
    params=10**6, macs=10**9, attention_macs=10**8, mixing_extra_macs=0, op_bytes=10**8, predicted_peak_bytes=10**7,
    tokens=(8, 14, 14),
)  # fmt: skip
RUN = ProcessRun(
    latency_s=(0.0101, 0.0102, 0.0103) * 10, block=1, warmup_s=(0.02,), build_s=0.1, memory_pass_s=0.05,
    harness_s=0.3, peak_memory_bytes=4 * 10**8, floor_bytes=3 * 10**8, tensor_peak_bytes=None, kernel_ran="flash",
    stop_reason="precise", quality="clean", probe_s=(0.01, 0.01, 0.01, 0.01),
)  # fmt: skip


def recorded(order: str) -> str:
    """What `remote.measure` would answer, from a result that is there already."""
    document = json.loads(order)
    remote.tell_begun(document)
    cell = cell_from_json(document["cell"])
    here = of_one_host(replace(environment_once(), floor_bytes=RUN.floor_bytes))
    record = Measured(
        cell=cell, subject=subject_of(cell), environment=here.fingerprint, counts=COUNTS, processes=(RUN,) * 3,
        stop_reason="3 processes", started_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    return json.dumps({"record": record_to_json(record), "environment": asdict(here)})


_ONCE: list[Offer] = []


def environment_once() -> Environment:
    """Of the simulated workers, asked for once."""
    if not _ONCE:
        _ONCE.append(offer_here("cpu", "simulated"))
    return _ONCE[0].environment


@contextmanager
def simulated_cluster(root: Path, workers: int) -> Iterator[str]:
    """A scheduler, and one process that is so many workers."""
    with loopback_cluster(root, labels=()) as cluster:
        command = (sys.executable, "-m", "benchmarks.fleet", "--serve", cluster.url, "--workers", str(workers))
        serving = subprocess.Popen(command)
        try:
            yield cluster.url
        finally:
            end(serving)


async def serve_simulated(url: str, workers: int) -> None:
    """So many workers in this process, until it is killed."""
    environment_once()
    remote.measure = recorded
    async with AsyncExitStack() as stack:
        joined = [one_worker(url, _ONCE[0], None) for _ in range(workers)]
        for worker in joined:
            await stack.enter_async_context(worker)
        await asyncio.gather(*(worker.finished() for worker in joined))


PARTS: dict[str, Callable[[Path, argparse.Namespace], Iterator[Row]]] = {
    "same": same, "overhead": overhead, "kills": kills, "simulated": simulated,
}  # fmt: skip


def main() -> int:
    """Play the parts that are asked for, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", help="default: all")
    parser.add_argument("--cells", type=int, default=20, help="of same and overhead")
    parser.add_argument("--killed-cells", type=int, default=60)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between kills")
    parser.add_argument("--simulated-cells", default="1000,3000,10000")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        import dask

        require_dask()
        with dask.config.set(QUIET):
            asyncio.run(serve_simulated(options.serve, options.workers))
        return 0
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        for part in options.parts or PARTS:
            (root := Path(place) / part).mkdir()
            for row in PARTS[part](root, options):
                rows.append(row)
                print(f"{row['what']}: {row['found']} {row['wrong'] or 'ok'}", file=sys.stderr, flush=True)
    table = tabulate(rows, headers="keys", tablefmt="github")
    print(table)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "fleet.md").write_text(table + "\n", encoding="utf-8")
    return 1 if any(row["wrong"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
