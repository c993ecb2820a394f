import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vbench.directory import TORN
from vbench.errors import StoreError
from vbench.store import JOURNAL, RECORDS, Store, latest_records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_appended_is_read_back(store: Store, make: Any) -> None:
    cell = make.cell()
    written = [make.measured(cell), make.counted(cell), make.failed(cell), make.skipped(cell)]
    for record in written:
        store.append(record)
    assert store.records() == written


@pytest.mark.parametrize("torn", [b'{"schema":1,"cell":{"mod', b'{"schema":1,"cell":{"mod\n', b"\xff\xfe"])
def test_a_torn_last_line_is_set_aside_kept_and_told(store: Store, make: Any, torn: bytes) -> None:
    record = make.measured(make.cell())
    store.append(record)
    path = store.directory / RECORDS
    path.write_bytes(path.read_bytes() + torn)
    assert store.records() == [record]
    with store.writing():
        found, told = store.resume()
        store.append(record)
    assert found == [record]
    assert len(told) == 1
    assert "torn" in told[0]
    assert (store.directory / TORN).read_bytes() == torn.rstrip(b"\n") + b"\n"
    assert store.directory.joinpath(RECORDS).read_bytes().count(b"\n") == 2


def test_a_broken_line_in_the_middle_names_file_and_line(store: Store, make: Any) -> None:
    store.append(make.measured(make.cell()))
    path = store.directory / RECORDS
    path.write_bytes(b"{nonsense\n" + path.read_bytes())
    with pytest.raises(StoreError, match=r"records\.jsonl, line 1 is no record"):
        store.records()


def test_another_schema_version_is_refused_with_both_versions(store: Store, make: Any) -> None:
    store.append(make.measured(make.cell()))
    path = store.directory / RECORDS
    document = json.loads(path.read_text()) | {"schema": 99}
    path.write_text(json.dumps(document) + "\n")
    with pytest.raises(StoreError, match="schema version 99; this vbench reads version 1"):
        store.records()


def test_the_journal_holds_the_processes_of_one_cell_in_one_environment_until_its_record(
    store: Store, make: Any
) -> None:
    cell, run = make.cell(), make.process((0.1, 0.2))
    store.note(cell.id, "e1", 1, run)
    store.note(cell.id, "e2", 1, run)
    assert store.journal(cell.id, "e1", 1) == [run]
    assert store.journal("another", "e1", 1) == []
    assert store.journal(cell.id, "e1", 2) == []
    store.append(make.measured(cell))
    assert store.journal(cell.id, "e1", 1) == []
    assert not (store.directory / JOURNAL).exists()


def test_an_environment_is_written_once(store: Store, make: Any) -> None:
    for _ in range(2):
        store.add_environment(make.environment())
    assert len((store.directory / "environments.jsonl").read_text().splitlines()) == 1
    assert store.environments() == {"e1": make.environment()}


def test_two_writers_of_one_directory_do_not_mix(store: Store) -> None:
    code = "import sys, pathlib, vbench.store\nwith vbench.store.Store(pathlib.Path(sys.argv[1])).writing(): pass"
    command = [sys.executable, "-c", code, str(store.directory)]
    with store.writing():
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"StoreError: another sweep (process {os.getpid()} on " in other.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to .*choose another --out"), Store(tmp_path / "file").writing():
        pass


def test_the_latest_sweep_wins_and_the_reference_stands_in(tmp_path: Path, make: Any) -> None:
    reports, reference = tmp_path / "reports", tmp_path / "carried"
    with pytest.raises(StoreError, match="no records yet; make some with: vbench sweep"):
        latest_records(reports, reference)
    for directory, age_s in ((reference / "machine", 0), (reports / "old", 100), (reports / "new", 50)):
        directory.mkdir(parents=True)
        Store(directory).append(make.measured(make.cell()))
        os.utime(directory / RECORDS, (10**9 - age_s, 10**9 - age_s))
    assert latest_records(tmp_path / "nowhere", reference) == reference / "machine"
    assert latest_records(reports, reference) == reports / "new"
