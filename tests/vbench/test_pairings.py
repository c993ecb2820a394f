"""Cells in interleaved pairs: which are wanted, how a budget is shared, and that their ratio stands in the claims."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from vbench.analysis.ratio import PairedRatios, latency_ratios
from vbench.cell import Cell
from vbench.cli import main
from vbench.comparing import pairings
from vbench.measure.pairs import SideError
from vbench.measure.turns import can_take_turns
from vbench.results import PairedCells
from vbench.store import Store

FIRST, SECOND = (Cell(model="video_swin_t", frames=8, height=112, width=112, precision=p) for p in ("fp32", "int8"))
FOUND = PairedCells(
    first=FIRST.id, second=SECOND.id, hardware="Test CPU", environment="e1", log_ratios=(0.68, 0.7),
    ratio=(2, 1.9, 2.1), elapsed_s=3.0,
)  # fmt: skip


def test_what_pairs_said_outlives_the_process_and_a_torn_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing():
        store.add_pairs(FOUND)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"first": "torn')
    assert Store(tmp_path).pairs() == [FOUND]


def test_a_ratio_from_pairs_stands_for_all_latencies_of_its_hardware_and_no_others(make) -> None:
    cells = make.frame([make.measured(cell, 0.1) for cell in (FIRST, SECOND)])
    asked = ({"precision": "fp32"}, {"precision": "int8"})
    (unpaired,) = latency_ratios(cells, *asked, PairedRatios())
    (paired,) = latency_ratios(cells, *asked, PairedRatios([FOUND]))
    assert (unpaired.pairs, unpaired.ratio.estimate) == (0, pytest.approx(1.0))
    assert (paired.pairs, paired.ratio.estimate, paired.ratio.low, paired.ratio.high) == (2, 2, 1.9, 2.1)
    (elsewhere,) = latency_ratios(cells.assign(hardware="Other CPU"), *asked, PairedRatios([FOUND]))
    assert elsewhere.ratio == unpaired.ratio


def test_what_is_looked_for_is_remembered_in_the_order_of_the_claim(make) -> None:
    cells, paired = make.frame([make.measured(cell, 0.1) for cell in (FIRST, SECOND)]), PairedRatios()
    latency_ratios(cells, {"precision": "fp32"}, {"precision": "int8"}, paired)
    assert list(paired.wanted) == [(FIRST.id, SECOND.id)]


@pytest.mark.parametrize(
    ("axes", "they_can"), [({}, True), ({"mode": "train"}, False), ({"backend": "compile"}, False)]
)
def test_only_eager_forwards_take_turns(axes: dict, they_can: bool) -> None:
    assert can_take_turns(Cell(model="c3d", frames=16, height=112, width=112, **axes)) is they_can


def test_the_first_of_two_is_over_the_second_and_what_cannot_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`compare` gives time of B over time of A; a claim asks for the first over the second."""

    def compare_cells(a: Cell, b: Cell, **_: object) -> SimpleNamespace:
        if a.model == "c3d":
            raise SideError("c3d: out of memory")
        ratio = {"int8": 0.5, "fp32": 1.0}[b.precision] / {"int8": 0.5, "fp32": 1.0}[a.precision]
        pairs = 7 if a.frames == 1 else 8
        measured = (SimpleNamespace(log_ratio=math.log(ratio)),) * pairs
        return SimpleNamespace(
            ratio=ratio, low=0.9 * ratio, high=1.1 * ratio, pairs=pairs, measured=measured, elapsed_s=1.0
        )

    monkeypatch.setattr(pairings, "compare_cells", compare_cells)
    other = Cell(model="c3d", frames=16, height=112, width=112)
    brief = Cell(model="video_swin_t", frames=1, height=112, width=112)
    told: list[str] = []
    wanted = [(FIRST, SECOND), (FIRST, other), (FIRST, brief)]
    ((here, one),) = pairings.paired(wanted, 60.0, told.append)
    assert (one.first, one.second, one.ratio) == (FIRST.id, SECOND.id, pytest.approx((2, 1.8, 2.2)))
    assert one.environment == here.fingerprint
    assert one.log_ratios == pytest.approx((math.log(2),) * 8)
    assert ["out of memory" in told[0], "too few for an interval" in told[1]] == [True, True]
    assert list(pairings.paired([(FIRST, SECOND)], 0.0, told.append)) == []
    assert "the budget left out" in told[-1]


@pytest.mark.parametrize(("budget_s", "given"), [(3000.0, [1000.0, 1450.0, 2800.0]), (300.0, [240.0, 200.0, 100.0])])
def test_each_two_cells_get_their_share_of_the_budget_and_short_budgets_go_to_the_first(
    monkeypatch: pytest.MonkeyPatch, budget_s: float, given: list[float]
) -> None:
    clock, budgets = [0.0], []

    def takes_100_s(*_: Cell, budget_s: float, **__: object) -> None:
        budgets.append(budget_s)
        clock[0] += 100.0
        raise SideError("nothing to see")

    monkeypatch.setattr(pairings.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(pairings, "compare_cells", takes_100_s)
    assert list(pairings.paired([(FIRST, SECOND)] * 3, budget_s, lambda _: None)) == []
    assert budgets == given


def test_pairs_are_kept_where_the_user_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claims", "--pairs", "1s"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
