"""Pairs of real processes: in turn, told apart when they fail, and gone when nobody needs them."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.crashes import orphans
from vbench.cell import Cell
from vbench.measure import own_time
from vbench.measure.own_time import OwnTime
from vbench.measure.pairs import Pairs, SideError, least_s, plan_for, quickest_s
from vbench.measure.turns import Ready, Side, Timed

CORE = Cell(model="core:space", frames=2, height=4, width=4, unit="tokens", threads=1)


def side(cell: Cell, label: str = "") -> Side:
    return Side(label=label or cell.model, cell=cell)


def own(models: Path, function: str) -> Side:
    return side(Cell(model=f"{models}:{function}", frames=2, height=8, width=8, threads=1), function)


def turns(order: str, drift_of: Callable[[int], float]) -> tuple[list[float], list[float]]:
    """Seconds of each side's turns, of which B takes twice A's, where time drifts with the number of the turn."""
    times: dict[str, list[float]] = {"A": [], "B": []}
    for number, who in enumerate(order):
        times[who].append({"A": 1.0, "B": 2.0}[who] * math.exp(drift_of(number)))
    return times["A"], times["B"]


def log_ratio(order: str, drift_of: Callable[[int], float]) -> float:
    a_s, b_s = map(least_s, turns(order, drift_of))
    return math.log(b_s / a_s)


@pytest.mark.parametrize("drift", [0.3, -0.3])
@pytest.mark.parametrize("fours", range(1, 9))
def test_a_steady_drift_cancels_over_two_pairs_in_a_row(fours: int, drift: float) -> None:
    found = [log_ratio(order * fours, lambda number: drift * number) for order in ("ABBA", "BAAB")]
    assert sum(found) / 2 == pytest.approx(math.log(2), abs=1e-12)


def test_it_would_not_cancel_without_the_second_half_turned_round() -> None:
    found = [log_ratio("ABAB", lambda number: 0.3 * number)] * 2
    assert sum(found) / 2 == pytest.approx(math.log(2) + 0.3)


@pytest.mark.parametrize("disturbed", [{0}, {2, 3}, {1, 5}, {0, 1, 2, 5, 7}])  # a turn of each side is left
def test_turns_that_others_slowed_down_are_not_compared(disturbed: set[int]) -> None:
    found = log_ratio("ABBAABBA", lambda number: 0.3 * (number in disturbed))
    assert found == pytest.approx(math.log(2), abs=1e-12)


@pytest.mark.parametrize(("count", "compared"), [(1, 1), (3, 1), (8, 2), (45, 11)])
def test_of_a_turn_its_quickest_quarter_is_compared(count: int, compared: int) -> None:
    times = [float(second) for second in range(1, count + 1)]
    turn = [Timed(own_s, 9.0) for own_s in random.Random(1).sample(times, count)]
    assert quickest_s(turn) == pytest.approx((1 + compared) / 2)


def test_both_sides_of_a_pair_do_the_same_number_of_turns_and_tell_their_memory() -> None:
    pair = Pairs((side(CORE), side(CORE)), timeout_s=60).measure(0)
    a, b = pair.turns_s
    assert len(a) == len(b) >= 2
    assert min(*a, *b) > 0
    assert np.all(np.asarray(pair.walls_s) > 0)
    assert min(pair.peak_memory_bytes) > 50 * 2**20


def test_of_four_pairs_two_begin_with_b() -> None:
    pairs = Pairs((side(CORE), side(CORE)), timeout_s=60)
    assert [pairs.measure(number).order for number in range(4)] == ["ABBA", "BAAB", "ABBA", "BAAB"]


MODELS = """
import os, time
from pathlib import Path
import torch
from torch import nn

LOG = Path(__file__).with_name("log")


class Noting(nn.Module):
    def forward(self, video):
        if type(video) is torch.Tensor and not video.is_meta:
            start = time.monotonic_ns()
            time.sleep(0.02)
            with LOG.open("a") as log:
                log.write(f"{os.getpid()} {start} {time.monotonic_ns()}\\n")
        return video


class Hungry(Noting):
    def forward(self, video):
        if type(video) is torch.Tensor and not video.is_meta:
            torch.ones(64 * 2**20)
        return video


def build(clip):
    return Noting()


def build_hungry(clip):
    return Hungry()
"""


@pytest.fixture
def noting(tmp_path: Path) -> Path:
    file = tmp_path / "noting.py"
    file.write_text(MODELS)
    return file


def test_the_sides_never_run_together_once_both_are_warm(noting: Path) -> None:
    Pairs((own(noting, "build"), own(noting, "build")), timeout_s=60).measure(0)
    rows = [tuple(map(int, line.split())) for line in noting.with_name("log").read_text().splitlines()]
    assert len({process for process, *_ in rows}) == 2
    rows.sort(key=lambda row: row[1])
    together = [index for index, (one, next_) in enumerate(pairwise(rows)) if one[0] != next_[0] and one[2] > next_[1]]
    warm_ups = 2 * 20  # of both sides, at most, in the beginning
    assert all(index < warm_ups for index in together)
    order = [process for process, *_ in rows[-20:]]
    assert sum(one != next_ for one, next_ in pairwise(order)) >= 3


def test_peak_memory_is_each_side_s_own(noting: Path) -> None:
    pair = Pairs((own(noting, "build"), own(noting, "build_hungry")), timeout_s=60).measure(0)
    assert pair.peak_memory_bytes[1] - pair.peak_memory_bytes[0] > 0.9 * 256 * 2**20


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("build_crash", "crash: the process got SIGSEGV"),
        ("build_killed", "out of memory, or killed by hand: the process got SIGKILL"),
        ("build_no_memory", "out of memory: "),
        ("build_broken", "RuntimeError: a layer is missing"),
        ("build_missing", "has no function 'build_missing'"),
    ],
)
def test_a_side_that_fails_is_one_line_that_names_it(models: Path, function: str, reason: str) -> None:
    with pytest.raises(SideError) as caught:
        Pairs((own(models, "build"), own(models, function)), timeout_s=60).measure(0)
    assert str(caught.value).startswith(f"{function}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_side_that_hangs_is_a_time_out_and_both_processes_are_gone(models: Path) -> None:
    with pytest.raises(SideError, match=r"build_endless: time-out"):
        Pairs((own(models, "build"), own(models, "build_endless")), timeout_s=3).measure(0)
    assert not [worker for server in psutil.Process().children() for worker in server.children()]


def test_a_clip_that_does_not_fit_is_one_line_that_says_what_does() -> None:
    with pytest.raises(SideError, match=r"nearest: 96, 112"):
        Pairs((side(CORE), side(Cell(model="timesformer_b", frames=8, height=100, width=224))), timeout_s=60).count()


def test_counts_of_the_sides_come_in_their_order() -> None:
    other = Cell(model="core:space", frames=4, height=4, width=4, unit="tokens")
    a, b = Pairs((side(CORE), side(other)), timeout_s=60).count()
    assert b.attention_macs == 2 * a.attention_macs


PARENT = """
from vbench.cell import Cell
from vbench.measure.pairs import Pairs
from vbench.measure.turns import Side

if __name__ == "__main__":
    cell = Cell(model="core:space", frames=2, height=4, width=4, unit="tokens", threads=1)
    pairs = Pairs((Side(label="a", cell=cell), Side(label="b", cell=cell)), timeout_s=60)
    pairs.measure(0)
    print("running", flush=True)
    for number in range(1000):
        pairs.measure(number)
"""


def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"running\n"
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert not orphans(parent.pid)


@pytest.mark.parametrize("forward_s", [1e-5, 1e-3, 0.015, 0.1, 1.0, 30.0])
def test_a_pair_costs_less_the_shorter_its_forwards_and_never_less_than_four_turns(forward_s: float) -> None:
    plan = plan_for([Ready(forward_s, "none"), Ready(forward_s / 2, "none")])
    assert plan.fours >= 1
    turn_s = forward_s * (plan.turn.settling + plan.turn.samples * plan.turn.block)
    assert plan.fours * 4 * turn_s <= max(2.0, 4 * forward_s)


@pytest.fixture
def crowded_core() -> Iterator[None]:
    """The thread of the test shares one core with three processes that never rest."""
    cores = os.sched_getaffinity(0)
    core = min(cores)
    program = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()
        os.sched_setaffinity(0, {core})
        yield
    finally:
        os.sched_setaffinity(0, cores)
        for process in busy:
            process.kill()
            process.communicate()


@pytest.mark.usefixtures("crowded_core")
def test_own_time_leaves_out_what_the_thread_waited_for_its_core() -> None:
    """What a thread that never sleeps is charged with is the processor time that the kernel says it used."""
    spent_s = time.thread_time()
    timed = OwnTime()(lambda: sum(range(20_000_000)), 1)
    spent_s = time.thread_time() - spent_s
    assert timed.own_s == pytest.approx(spent_s, rel=0.1)  # the wall clock would be some 300 % off
    assert timed.wall_s > 1.5 * timed.own_s


@pytest.mark.usefixtures("crowded_core")
def test_own_times_of_short_samples_add_up_and_none_is_lost_to_a_switch_at_its_ends() -> None:
    clock, spent_s = OwnTime(), time.thread_time()
    own_s = [clock(lambda: sum(range(20_000)), 1).own_s for _ in range(1_500)]
    spent_s = time.thread_time() - spent_s
    assert sum(own_s) == pytest.approx(spent_s, rel=0.2)  # reading the clocks between the samples is spent, too
    assert min(own_s) > 0


def test_own_time_keeps_what_a_forward_sleeps() -> None:
    assert OwnTime()(lambda: time.sleep(0.05), 1).own_s >= 0.05


def test_own_time_is_the_wall_clock_where_the_kernel_keeps_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_time, "SCHEDSTAT", "/nowhere")
    timed = OwnTime()(lambda: None, 10)
    assert timed.own_s == timed.wall_s
