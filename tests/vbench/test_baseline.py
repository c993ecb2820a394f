"""The gate: one multiply-add more is a change, and files survive a round trip."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vbench.analysis.baseline import Figures, baseline_of, compare, read_baseline, updated, write_baseline
from vbench.errors import StoreError

BASE = Figures(params=10, macs=195_830_280_192, attention_macs=5, predicted_peak_bytes={"2.13.0": 1000})
GOOD = {"params": 1, "macs": 2, "attention_macs": 3, "predicted_peak_bytes": {"2.13.0": 4}}


def texts(before, now, torch_version="2.13.0"):
    return [str(change) for change in compare(before, now, torch_version)]


def test_a_baseline_compared_with_itself_has_no_changes():
    assert compare({"a": BASE, "b": BASE}, {"b": BASE, "a": BASE}, "2.13.0") == []


def test_one_multiply_add_more_is_a_change_that_reads_well():
    changes = compare({"timesformer_b": BASE}, {"timesformer_b": replace(BASE, macs=BASE.macs + 1)}, "2.13.0")
    assert [str(change) for change in changes] == ["timesformer_b: macs 195,830,280,192 -> 195,830,280,193 (+1)"]
    assert changes[0].breaks


def test_each_exact_figure_is_compared():
    for name in ("params", "macs", "attention_macs"):
        less = replace(BASE, **{name: getattr(BASE, name) - 1})
        assert len(texts({"a": BASE}, {"a": less})) == 1
        assert texts({"a": BASE}, {"a": less})[0].endswith("(-1)")


def test_new_and_missing_models_are_changes():
    changes = compare({"old": BASE}, {"new": BASE}, "2.13.0")
    assert {(change.key, change.kind, change.breaks) for change in changes} == {
        ("new", "new", True),
        ("old", "missing", True),
    }


def test_predicted_bytes_are_compared_within_one_torch_version():
    now = replace(BASE, predicted_peak_bytes={"2.13.0": 1001})
    assert texts({"a": BASE}, {"a": now}) == ["a: predicted_peak_bytes 1,000 -> 1,001 (+1)"]


def test_predicted_bytes_of_another_torch_version_are_not_compared_and_that_is_said():
    now = replace(BASE, predicted_peak_bytes={"2.14.0": 9999})
    changes = compare({"a": BASE, "b": BASE}, {"a": now, "b": now}, "2.14.0")
    assert [str(change) for change in changes] == [
        "predicted_peak_bytes: not compared for 2 models with torch 2.14.0; the baseline has torch 2.13.0"
    ]
    assert not any(change.breaks for change in changes)


def test_an_update_keeps_the_bytes_of_other_torch_versions_and_drops_models_that_are_gone():
    now = {"a": replace(BASE, macs=1, predicted_peak_bytes={"2.14.0": 7})}
    merged = updated({"a": BASE, "gone": BASE}, now)
    assert merged == {"a": replace(BASE, macs=1, predicted_peak_bytes={"2.13.0": 1000, "2.14.0": 7})}


def test_counted_figures_become_a_baseline_that_keeps_bytes_by_torch_version():
    counted = {"a": {"params": 1, "macs": 2, "attention_macs": 3, "predicted_peak_bytes": 4}}
    assert baseline_of(counted, "2.13.0") == {"a": Figures(**GOOD)}


STEEP = {"macs": (2, 2, 2), "attention_macs": (2, 2, 2)}
FLAT = {"macs": (1, 1, 1), "attention_macs": None}


def test_a_degree_that_grew_is_a_change_that_names_the_formula():
    changes = compare({"a": replace(BASE, degrees=FLAT)}, {"a": replace(BASE, degrees=STEEP)}, "2.13.0")
    assert [str(change) for change in changes] == [
        "a: degrees of macs along T, H, W 1, 1, 1 -> 2, 2, 2",
        "a: degrees of attention_macs along T, H, W no polynomial -> 2, 2, 2",
    ]
    assert all(change.breaks for change in changes)


def test_degrees_that_were_not_derived_now_are_neither_compared_nor_lost():
    before = {"a": replace(BASE, degrees=STEEP)}
    assert compare(before, {"a": BASE}, "2.13.0") == []
    assert updated(before, {"a": BASE}) == before


def test_degrees_that_the_baseline_lacks_are_said_to_be_not_compared():
    (change,) = compare({"a": BASE}, {"a": replace(BASE, degrees=STEEP)}, "2.13.0")
    assert (change.kind, change.breaks) == ("not compared", False)


def test_degrees_survive_the_file(tmp_path):
    path = tmp_path / "baseline.json"
    write_baseline(path, {"a": replace(BASE, degrees=FLAT), "b": BASE})
    assert read_baseline(path) == {"a": replace(BASE, degrees=FLAT), "b": BASE}


def test_what_is_written_is_read_back_and_sorted(tmp_path):
    path = tmp_path / "baseline.json"
    write_baseline(path, {"b": BASE, "a": Figures(**GOOD)})
    assert read_baseline(path) == {"a": Figures(**GOOD), "b": BASE}
    assert list(json.loads(path.read_text())["models"]) == ["a", "b"]
    again = tmp_path / "again.json"
    write_baseline(again, {"a": Figures(**GOOD), "b": BASE})
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{torn", "no JSON"),
        ("[]", "schema version None"),
        ('{"schema": 99, "models": {}}', "schema version 99"),
        ('{"schema": 1}', "broken baseline"),
        ('{"schema": 1, "models": []}', "broken baseline"),
        ('{"schema": 1, "models": {"a": {"params": 1}}}', "broken baseline"),
        (json.dumps({"schema": 1, "models": {"a": GOOD | {"macs": 1.5}}}), "macs is no whole number"),
        (json.dumps({"schema": 1, "models": {"a": GOOD | {"predicted_peak_bytes": 4}}}), "broken baseline"),
    ],
)
def test_garbage_is_one_clear_error(tmp_path, text, words):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=words):
        read_baseline(path)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(StoreError, match="vbench check --update"):
        read_baseline(tmp_path / "none.json")
    with pytest.raises(StoreError, match="cannot write"):
        write_baseline(tmp_path / "no" / "such" / "folder.json", {})
