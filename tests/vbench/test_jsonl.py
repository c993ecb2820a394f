"""Files of lines in bad luck: the system calls fail when and as the test says."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vbench import jsonl
from vbench.directory import RESERVE, TORN
from vbench.errors import StoreError
from vbench.store import COUNTS, JOURNAL, RECORDS, Store


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """A disk with so many bytes left; what a kernel can still take, it takes."""
    write, left = os.write, [0]

    def scarce(descriptor: int, content: bytes) -> int:
        taken = min(len(content), left[0])
        if taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= taken
        return write(descriptor, content[:taken])

    def with_room(bytes_left: int) -> list[int]:
        left[0] = bytes_left
        monkeypatch.setattr(os, "write", scarce)
        return left

    return with_room


def lines(path: Path) -> list[bytes]:
    return [line for _, line in jsonl.numbered_lines(path)]


@pytest.mark.parametrize("room", [0, 1, 5, 8])
def test_what_does_not_fit_leaves_no_trace(tmp_path: Path, disk: Callable[[int], list[int]], room: int) -> None:
    path = tmp_path / "lines"
    jsonl.append(path, [b'{"a":1}'], flush=True)
    disk(room)
    with pytest.raises(OSError, match="No space left"):
        jsonl.append(path, [b'{"b":22}'], flush=True)
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_kernel_that_takes_little_at_a_time_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    jsonl.append(tmp_path / "lines", [b'{"a":1}', b'{"b":22}'], flush=True)
    assert lines(tmp_path / "lines") == [b'{"a":1}', b'{"b":22}']


@pytest.mark.parametrize("end", [b'{"a":1', b'{"a":1}', b"\0" * 4096, b"\xff"])
def test_a_new_line_never_runs_into_a_torn_one(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"z":0}\n' + end)
    jsonl.append(path, [b'{"b":2}'], flush=False)
    assert lines(path)[-1] == b'{"b":2}'
    assert lines(path)[0] == b'{"z":0}'


def test_a_whole_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b'{"a":1}\r\n\n\0\0{"b":2}')
    assert list(jsonl.numbered_lines(tmp_path / "lines")) == [(1, b'{"a":1}'), (3, b'{"b":2}')]


def test_lines_set_aside_are_kept_byte_for_byte(tmp_path: Path) -> None:
    path, aside = tmp_path / "lines", tmp_path / "aside"
    path.write_bytes(b"1\n\xff\r\x0b\n3\nto")
    jsonl.set_aside(path, [2, 4], aside)
    assert path.read_bytes() == b"1\n3\n"
    assert aside.read_bytes() == b"\xff\r\x0b\nto\n"


def test_a_full_disk_takes_what_is_in_memory_into_the_reserve(
    tmp_path: Path, make: Any, disk: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, record = Store(tmp_path), make.measured(make.cell())
    unlink = Path.unlink
    with store.writing():
        left = disk(10)

        def give_back(path: Path, missing_ok: bool = False) -> None:
            left[0] += path.stat().st_size if path.exists() else 0
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", give_back)
        with pytest.raises(StoreError, match=r"no space left in .*everything measured so far is written"):
            store.append(record)
    assert store.records() == [record]
    assert not (tmp_path / RESERVE).exists()


def test_a_disk_that_stays_full_costs_the_record_in_hand_and_says_so(
    tmp_path: Path, make: Any, disk: Callable[[int], list[int]]
) -> None:
    store, first = Store(tmp_path), make.measured(make.cell())
    with store.writing():
        store.append(first)
        disk(10)
        with pytest.raises(StoreError, match=r"cannot write .*records\.jsonl: No space left.*is kept"):
            store.append(make.measured(make.cell(frames=16)))
    assert store.records() == [first]


def test_copies_of_a_line_count_once_and_another_attempt_counts(tmp_path: Path, make: Any) -> None:
    store, cell = Store(tmp_path), make.cell()
    first, second = make.measured(cell), make.measured(cell, attempt=2)
    store.append(first, second)
    path = tmp_path / RECORDS
    path.write_bytes(path.read_bytes() * 3)
    assert store.records() == [first, second]


def test_a_journal_of_another_version_is_no_stumbling_block(tmp_path: Path, make: Any) -> None:
    store, cell, run = Store(tmp_path), make.cell(), make.process()
    store.note(cell.id, "e1", 1, run)
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes() + b'[1]\n{"id":"x"}\n' + path.read_bytes().replace(b'"build_s"', b'"built"'))
    assert store.journal(cell.id, "e1", 1) == []
    path.write_bytes(b'7\n{"process":1}\n')
    store.note(cell.id, "e1", 1, run)
    assert store.journal(cell.id, "e1", 1) == [run]


def test_counts_are_found_again_by_cell_and_code_until_nothing_is_left_out(tmp_path: Path, make: Any) -> None:
    store = Store(tmp_path)
    store.keep_counts("a", "code 1", make.counts())
    assert store.counts() == {("a", "code 1"): make.counts()}
    store.write_left_out(["a"])
    assert (tmp_path / COUNTS).exists()
    store.write_left_out([])
    assert store.counts() == {}


def test_broken_lines_of_every_file_are_set_aside_when_writing_begins(tmp_path: Path, make: Any) -> None:
    store = Store(tmp_path)
    store.add_environment(make.environment())
    for name in ("environments.jsonl", JOURNAL, COUNTS):
        with (tmp_path / name).open("ab") as file:
            file.write(b"{rubbish\n")
    with store.writing() as told:
        assert [word.split(" had ")[0] for word in told] == [
            str(tmp_path / name) for name in ("environments.jsonl", JOURNAL, COUNTS)
        ]
    assert store.environments() == {"e1": make.environment()}
    assert (tmp_path / TORN).read_bytes() == b"{rubbish\n" * 3
