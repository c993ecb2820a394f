"""The same cells on several kinds of hardware; figures and intervals are the test's own."""

from typing import Any

import pytest

from vbench.analysis.side_by_side import changed_conclusions, side_by_side
from vbench.report.side_by_side import hardware_tables


def on(make: Any, model: str, hardware: str, latency_s: float, frames: int = 8) -> Any:
    return make.measured(make.cell(model, frames=frames, hardware=hardware), latency_s)


def test_a_cell_that_two_kinds_have_stands_twice_with_its_multiple_of_the_quickest(make: Any) -> None:
    frame = make.frame([on(make, "a", "h200", 0.1), on(make, "a", "epyc", 0.4), on(make, "b", "epyc", 0.2)])
    rows = side_by_side(frame)
    assert list(zip(rows["model"], rows["kind_of_hardware"], strict=True)) == [("a", "h200"), ("a", "epyc")]
    assert rows["times_quickest"].tolist() == pytest.approx([1.0, 4.0])
    assert rows["what"].nunique() == 1


def test_the_order_of_two_models_that_two_kinds_do_not_share_is_a_changed_conclusion(make: Any) -> None:
    records = [
        on(make, "a", "h200", 0.1), on(make, "b", "h200", 0.2), on(make, "a", "epyc", 0.9), on(make, "b", "epyc", 0.3),
    ]  # fmt: skip
    (change,) = changed_conclusions(make.frame(records)).to_dict("records")
    assert (change["faster_here"], change["here"]) == ("b", "epyc")
    assert (change["faster_there"], change["there"]) == ("a", "h200")
    assert (change["by_here"], change["by_there"]) == pytest.approx((3.0, 2.0))


@pytest.mark.parametrize("b_on_epyc_s", [1.8, 0.9001], ids=["the same order", "intervals that overlap"])
def test_an_order_that_is_the_same_or_not_firm_is_no_change(make: Any, b_on_epyc_s: float) -> None:
    records = [
        on(make, "a", "h200", 0.1), on(make, "b", "h200", 0.2),
        on(make, "a", "epyc", 0.9), on(make, "b", "epyc", b_on_epyc_s),
    ]  # fmt: skip
    assert changed_conclusions(make.frame(records)).empty


def test_models_on_different_clips_are_not_compared(make: Any) -> None:
    records = [
        on(make, "a", "h200", 0.1), on(make, "b", "h200", 0.2, frames=16),
        on(make, "a", "epyc", 0.9), on(make, "b", "epyc", 0.3, frames=16),
    ]  # fmt: skip
    assert changed_conclusions(make.frame(records)).empty


def test_one_kind_of_hardware_has_no_table(make: Any) -> None:
    assert all(table.data.empty for table in hardware_tables(make.frame([make.measured(make.cell())])))


def test_what_was_never_measured_has_no_table(make: Any) -> None:
    assert all(table.data.empty for table in hardware_tables(make.frame([make.failed(make.cell(), "crash")])))


def test_the_tables_read_as_text(make: Any) -> None:
    records = [
        on(make, "a", "h200", 0.1), on(make, "b", "h200", 0.2), on(make, "a", "epyc", 0.9), on(make, "b", "epyc", 0.3),
    ]  # fmt: skip
    side, changes = hardware_tables(make.frame(records))
    assert [row[1] for row in side.cells()] == ["h200", "epyc", "h200", "epyc"]
    assert changes.cells()[0][1:] == ["b", "epyc", "3.00 x", "a", "h200", "2.00 x"]
