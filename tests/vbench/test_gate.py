"""The timed gate: screening lets through, fresh pairs confirm, and what gives no answer is never passed."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.gate.counted import one_a_family
from vbench.gate.timed import FAMILY, SCREEN, time_against
from vbench_models.catalog import ARCHITECTURES

CELLS = [Cell(model="c3d", frames=16, height=112, width=112, batch=batch) for batch in range(1, 6)]


def seen(low: float, high: float) -> SimpleNamespace:
    verdict = "slower" if low > 1 else "faster" if high < 1 else "same" if high <= 1.02 and low >= 0.98 else ""
    return SimpleNamespace(ratio=(low + high) / 2, low=low, high=high, verdict=verdict, pairs=8)


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.99, 1.01), "passed"),
        ((0.9, 0.95), "passed"),
        ((0.9, 1.019), "passed"),  # neither same nor faster, but not slower by more than the margin
        ((0.99, 1.05), "inconclusive"),
        ((1.03, 1.05), "slower"),
    ],
)
def test_a_cell_passes_where_it_cannot_be_slower_by_more_than_the_margin(
    interval: tuple[float, float], outcome: str
) -> None:
    (timed,) = time_against(CELLS[:1], lambda *_: seen(*interval), margin=0.02)
    assert timed.outcome == outcome


def test_only_flagged_cells_are_compared_again_and_share_one_error_rate() -> None:
    alphas: dict[int, list[float]] = defaultdict(list)

    def compare(cell: Cell, alpha: float) -> SimpleNamespace:
        alphas[cell.batch].append(alpha)
        return seen(1.03, 1.05) if cell.batch in (2, 4) else seen(0.99, 1.01)

    timed = time_against(CELLS, compare, margin=0.02)
    assert [cell.outcome for cell in timed] == ["passed", "slower", "passed", "slower", "passed"]
    assert [cell.compared for cell in timed] == [1, 2, 1, 2, 1]
    assert alphas == {batch: [SCREEN, FAMILY / 2] if batch in (2, 4) else [SCREEN] for batch in range(1, 6)}


def test_a_false_alarm_of_the_screening_does_not_survive_fresh_pairs() -> None:
    times: dict[int, int] = defaultdict(int)

    def compare(cell: Cell, _alpha: float) -> SimpleNamespace:
        times[cell.batch] += 1
        return seen(1.03, 1.05) if times[cell.batch] == 1 else seen(0.99, 1.01)

    assert {cell.outcome for cell in time_against(CELLS, compare, margin=0.02)} == {"passed"}


def test_runs_without_a_change_report_a_cell_as_rarely_as_the_family_s_rate_says() -> None:
    """Comparisons that err exactly as often as they may, over 20,000 gates of five cells."""
    chance = np.random.default_rng(0)

    def compare(_cell: Cell, alpha: float) -> SimpleNamespace:
        return seen(1.03, 1.05) if chance.random() < alpha else seen(0.99, 1.01)

    gates = 20_000
    alarms = sum(
        any(cell.outcome == "slower" for cell in time_against(CELLS, compare, margin=0.02)) for _ in range(gates)
    )
    assert 0 < alarms <= FAMILY * gates


def test_a_cell_that_cannot_be_measured_says_why_and_is_not_passed() -> None:
    def compare(_cell: Cell, _alpha: float) -> SimpleNamespace:
        raise AxisError("the model is not there at v1")

    (timed,) = time_against(CELLS[:1], compare, margin=0.02)
    assert (timed.outcome, timed.reason) == ("not measured", "the model is not there at v1")


def test_degrees_are_gated_for_one_architecture_of_every_family() -> None:
    chosen = one_a_family()
    families = [ARCHITECTURES[name].family for name in chosen]
    assert sorted(families) == sorted({card.family for card in ARCHITECTURES.values()})
