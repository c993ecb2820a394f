"""What can befall a sweep, done to a real one: each misfortune answers with what went wrong, in words; nothing is good.

`benchmarks.kills` plays them at length, `tests/vbench/test_crashes.py` in short. Sweeps run from a copy of the package
of their own, so that its version, and with it the records' fingerprint, stays the same whatever is edited meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vbench.errors import StoreError
from vbench.results import Record
from vbench.store import RECORDS, Store

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
DISK_BYTES = 4 * 2**20
Started = subprocess.Popen[bytes]

PROGRAM = '''
"""The command line, with the report left out where `--no-report` comes first, and any clock or haste asked for."""
import datetime, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal: a background job would ignore it
from vbench.__main__ import leaving_at_once
with leaving_at_once():
    from vbench import cli
    from vbench.measure import runner
arguments = sys.argv[1:]
if arguments[0] == "--no-report":
    arguments.pop(0)
    cli.sweeping._report = lambda directory: [directory]
    cli.sweeping._print_comparison = lambda directory: None
if arguments[0] == "--clock-runs-back":
    arguments.pop(0)
    class Backwards(datetime.datetime):
        hours = 0
        @classmethod
        def now(cls, tz=None):
            Backwards.hours += 1
            return datetime.datetime.now(tz) - datetime.timedelta(hours=Backwards.hours)
    runner.datetime = Backwards
if arguments[0] == "--in-haste":
    arguments.pop(0)
    from vbench.fleet import dispatch, errands
    errands.GRACE_S = 2.0
    dispatch.Fleet.__init__.__kwdefaults__.update(slack_s=2.0)
if __name__ == "__main__":
    cli.main(arguments)
'''


@dataclass
class Place:
    """Where one sweep lives: a copy of the package, the sweep's directory, and all that was said on stderr."""

    root: Path
    sweep: tuple[str, ...]
    prefix: tuple[str, ...] = ()  # a command that runs the command
    started: list[Started] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        for package in ("vbench", "models/vbench_models"):
            if not (self.root / "tree" / package).exists():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / package, self.root / "tree" / package, ignore=ignored)
        (self.root / "program.py").write_text(PROGRAM)

    @property
    def directory(self) -> Path:
        """The sweep's own."""
        return self.root / "out"

    @property
    def said(self) -> str:
        """Everything on stderr so far."""
        path = self.root / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *options: str) -> Started:
        """The sweep, in a session of its own."""
        before = tuple(option for option in options if option in ("--no-report", "--clock-runs-back", "--in-haste"))
        after = tuple(option for option in options if option not in before)
        return self.run(*before, "sweep", *self.sweep, "--attempts", "1", "--out", str(self.directory), *after)

    def run(self, *arguments: str, first: Sequence[Path] = ()) -> Started:
        """The command line with these arguments; folders that are `first` on the path hide what is installed."""
        tree = self.root / "tree"
        paths = (*map(str, first), str(tree), str(tree / "models"))
        with (self.root / "stderr").open("ab") as said:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, str(self.root / "program.py"), *arguments],
                stdout=subprocess.DEVNULL, stderr=said, start_new_session=True, cwd=self.root,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        self.started.append(process)
        return process

    def finish(self, *options: str) -> int:
        """Run the sweep to its end."""
        return self.start(*options).wait(timeout=10 * PATIENCE_S)

    def records(self) -> list[Record]:
        """What the directory holds now."""
        return Store(self.directory).records()

    def records_one_by_one(self) -> list[Record]:
        """The whole records of a damaged file, read line by line beside the store's own way."""
        found, alone = [], Store(self.root / "alone")
        alone.directory.mkdir(exist_ok=True)
        for line in (self.directory / RECORDS).read_bytes().split(b"\n"):
            (alone.directory / RECORDS).write_bytes(line.strip(b"\0\r") + b"\n")
            try:
                found += alone.records()
            except StoreError:
                continue
        return found

    def wait_for_records(self, number: int, sweep: Started) -> bool:
        """Whether so many records came while the sweep ran."""
        return until(lambda: sweep.poll() is not None or _lines(self.directory / RECORDS) >= number) and (
            sweep.poll() is None
        )

    def problems(self, kept: Sequence[Record], cells: set[str]) -> list[str]:
        """What is wrong after all: records lost or doubled, cells missing, tracebacks, orphans."""
        now = self.records()
        measured = Counter(record.cell.id for record in now if record.status == "measured")
        found = {
            "lost": [record.cell.id for record in kept if record not in now],
            "measured twice": [cell for cell, number in measured.items() if number > 1],
            "missing": sorted(cells - set(measured)),
            "not asked for": sorted(set(measured) - cells),
            "traceback": [line for line in self.said.splitlines() if line.startswith("Traceback")],
            "orphans": [str(process) for sweep in self.started for process in orphans(sweep.pid)],
        }
        return [f"{what}: {', '.join(which)}" for what, which in found.items() if which]


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait until it is so; whether it was in time."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def members(session: int) -> list[psutil.Process]:
    """The living processes of a session, the eldest first."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return sorted(found, key=lambda process: process.pid)


def orphans(session: int, patience_s: float = 20.0) -> list[psutil.Process]:
    """What is left of a session after some patience."""
    until(lambda: not members(session), patience_s)
    return members(session)


def victim_of(sweep: Started, what: str) -> psutil.Process | None:
    """The sweep's parent, its forkserver, or a worker; None where there is none now."""
    try:
        parent = psutil.Process(sweep.pid)
        servers = [child for child in parent.children() if "forkserver" in " ".join(child.cmdline())]
        workers = [worker for server in servers for worker in server.children()]
    except psutil.NoSuchProcess:
        return None
    choice = {"parent": [parent], "forkserver": servers, "worker": workers}[what]
    return choice[0] if choice else None


def end(sweep: Started, number: int = signal.SIGKILL, *, group: bool = False) -> int:
    """Send a signal to the sweep, or to every process of its terminal, and wait for its end."""
    if sweep.poll() is None:
        (os.killpg if group else os.kill)(sweep.pid, number)
    return sweep.wait(timeout=PATIENCE_S)


def fill_disk(place: Place, cells: set[str], disk: Callable[[Path], AbstractContextManager[None]]) -> list[str]:
    """Fill the disk after the first record, see the sweep end in one line, make space, and resume."""
    place.directory.mkdir(exist_ok=True)
    with disk(place.directory):
        sweep = place.start("--no-report")
        if not place.wait_for_records(1, sweep):
            return ["the sweep ended before the disk was full"]
        filler = place.directory / "filler"
        _fill(filler)
        code, kept = sweep.wait(timeout=PATIENCE_S), place.records()
        found = [] if code == 2 else [f"exit code {code} on a full disk"]
        found += [] if "no space left in" in place.said.lower() else [f"no word of the full disk: {place.said!r}"]
        filler.unlink()
        code = place.finish("--no-report")
        found += [] if code == 0 else [f"exit code {code} with space again"]
        return found + place.problems(kept, cells)


def fill_disk_before_report(place: Place, cells: set[str]) -> list[str]:
    """Fill the disk when all is measured, see the report fail in one line, make space, and report again."""
    with small_disk(place.directory):
        code = place.finish("--no-report")
        found = [f"exit code {code} of the sweep"] if code else []
        filler = place.directory / "filler"
        _fill(filler)
        kept, before = place.records(), place.said
        code = place.run("report", str(place.directory)).wait(timeout=PATIENCE_S)
        word = place.said.removeprefix(before)
        found += [] if code == 2 and word.count("\n") == 1 else [f"exit code {code} of the report: {word!r}"]
        filler.unlink()
        code = place.run("report", str(place.directory)).wait(timeout=PATIENCE_S)
        found += [f"exit code {code} of the report with space again"] if code else []
        return found + place.problems(kept, cells)


def turn_clock_back(place: Place, cells: set[str]) -> list[str]:
    """Run a sweep whose clock goes back by an hour a record, stop it half-way, resume and report."""
    sweep = place.start("--no-report", "--clock-runs-back")
    if not place.wait_for_records(2, sweep):
        return ["the sweep ended too early"]
    end(sweep)
    kept = place.records()
    code = place.finish("--clock-runs-back")
    times = [record.started_at for record in place.records()]
    found = [] if times[0] > times[1] else ["the clock did not run back"]
    return found + ([f"exit code {code}"] if code else []) + place.problems(kept, cells)


def _fill(filler: Path) -> None:
    """Take every byte that is left."""
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A small disk, mounted; needs the rights to mount.

    Raises:
        CalledProcessError: they are lacking.
    """
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"]
    subprocess.run(["mount", *options, str(directory)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def can_mount(directory: Path) -> bool:
    """Whether this process may mount a disk."""
    try:
        with small_disk(directory):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def outgrow_limit(place: Place, cells: set[str]) -> list[str]:
    """Without rights to mount: a limit on the size of files, which the records outgrow at once."""
    records = place.directory / RECORDS
    records.write_bytes(b"\n" * DISK_BYTES)
    place.prefix = ("prlimit", f"--fsize={DISK_BYTES + 512}")
    code = place.finish("--no-report")
    found = [] if code == 2 and "File too large" in place.said else [f"exit code {code} at the limit: {place.said!r}"]
    place.prefix = ()
    code = place.finish("--no-report")
    return found + ([] if code == 0 else [f"exit code {code} without the limit"]) + place.problems([], cells)


def without_privileges() -> tuple[str, ...]:
    """The command that runs another one bound by file rights, as an ordinary user is; root is above them."""
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


def take_rights_away(place: Place, cells: set[str]) -> list[str]:
    """Make the directory unwritable after the first record, see the sweep end in one line, and resume."""
    sweep = place.start("--no-report")
    if not place.wait_for_records(1, sweep):
        return ["the sweep ended before its rights were gone"]
    place.directory.chmod(0o500)
    for path in place.directory.iterdir():
        path.chmod(0o400)
    code, kept = sweep.wait(timeout=PATIENCE_S), place.records()
    found = [] if code == 2 else [f"exit code {code} without rights"]
    found += [] if "Permission denied" in place.said else [f"no word of the rights: {place.said!r}"]
    code = place.finish("--no-report")
    found += [] if code == 2 else [f"exit code {code} when started without rights"]
    place.directory.chmod(0o700)
    for path in place.directory.iterdir():
        path.chmod(0o600)
    code = place.finish("--no-report")
    found += [] if code == 0 else [f"exit code {code} with rights again"]
    return found + place.problems(kept, cells)


def start_twice(place: Place, cells: set[str]) -> list[str]:
    """Start a second sweep on a directory at work, kill the first, and see that its lock holds nobody up."""
    first = place.start("--no-report")
    if not place.wait_for_records(1, first):
        return ["the first sweep ended too early"]
    before = place.said
    code = place.finish("--no-report")
    word = place.said.removeprefix(before)
    found = [] if code == 2 and "another sweep" in word else [f"the second sweep ended with {code}: {word!r}"]
    end(first)
    kept = place.records()
    code = place.finish("--no-report")
    found += [] if code == 0 else [f"exit code {code} after a killed holder of the lock"]
    return found + place.problems(kept, cells)


CORRUPTIONS: dict[str, Callable[[bytes], bytes]] = {
    "a torn last line": lambda text: text[: -len(text) // 8],
    "a last line without its end": lambda text: text[:-1],
    "a torn line in the middle": lambda text: _with_line(text, 1, lambda line: line[: len(line) // 2]),
    "two lines run together": lambda text: text.replace(b"\n", b"", 1),
    "binary rubbish": lambda text: _with_line(text, 1, lambda _: bytes(range(256)).replace(b"\n", b"") * 4),
    "a block of NULs at the end": lambda text: text + bytes(4096),
    "a block of NULs before a line": lambda text: _with_line(text, 1, lambda line: bytes(4096) + line),
    "a line twice": lambda text: text + text.splitlines(keepends=True)[0],
    "every line twice": lambda text: text + text,
    "an empty file": lambda _: b"",
    "Windows' line ends": lambda text: text.replace(b"\n", b"\r\n"),
    "blank lines": lambda text: text.replace(b"\n", b"\n\n"),
    "JSON that is no object": lambda text: b"[1, 2, 3]\n42\nnull\n" + text,
    "an object of something else": lambda text: b'{"hello": "world"}\n' + text,
    "nested beyond measure": lambda text: b"[" * 100_000 + b"\n" + text,
}
FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "a record of another schema": lambda text: b'{"schema": 99, "id": "x"}\n' + text,
    "a record with an unknown key": lambda text: text.replace(b'{"schema"', b'{"colour":"blue","schema"', 1),
}


def _with_line(text: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = text.split(b"\n")
    place = min(number, len(lines) - 1)
    lines[place] = change(lines[place])
    return b"\n".join(lines)


def corrupt(place: Place, name: str, change: Callable[[bytes], bytes], cells: set[str]) -> list[str]:
    """Change a finished sweep's file, and resume: what is whole stays, what is broken is measured again."""
    path = place.directory / name
    path.write_bytes(change(path.read_bytes()))
    kept = place.records_one_by_one()
    code = place.finish("--no-report")
    return ([] if code == 0 else [f"exit code {code}"]) + place.problems(kept, cells)


def refuse(place: Place, change: Callable[[bytes], bytes]) -> list[str]:
    """Put a record of another version into a finished sweep: it is refused in one line and nothing is touched."""
    path, before = place.directory / RECORDS, place.said
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    changed, code = path.read_bytes(), place.finish("--no-report")
    word = place.said.removeprefix(before)
    found = [] if code == 2 and word.count("\n") == 1 else [f"exit code {code}: {word!r}"]
    found += [] if path.read_bytes() == changed else ["the file was touched"]
    path.write_bytes(whole)
    return found
