"""What the processes of a cell share and cannot see: found from probes, and intervals that hold in spite of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.coverage import covered
from vbench.analysis.drift import drifts
from vbench.results import Measured

PROCESS_S = 1.2  # from the start of one process to that of the next
REPEATS, PROCESSES = 100, 5


def study(make, rng: np.random.Generator, mood: Callable[[int], np.ndarray], spread: float) -> list[Measured]:
    """A cell measured again and again on a machine whose speed follows `mood`, one value a process.

    Processes differ by `spread` on logarithms, and so do the probes, each by its own chance.
    """
    number = REPEATS * PROCESSES
    moods = mood(number)
    latency_s = 0.015 * np.exp(moods + spread * rng.normal(size=number))
    probes_s = np.exp(moods[:, None] + spread * rng.normal(size=(number, 4))) * (1e-4, 3e-4, 1e-4, 3e-4)
    runs = [
        make.process((latency,) * 5, probe_s=tuple(probe)) for latency, probe in zip(latency_s, probes_s, strict=True)
    ]
    cells = [runs[first : first + PROCESSES] for first in range(0, number, PROCESSES)]
    return [make.measured(make.cell(), processes=cell, attempt=at) for at, cell in enumerate(cells, start=1)]


def wandering(rng: np.random.Generator, size: float, memory_s: float) -> Callable[[int], np.ndarray]:
    """An Ornstein-Uhlenbeck mood: standard deviation `size`, forgotten after `memory_s`."""

    def mood(number: int) -> np.ndarray:
        keeps = np.exp(-PROCESS_S / memory_s)
        shocks = size * rng.normal(size=number) * np.sqrt(1 - keeps**2)
        values = [size * rng.normal()]
        for shock in shocks[1:]:
            values.append(keeps * values[-1] + shock)
        return np.array(values)

    return mood


def mean_coverage(make, size: float, memory_s: float, *, studies: int = 6) -> tuple[float, float]:
    """Coverage of the interval with and without drift, the mean over some studies."""
    found = []
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        records = study(make, rng, wandering(rng, size, memory_s), spread=0.01)
        told = covered(records, drifts(records)["e1"])
        found.append((told["covered"], told["covered_without_drift"]))
    with_drift, without = np.mean(found, axis=0)
    return float(with_drift), float(without)


@pytest.mark.parametrize("size", [0.01, 0.02, 0.04])
@pytest.mark.parametrize("memory_s", [20.0, 120.0])
def test_the_interval_covers_the_long_run_median_though_neighbours_in_time_share_a_mood(make, size, memory_s) -> None:
    with_drift, without = mean_coverage(make, size, memory_s)
    assert with_drift >= 0.9
    assert without < with_drift


def test_without_the_probes_a_slow_mood_spoils_the_interval(make) -> None:
    assert mean_coverage(make, 0.04, 120.0)[1] < 0.7


def test_on_a_machine_without_moods_the_interval_is_hardly_widened(make) -> None:
    rng = np.random.default_rng(0)
    records = study(make, rng, np.zeros, spread=0.01)
    told = covered(records, drifts(records)["e1"])
    assert told["covered"] >= 0.9
    assert told["half_width"] < 1.15 * told["half_width_without_drift"]


@pytest.mark.parametrize("size", [0.005, 0.05])
def test_a_planted_drift_is_found(make, size: float) -> None:
    """Within 25 %: 3.5 standard errors of a spread that is estimated from 100 moods, 1 / sqrt(200) each."""
    rng = np.random.default_rng(1)
    moods = np.repeat(size * rng.normal(size=REPEATS), PROCESSES)
    assert drifts(study(make, rng, lambda _: moods, spread=0.01))["e1"] == pytest.approx(size, rel=0.25)


def test_cells_of_different_sizes_weigh_by_their_processes(make) -> None:
    """Two levels, log 1.1 apart, equal within: the component of variance is that of the levels, whatever the sizes."""
    probe_s = {False: (1.0,) * 4, True: (1.1,) * 4}
    for sizes in ((3, 3, 3, 3, 3, 3), (5, 5, 5, 5, 5, 5)):
        cells = [[make.process(probe_s=probe_s[at % 2 == 1])] * size for at, size in enumerate(sizes)]
        records = [make.measured(make.cell(batch=at + 1), processes=runs) for at, runs in enumerate(cells)]
        assert drifts(records)["e1"] == pytest.approx(np.std([0, np.log(1.1)] * 3, ddof=1))


def test_noisy_processes_and_those_without_probes_teach_nothing(make) -> None:
    quiet, odd = (1.0, 1.0, 1.0, 1.0), (9.0, 9.0, 9.0, 9.0)
    runs = [make.process(probe_s=quiet)] * 3 + [make.process(probe_s=odd, quality="noisy: a neighbour"), make.process()]
    records = [make.measured(make.cell(batch=at), processes=runs) for at in range(1, 8)]
    assert drifts(records) == {"e1": 0.0}
    assert drifts(records[:4]) == {}


def test_the_frame_widens_intervals_by_the_drift_of_their_own_environment(make) -> None:
    def cells(environment: str, levels: list[float]) -> list[Measured]:
        return [
            make.measured(
                make.cell(environment + str(at)), environment=environment,
                processes=[make.process((scale,) * 3, probe_s=(level,) * 4) for scale in (0.99, 1.0, 1.01)],
            )
            for at, level in enumerate(levels)
        ]  # fmt: skip

    frame = make.frame(cells("e1", [1.0] * 6) + cells("e2", [1.0, 1.1] * 3))
    half = np.log(frame["latency_high_s"] / frame["latency_low_s"]) / 2
    own, moved = half[:6].unique(), half[6:].unique()
    shared = 1.959964 * np.std(np.log([1.0, 1.1] * 3), ddof=1)
    assert own == pytest.approx(4.302653 * np.std(np.log([0.99, 1.0, 1.01]), ddof=1) / np.sqrt(3))
    assert moved == pytest.approx(np.hypot(own, shared))
