from dataclasses import replace

import pytest

from vbench.measure.quality import Snapshot, quality, snapshot

BEFORE = Snapshot(wall_s=100, busy_s=50, steal_s=1, own_s=10, involuntary_switches=0)


def after(**elapsed: float) -> Snapshot:
    return replace(BEFORE, **{name: getattr(BEFORE, name) + value for name, value in elapsed.items()})


def test_a_process_that_had_the_machine_to_itself_is_clean() -> None:
    assert quality(BEFORE, after(wall_s=2, busy_s=4.0, own_s=4.0)) == "clean"


def test_other_processes_are_told_in_cores() -> None:
    assert quality(BEFORE, after(wall_s=2, busy_s=3.02, own_s=2.0)) == "noisy: other processes used 0.50 cores"


def test_stolen_time_is_told() -> None:
    told = quality(BEFORE, after(wall_s=1, steal_s=10.0))
    assert told.startswith("noisy: the hypervisor took")


@pytest.mark.parametrize("clock", ["wall_s", "busy_s", "own_s"])
def test_the_clocks_of_this_machine_go_forward(clock: str) -> None:
    first = snapshot()
    sum(range(3_000_000))
    assert getattr(snapshot(), clock) >= getattr(first, clock)


def test_own_work_shows_as_own() -> None:
    first = snapshot()
    sum(range(3_000_000))
    assert snapshot().own_s > first.own_s
