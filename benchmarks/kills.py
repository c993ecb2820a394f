"""Kill a sweep twenty times at random, parent or worker, and see that it ends with the cells of an undisturbed one.

    python benchmarks/kills.py [KILLS]

Prints one line a kill and a verdict; ends with 1 if a record was lost, doubled or orphaned.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from vbench.store import Store

SWEEP = (
    "--models", "core:space,core:joint,core:axial,core:divided,core:knn",
    "--grids", "1x4x4,2x4x4,4x4x4,8x4x4,16x4x4,4x8x8,8x8x8,16x8x8",
)  # fmt: skip


def start(directory: Path) -> subprocess.Popen[bytes]:
    """The sweep, in a session of its own."""
    command = [sys.executable, "-m", "vbench", "sweep", *SWEEP, "--out", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def members(session: int) -> list[psutil.Process]:
    """The living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def orphans(session: int, patience_s: float = 20.0) -> list[psutil.Process]:
    """What is left of a session after some patience."""
    deadline = time.monotonic() + patience_s
    while (left := members(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def kill_once(directory: Path, what: str, chance: random.Random) -> str:
    """Start the sweep, kill its parent or one of its children at a random moment, and say what became of it."""
    sweep = start(directory)
    time.sleep(chance.uniform(1.0, 7.0))
    children = [process for process in members(sweep.pid) if process.pid != sweep.pid]
    if sweep.poll() is not None:
        return "was done already"
    victim = psutil.Process(sweep.pid) if what == "parent" or not children else chance.choice(children)
    victim.send_signal(signal.SIGKILL)
    if what == "child":
        time.sleep(3.0)
        sweep.send_signal(signal.SIGKILL)  # the sweep went on after the child; it ends like this
    sweep.wait()
    left = orphans(sweep.pid)
    return f"ORPHANS after killing the {what}: {left}" if left else f"killed the {what}; no orphan"


def main() -> int:
    """Run the kills and judge."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        killed, undisturbed = Path(place) / "killed", Path(place) / "undisturbed"
        said = [kill_once(killed, ("parent", "child")[number % 2], chance) for number in range(kills)]
        print("\n".join(f"{number:2d} {line}" for number, line in enumerate(said, start=1)))
        for directory in (killed, killed, undisturbed):
            command = [sys.executable, "-m", "vbench", "sweep", *SWEEP, "--retry-failed", "--out", str(directory)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        records = {name: Store(directory).records() for name, directory in (("killed", killed), ("calm", undisturbed))}
    cells = {
        name: {record.cell.id for record in found if record.status == "measured"} for name, found in records.items()
    }
    twice = [
        cell
        for cell, number in Counter(r.cell.id for r in records["killed"] if r.status == "measured").items()
        if number > 1
    ]
    same = cells["killed"] == cells["calm"]
    print(f"{kills} kills: {len(cells['killed'])} cells measured, the same set: {same}; measured twice: {len(twice)}")
    return 0 if same and not twice and not any("ORPHANS" in line for line in said) else 1


if __name__ == "__main__":
    sys.exit(main())
