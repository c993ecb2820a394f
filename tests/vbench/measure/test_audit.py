"""The audit: known blind spots are found, what fails or is absent is a row, and units are those of one multiply-add."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from torch import nn

from vbench.cell import Cell
from vbench.measure.audit import Finding, audit, verdict
from vbench.measure.count import Product, Tally
from vbench.measure.counters import COUNTERS, torch_counter

CELL = Cell(model="core:joint", frames=2, height=4, width=4, unit="tokens")
BLOCK = Cell(model="joint", frames=4, height=7, width=7, unit="tokens")


def finding(counter: str, cell: Cell) -> Finding:
    (found,) = audit(cell, {counter: COUNTERS[counter]}).findings
    return found


@pytest.mark.parametrize("counter", ["torch.utils.flop_counter", "fvcore"])
def test_counters_that_do_not_know_fused_attention_are_caught_missing_it(counter: str) -> None:
    found = finding(counter, BLOCK)
    projections = audit(BLOCK, {}).macs - audit(BLOCK, {}).attention_macs
    assert found.macs == pytest.approx(projections, rel=0.005)  # fvcore counts norms, too
    assert found.finding.startswith("misses attention")


def test_the_torch_counter_agrees_where_attention_is_not_fused() -> None:
    plain = Cell(model="c3d", frames=16, height=112, width=112)
    found = finding("torch.utils.flop_counter", plain)
    assert (found.difference, found.finding) == (0.0, "agrees to the MAC")


def test_a_counter_that_fails_or_is_not_installed_is_a_row_with_its_reason() -> None:
    def breaks(_network: nn.Module, _inputs: Sequence[object]) -> float:
        raise KeyError("conv3d")

    absent = ("no-such-distribution", torch_counter)
    failed, missing = audit(CELL, {"broken": ("torch", breaks), "absent": absent}).findings
    assert (failed.macs, failed.finding) == (None, "fails: KeyError: 'conv3d'")
    assert (missing.version, missing.finding) == (None, "not installed: pip install no-such-distribution")


def test_what_a_counter_prints_does_not_reach_a_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    def loud(_network: nn.Module, _inputs: Sequence[object]) -> float:
        sys.stdout.write("Warning: module Joint is treated as a zero-op.")
        return 1.0

    audit(CELL, {"loud": ("torch", loud)})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("macs", "says"),
    [
        (1000, "agrees to the MAC"),
        (1004, "agrees within 0.5%"),
        (700, "misses attention: 30.0% of all MACs"),
        (697, "misses attention: 30.0% of all MACs"),
        (400, "counts less, by more than attention"),
        (850, "counts less"),
        (2000, "counts more"),
    ],
)
def test_the_finding_follows_from_the_difference(macs: int, says: str) -> None:
    core, rest = ((Product("m", "c", "o", size, kind)) for size, kind in ((300, "attention"), (700, "other")))
    assert verdict(macs, Tally(params=0, products=(core, rest))) == says
