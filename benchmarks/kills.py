"""A sweep in bad luck: killed 50 times at random, and everything else of `benchmarks.crashes`, with its table.

    python -m benchmarks.kills [KILLS] [--out DIR] [--seed N]

The kills hit the parent, a worker, the forkserver, or every process at once with Ctrl-C, a polite kill or a hang-up,
at random moments from the first second to the end of the report. After each the sweep is resumed in the same
directory; a directory that is done makes room for a new one. Ends with 1 if a record was lost or doubled, a cell is
missing, a traceback was printed, or a process was left behind.
"""

from __future__ import annotations

import argparse
import csv
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from tabulate import tabulate

from benchmarks import crashes
from benchmarks.crashes import CORRUPTIONS, FOREIGN, Place, end, victim_of
from benchmarks.page import page
from vbench.results import Record
from vbench.store import COUNTS, ENVIRONMENTS, JOURNAL, RECORDS

NAMES, GRIDS = ("space", "axial", "divided"), ("1x4x4", "2x4x4", "4x4x4", "1x8x8")
LONG = (
    "--models", ",".join(f"core:{name}" for name in NAMES), "--grids", ",".join(GRIDS), "--processes", "2",
)  # fmt: skip
SHORT = ("--models", "core:space,core:axial", "--grids", "1x2x2,2x2x2", "--processes", "1")
SIGNALS = {"Ctrl-C": signal.SIGINT, "polite kill": signal.SIGTERM, "hang-up": signal.SIGHUP}
VICTIMS = ("parent", "worker", "forkserver")
TITLE = "What befell sweeps, and what came of it"
CONVENTION = (
    "A line a misfortune; what is wrong afterwards (records lost, doubled, missing, a traceback, an orphan) is named."
)
LONGEST_S = 45.0  # before a kill; a sweep that is over by then was not hit

Row = dict[str, str]


def cells_of(sweep: tuple[str, ...]) -> set[str]:
    """The cells that an undisturbed run of the sweep has."""
    models, grids = sweep[1].split(","), sweep[3].split(",")
    return {f"{model}/g{grid}/b1/fp32/infer/eager/fused/cpu" for model in models for grid in grids}


def killed(kills: int, root: Path, chance: random.Random) -> Iterator[Row]:
    """So many kills at random, each followed by the next start, which resumes."""
    place, number, kept = Place(root / "0", LONG), 0, list[Record]()
    for kill in range(1, kills + 1):
        what = (*VICTIMS, *SIGNALS)[kill % (len(VICTIMS) + len(SIGNALS))]
        sweep = place.start("--retry-failed")
        time.sleep(chance.uniform(1.0, LONGEST_S) * chance.random())  # early moments more often than late ones
        said = _hit(sweep, what, chance)
        found = place.problems(kept, _measured(place))
        kept = place.records()
        yield {"misfortune": f"kill {kill}: {what}", "said": said, "wrong": "; ".join(found)}
        if _measured(place) == cells_of(LONG) or kill == kills:
            code = place.finish("--retry-failed")
            found = [*place.problems(kept, cells_of(LONG)), *([f"exit code {code}"] if code else [])]
            yield {"misfortune": f"sweep {number}", "said": "resumed to its end", "wrong": "; ".join(found)}
            number, kept = number + 1, []
            place = Place(root / str(number), LONG)


def _measured(place: Place) -> set[str]:
    return {record.cell.id for record in place.records() if record.status == "measured"}


def _hit(sweep: crashes.Started, what: str, chance: random.Random) -> str:
    """Strike, and if the parent outlives it, end that too after a while; in words, what was hit."""
    if sweep.poll() is not None:
        return f"was over already, with {sweep.returncode}"
    if what in SIGNALS:
        return f"ended with {end(sweep, SIGNALS[what], group=True)}"
    victim = victim_of(sweep, what)
    if victim is None:
        end(sweep)
        return f"no {what} at that moment; killed the parent"
    with suppress(psutil.NoSuchProcess):
        victim.kill()
    if what != "parent":
        time.sleep(chance.uniform(0.5, 4.0))  # the sweep goes on without it
        alive = sweep.poll() is None
        end(sweep)
        return f"killed the {what}; the sweep {'went on' if alive else f'ended with {sweep.returncode}'}"
    sweep.wait()
    return "killed the parent"


def misfortunes(root: Path) -> Iterator[Row]:
    """Everything else, once each."""
    once: dict[str, Callable[[Place, set[str]], list[str]]] = {
        "rights taken away": crashes.take_rights_away,
        "two sweeps at once": crashes.start_twice,
        "the clock runs back": crashes.turn_clock_back,
        "no space for the report": crashes.fill_disk_before_report,
        "a limit on the size of files": crashes.outgrow_limit,
        "a full disk": lambda place, cells: crashes.fill_disk(place, cells, crashes.small_disk),
    }
    for number, (name, play) in enumerate(once.items()):
        place = Place(root / f"once{number}", SHORT)
        place.directory.mkdir()
        if name == "rights taken away":
            place.prefix = crashes.without_privileges()
        if name in ("a full disk", "no space for the report") and not crashes.can_mount(place.directory):
            yield {"misfortune": name, "said": "not tried: no rights to mount a disk", "wrong": ""}
            continue
        yield {"misfortune": name, "said": "", "wrong": "; ".join(play(place, cells_of(SHORT)))}


def damaged(root: Path) -> Iterator[Row]:
    """Every damage to every file of one finished sweep, resumed after each."""
    place, cells = Place(root / "damaged", SHORT), cells_of(SHORT)
    place.finish("--no-report")
    for name in (RECORDS, ENVIRONMENTS, JOURNAL, COUNTS):
        for what, change in CORRUPTIONS.items():
            if name in (JOURNAL, COUNTS):  # gone when a sweep is over
                (place.directory / name).write_bytes(b'{"id":"x","environment":"y","attempt":1,"process":{}}\n' * 4)
            found = crashes.corrupt(place, name, change, cells)
            yield {"misfortune": f"{name}: {what}", "said": "", "wrong": "; ".join(found)}
    for what, change in FOREIGN.items():
        yield {"misfortune": what, "said": "refused", "wrong": "; ".join(crashes.refuse(place, change))}


def write(rows: list[Row], out: Path) -> None:
    """The table as Markdown and CSV."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "kills.md").write_text(
        page(TITLE, CONVENTION, tabulate(rows, headers="keys", tablefmt="github")), encoding="utf-8"
    )
    with (out / "kills.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Play everything and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=("kills", "misfortunes", "damage"))
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        plays: dict[str, Callable[[], Iterator[Row]]] = {
            "kills": lambda: killed(options.kills, root, random.Random(options.seed)),
            "misfortunes": lambda: misfortunes(root),
            "damage": lambda: damaged(root),
        }
        for name, play in plays.items():
            for row in play() if options.only in (None, name) else ():
                rows.append(row)
                print(f"{row['misfortune']}: {row['said']} {row['wrong'] or 'ok'}", file=sys.stderr, flush=True)
    print(tabulate(rows, headers="keys"))
    wrong = sum(bool(row["wrong"]) for row in rows)
    print(f"\n{len(rows)} misfortunes, {wrong} with something lost, doubled, missing, printed or left behind")
    if options.out:
        write(rows, options.out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
