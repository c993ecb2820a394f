"""The coverage study's arithmetic, on repetitions whose processes the test chooses."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.coverage import coverage, covered, neighbour, report, verdict

NOISY = "noisy: other processes used 1.00 cores"


def repetition(make, *medians: float, quality: str = "clean", samples: tuple[float, ...] = (1.0,) * 9):
    runs = [make.process([value * sample for sample in samples], quality=quality) for value in medians]
    return make.measured(make.cell(), processes=runs)


def test_the_long_run_median_is_that_of_the_other_repetitions(make) -> None:
    """Two repetitions far from the third: each is held against the others, and only the middle one holds them."""
    group = [repetition(make, *values) for values in ((1, 1, 1, 1, 1.01), (1, 2, 2, 2, 3), (3, 3, 3, 3, 3.03))]
    told = covered(group, drift=0.0)
    assert told["covered"] == pytest.approx(1 / 3)
    assert told["long_run_median_s"] == 2


def test_drift_widens_what_is_counted_and_not_what_stands_beside_it(make) -> None:
    group = [repetition(make, *(level * scale for scale in (0.99, 1, 1, 1, 1.01))) for level in (1.0, 1.1, 1.3)]
    told = covered(group, drift=0.2)
    assert (told["covered"], told["covered_without_drift"]) == (1.0, 0.0)
    assert told["half_width"] > 0.39 > told["half_width_without_drift"]


def test_one_process_speaks_for_its_own_samples_only(make) -> None:
    wide, narrow = (0.5, 0.5, 0.5, 1, 1, 1, 1.5, 1.5, 1.5), (0.99, 1, 1, 1, 1, 1, 1, 1, 1.01)
    for samples, share in ((wide, 1.0), (narrow, 0.0)):
        group = [repetition(make, level, 1, 1, 1, 1, samples=samples) for level in (1.2, 0.8, 1.2)]
        assert covered(group, drift=0.0)["covered_by_one_process"] == share


def test_clean_and_noisy_repetitions_are_counted_apart_and_few_are_left_out(make) -> None:
    quiet = [repetition(make, 1, 1, 1, 1, 1)] * 6 + [repetition(make, 9, 9, 9, 9, 9, quality=NOISY)] * 2
    beside = [repetition(make, 2, 2, 2, 2, 2, quality=NOISY)] * 4
    table = coverage({"quiet": quiet, "neighbour": beside})
    assert table[["circumstance", "mark", "repeats", "share"]].to_numpy().tolist() == [
        ["quiet", "clean", 6, 0.75],
        ["neighbour", "noisy", 4, 1.0],
    ]
    assert "clean: covered in 100%, 90% wanted: held" in verdict(table)
    assert "beside a neighbour: 100% marked noisy" in verdict(table)


def test_a_study_that_has_just_begun_says_that_it_shows_nothing(make) -> None:
    text = report(coverage({"quiet": [repetition(make, 1, 1)], "neighbour": []}))
    assert "nothing is shown" in text


def test_the_neighbour_uses_the_processor_and_is_gone_afterwards() -> None:
    before = set(psutil.Process().children())
    with neighbour(True):
        (burner,) = set(psutil.Process().children()) - before
        while burner.cpu_times().user < 0.05:
            time.sleep(0.05)
    assert not burner.is_running()


def test_the_neighbour_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "import psutil, time\nfrom benchmarks.coverage import neighbour\nwith neighbour(True):\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        burner = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    _, alive = psutil.wait_procs([burner], timeout=30)
    assert not alive
