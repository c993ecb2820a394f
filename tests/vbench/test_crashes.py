"""A real sweep in bad luck, in short: `python -m benchmarks.kills 50` is the long form. Takes about a minute."""

import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks import crashes
from benchmarks.crashes import Place
from vbench.directory import TORN
from vbench.store import ENVIRONMENTS, JOURNAL, RECORDS, Store


def sweep_over(lengths: int) -> tuple[tuple[str, ...], set[str]]:
    """The flags of a sweep over grids of 1, 2, ... frames, and its cells."""
    frames = range(1, lengths + 1)
    grids = ",".join(f"{number}x2x2" for number in frames)
    flags = ("--models", "core:space,core:axial", "--grids", grids, "--processes", "1")
    names = ("space", "axial")
    return flags, {f"core:{name}/g{number}x2x2/b1/fp32/infer/eager/fused/cpu" for name in names for number in frames}


SWEEP, CELLS = sweep_over(2)
LONG_SWEEP, LONG_CELLS = sweep_over(8)  # some seconds are left after its first records: to be killed in time


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, SWEEP)


@pytest.fixture
def long_place(tmp_path: Path) -> Place:
    return Place(tmp_path, LONG_SWEEP)


def test_a_sweep_whose_processes_are_killed_ends_with_the_same_cells(long_place: Place) -> None:
    place = long_place
    sweep = place.start("--no-report")
    for records, what in enumerate(("worker", "forkserver", "parent"), start=1):
        assert place.wait_for_records(records, sweep), place.said
        assert crashes.until(lambda what=what: crashes.victim_of(sweep, what) is not None)
        victim = crashes.victim_of(sweep, what)
        if victim is not None:
            victim.send_signal(signal.SIGKILL)
    assert sweep.wait(timeout=crashes.PATIENCE_S) == -signal.SIGKILL
    kept = place.records()
    assert place.finish("--no-report", "--retry-failed") == 0, place.said
    assert place.problems(kept, LONG_CELLS) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_ends_the_sweep_in_one_line(long_place: Place, number: int) -> None:
    place = long_place
    sweep = place.start("--no-report")
    assert place.wait_for_records(1, sweep)
    assert crashes.end(sweep, number, group=True) == 130
    assert place.said.splitlines()[-1] == "vbench: interrupted; the same command resumes"
    measured = {record.cell.id for record in place.records()}
    assert measured < LONG_CELLS
    assert place.problems([], measured) == []


def test_a_full_disk_ends_the_sweep_in_one_line_and_costs_nothing(place: Place) -> None:
    place.directory.mkdir()
    if crashes.can_mount(place.directory):
        assert crashes.fill_disk(place, CELLS, crashes.small_disk) == []
    else:
        assert crashes.outgrow_limit(place, CELLS) == []


def test_a_directory_without_rights_ends_the_sweep_in_one_line(tmp_path: Path) -> None:
    place = Place(tmp_path, SWEEP, prefix=crashes.without_privileges())
    assert crashes.take_rights_away(place, CELLS) == []


def test_a_second_sweep_is_refused_and_a_killed_one_holds_nobody_up(place: Place) -> None:
    assert crashes.start_twice(place, CELLS) == []


def test_broken_lines_are_set_aside_and_their_cells_measured_again(place: Place) -> None:
    assert place.finish("--no-report") == 0
    lines = (place.directory / RECORDS).read_bytes().splitlines()
    rubbish = [
        b"\0" * 512 + lines[0],
        lines[1][:100],
        b"\xff\xfe\x00rubbish",
        b"[1]",
        lines[2] + b"\r",
        lines[2],
        lines[3],
    ]
    (place.directory / RECORDS).write_bytes(b"\n".join(rubbish) + b'\n{"schema":1,"ce')
    for name in (ENVIRONMENTS, JOURNAL):
        with (place.directory / name).open("ab") as file:
            file.write(b'{"torn\n\xff\n')
    kept = place.records_one_by_one()
    assert len({record.cell.id for record in kept}) == 3
    assert place.finish("--no-report") == 0
    assert place.problems(kept, CELLS) == []
    aside = (place.directory / TORN).read_bytes().split(b"\n")
    assert {lines[1][:100], b"\xff\xfe\x00rubbish", b"[1]", b'{"schema":1,"ce', b'{"torn', b"\xff"} <= set(aside)


@pytest.mark.parametrize("what", crashes.FOREIGN)
def test_records_of_another_version_are_refused_and_left_alone(place: Place, make: Any, what: str) -> None:
    place.directory.mkdir()
    Store(place.directory).append(make.measured(make.cell()))
    assert crashes.refuse(place, crashes.FOREIGN[what]) == []
