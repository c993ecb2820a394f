"""Patterns along time: crossovers of each form on its own, and attention's share as a quotient of two measurements."""

from __future__ import annotations

import math

import pytest

from vbench.analysis.along_time import attention_share_frame, pattern_crossovers_frame
from vbench.report.along_time import along_time_tables

TIMES = (4, 8, 16, 32, 64)
BLOCKS = 12


def core(make, name, macs, frames=8, seconds=None, size=14, kind="pattern"):
    """A pattern on a grid of tokens; measured where a time is given."""
    cell = make.cell(name, frames, size, unit="tokens")
    return record(make, cell, macs, macs, seconds, kind)


def network(make, name, macs, attention, frames=8, seconds=None):
    return record(make, make.cell(name, frames, 224), macs, attention, seconds, "architecture")


def record(make, cell, macs, attention, seconds, kind):
    tokens = (cell.frames, 14, 14)
    counts = make.counts(macs=round(macs), attention_macs=round(attention), tokens=tokens)
    subject = make.subject(kind=kind)
    if seconds is None:
        return make.counted(cell, subject=subject, counts=counts)
    return make.measured(cell, seconds, subject=subject, counts=counts)


def laws(make, first, second, of):
    """Two patterns over time, one linear, one quadratic, that cost the same at T = 20."""
    records = []
    for t in TIMES:
        records += [of(make, first, 1e9 * t, t), of(make, second, 1e9 * t**2 / 20, t)]
    return records


@pytest.mark.parametrize(("form", "prefix"), [("core", "core:"), ("layer", "")])
def test_patterns_of_one_form_change_places_where_their_costs_are_equal(make, form, prefix) -> None:
    records = laws(make, f"{prefix}divided", f"{prefix}joint", core)
    found = pattern_crossovers_frame(make.frame(records))
    found = found[found["metric"] == "macs"]
    ((there, short, long, frames),) = found[["form", "short", "long", "frames"]].itertuples(index=False, name=None)
    assert (there, short, long) == (form, "joint", "divided")
    assert frames == pytest.approx(20.0, rel=1e-6)


def test_networks_are_blocks_and_forms_are_never_mixed(make) -> None:
    blocks = laws(
        make, "backbone:divided", "backbone:joint", lambda make, name, macs, t: network(make, name, macs, macs / 2, t)
    )
    cores = [core(make, "core:axial", 1e9, t) for t in TIMES]
    found = pattern_crossovers_frame(make.frame([*blocks, *cores]))
    assert set(found[found["metric"] == "macs"]["form"]) == {"block"}


def test_a_module_on_tokens_is_no_pattern(make) -> None:
    records = laws(
        make, "gated_temporal", "relevance_router", lambda make, name, macs, t: core(make, name, macs, t, kind="module")
    )
    assert pattern_crossovers_frame(make.frame(records)).empty


def test_the_share_of_time_is_that_of_as_many_cores_as_the_backbone_attends(make) -> None:
    records = [
        network(make, "backbone:joint", 100e9, BLOCKS * 2e9, seconds=1.0),
        core(make, "core:joint", 2e9, seconds=0.02),
    ]
    (row,) = attention_share_frame(make.frame(records)).to_dict("records")
    assert row["macs_share"] == pytest.approx(0.24)
    assert row["time_share"] == pytest.approx(BLOCKS * 0.02 / 1.0)
    assert row["time_share_low"] < row["time_share"] < row["time_share_high"]


@pytest.mark.parametrize(
    "elsewhere", [{"frames": 16}, {"environment": "e2"}, {"seconds": None}, {"name": "core:axial"}]
)
def test_a_core_of_another_length_machine_or_pattern_gives_no_share_of_time(make, elsewhere) -> None:
    whole = network(make, "backbone:joint", 100e9, 24e9, seconds=1.0)
    asked = {"name": "core:joint", "frames": 8, "seconds": 0.02, "environment": "e1"} | elsewhere
    environment = asked.pop("environment")
    part = core(make, asked["name"], 2e9, frames=asked["frames"], seconds=asked["seconds"])
    part = part if environment == "e1" else make.measured(part.cell, 0.02, counts=part.counts, environment=environment)
    (row,) = attention_share_frame(make.frame([whole, part])).to_dict("records")
    assert row["macs_share"] == pytest.approx(0.24)
    assert math.isnan(row["time_share"])


def test_both_tables_say_what_the_frames_hold(make) -> None:
    records = laws(make, "core:divided", "core:joint", core)
    records += [network(make, "backbone:joint", 100e9, 24e9, seconds=1.0), core(make, "core:joint", 2e9, seconds=0.02)]
    texts = {table.name: table.markdown() for table in along_time_tables(make.frame(records))}
    assert "20.0" in texts["pattern_crossovers"]
    assert "24.0 %" in texts["attention_share"]
    assert along_time_tables(make.frame([])) == []
