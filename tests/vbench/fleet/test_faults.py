"""A sweep on a real fleet in bad luck: scheduler, workers and client are processes, and each of them is struck.

`python -m benchmarks.fleet` is the long form. Together they take about a minute: Dask and torch start in each process.
"""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import clusters, crashes
from benchmarks.clusters import LABELS, LoopbackCluster
from benchmarks.crashes import Place
from vbench.cell import Cell
from vbench.results import Counts
from vbench.store import Store

GRIDS = ("1x2x2", "2x2x2", "3x2x2")
SWEEP = ("--models", "core:space,core:axial", "--grids", ",".join(GRIDS), "--processes", "1", "--timeout", "30s")
SLOW = """
import time
from torch import nn

class Slow(nn.Linear):
    def forward(self, x):
        time.sleep(0.15)  # long enough to be hit
        return super().forward(x)

def build_pattern(grid, dim, num_heads):
    return Slow(dim, dim)
"""
SLOW_SWEEP = ("--models", "slow:build_pattern", "--grids", ",".join(GRIDS), "--processes", "1", "--timeout", "8s")
SLOW_CELLS = {f"slow:build_pattern/g{grid}/b1/fp32/infer/eager/fused/cpu" for grid in GRIDS}
CELLS = {f"core:{name}/g{grid}/b1/fp32/infer/eager/fused/cpu" for name in ("space", "axial") for grid in GRIDS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCluster]:
    with clusters.loopback_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        (cluster.place.root / "tree" / "slow.py").write_text(SLOW)
        yield cluster
    assert [process for worker in cluster.workers.values() for process in crashes.orphans(worker.pid)] == []


@pytest.fixture
def place(cluster: LoopbackCluster, tmp_path: Path) -> Place:
    return Place(tmp_path, (*SWEEP, "--cluster", cluster.url))


@pytest.fixture
def slow_place(cluster: LoopbackCluster, tmp_path: Path) -> Place:
    place = Place(tmp_path, (*SLOW_SWEEP, "--cluster", cluster.url))
    (place.root / "tree" / "slow.py").write_text(SLOW)
    return place


def attempts(place: Place) -> list[int]:
    return sorted(record.attempt for record in place.records())


def counts_of(place: Place) -> dict[Cell, Counts]:
    """All but the workspace, which is what the C library says in the process that counts."""
    return {record.cell: replace(record.counts, workspace_bytes=None) for record in place.records() if record.counts}


def test_a_fleet_gives_the_cells_and_counts_of_one_machine(place: Place, tmp_path: Path) -> None:
    alone = Place(tmp_path / "alone", SWEEP)
    assert alone.finish("--no-report") == 0, alone.said
    assert place.finish("--no-report") == 0, place.said
    assert place.problems([], CELLS) == []
    assert counts_of(place) == counts_of(alone)
    assert attempts(place) == [1] * len(CELLS)


def test_cells_go_to_the_hardware_that_they_name_and_what_nobody_has_is_said_before_the_sweep(place: Place) -> None:
    place.sweep = ("--models", "core:space", "--grids", "1x2x2", "--hardware", "quick,slow,absent", *place.sweep[4:])
    assert place.finish("--no-report") == 0, place.said
    found = {record.cell.hardware: record for record in place.records()}
    assert {label: record.status for label, record in found.items()} == {
        "quick": "measured", "slow": "measured", "absent": "skipped",
    }  # fmt: skip
    assert found["absent"].reason == "no worker offers cpu as absent; the fleet has cpu as quick, cpu as slow"
    said = [line for line in place.said.splitlines() if "absent" in line or line.startswith("[")]
    assert said[0].startswith("1 cells are skipped: no worker offers cpu as absent")
    hosts = {Store(place.directory).environments()[found[label].environment].host for label in LABELS}
    assert len(hosts) == 1
    assert all(any(f" on {label} (" in line for line in said) for label in LABELS)


def test_a_worker_that_hangs_is_sent_away_and_its_cell_has_a_later_attempt(
    cluster: LoopbackCluster, slow_place: Place
) -> None:
    place = slow_place
    sweep = place.start("--no-report", "--in-haste")
    found = clusters.busy_worker(cluster, sweep)
    assert found is not None, place.said
    label, worker = found
    offers = cluster.place.said.count(f"offers cpu as {label}")
    worker.send_signal(signal.SIGSTOP)
    assert sweep.wait(timeout=crashes.PATIENCE_S) == 0, place.said
    worker.send_signal(signal.SIGCONT)
    assert place.problems([], SLOW_CELLS) == []
    assert "is sent away" in place.said
    assert attempts(place) == [1, 1, 2]
    assert cluster.wait_for_offers(label, offers + 1), "the worker did not come back"


def test_a_worker_killed_in_a_cell_loses_nothing_and_leaves_nothing_behind(
    cluster: LoopbackCluster, slow_place: Place
) -> None:
    place = slow_place
    sweep = place.start("--no-report")
    found = clusters.busy_worker(cluster, sweep)
    assert found is not None, place.said
    label, worker = found
    crashes.end(worker)
    assert clusters.left_of(worker) == []
    cluster.start_worker(label)
    assert sweep.wait(timeout=crashes.PATIENCE_S) == 0, place.said
    assert place.problems([], SLOW_CELLS) == []
    assert "is gone" in place.said
    assert attempts(place) == [1, 1, 2]


def test_a_scheduler_that_dies_and_comes_back_costs_tries_and_no_records(
    cluster: LoopbackCluster, place: Place
) -> None:
    sweep = place.start("--no-report")
    assert place.wait_for_records(1, sweep), place.said
    kept = place.records()
    cluster.kill_scheduler()
    time.sleep(1.0)
    cluster.start_scheduler()
    assert sweep.wait(timeout=crashes.PATIENCE_S) == 0, place.said
    assert place.problems(kept, CELLS) == []
    assert "is gone: waiting for it" in place.said
    assert "is back" in place.said


def test_a_client_that_is_killed_resumes_with_what_it_had(place: Place) -> None:
    sweep = place.start("--no-report")
    assert place.wait_for_records(2, sweep), place.said
    crashes.end(sweep)
    kept = place.records()
    assert place.finish("--no-report") == 0, place.said
    assert place.problems(kept, CELLS) == []


def test_a_full_disk_at_the_client_ends_the_sweep_in_one_line_and_costs_nothing(place: Place) -> None:
    place.directory.mkdir()
    if crashes.can_mount(place.directory):
        assert crashes.fill_disk(place, CELLS, crashes.small_disk) == []
    else:
        assert crashes.outgrow_limit(place, CELLS) == []


def test_a_worker_of_another_version_is_refused_with_both_versions_named(tmp_path: Path) -> None:
    other = tmp_path / "other" / "torch-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    with clusters.loopback_cluster(tmp_path / "cluster", labels=()) as cluster:
        cluster.start_worker("old", first=(other.parent,))
        named = tmp_path / "cluster.toml"
        named.write_text(f'address = "{cluster.url}"\nwait = "1s"\n')
        place = Place(tmp_path / "sweep", (*SWEEP, "--cluster", str(named)))
        refused = crashes.until(lambda: place.finish() == 2 and "is refused" in place.said, 30.0)
    assert refused, place.said
    assert "it has torch 1.0, vbench v" in place.said.splitlines()[-1]
    assert "here is torch 2." in place.said.splitlines()[-1]
