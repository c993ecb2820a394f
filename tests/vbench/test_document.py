"""A directory of records becomes a directory for people, on a machine without torch."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from vbench.errors import StoreError
from vbench.report.document import write_report

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "vbench_models"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
from vbench.report.document import write_report
print(len(write_report(Path(sys.argv[1]))))
"""
EVERY_ROOM = """
import importlib, pkgutil, sys
import vbench.analysis, vbench.report
for package in (vbench.analysis, vbench.report):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print([name for name in ("torch", "vbench_models", "matplotlib.pyplot", "vbench.measure") if name in sys.modules])
"""


def python(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def records(make):
    return make.sweep("timesformer_b", [(8, 224), (4, 224), (16, 224), (32, 224), (64, 224)], lambda t, _: t / 100)


def test_a_report_is_written_where_torch_cannot_be_imported(records, sweep_directory):
    directory = sweep_directory(records)
    done = python(WITHOUT_TORCH, directory)
    assert done.stderr == ""
    assert int(done.stdout) > 10
    assert (directory / "index.html").exists()


def test_analysis_and_report_import_neither_torch_nor_models_nor_a_display():
    done = python(EVERY_ROOM)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_every_path_returned_is_a_file_and_the_documented_ones_are_there(records, sweep_directory):
    directory = sweep_directory(records)
    paths = write_report(directory)
    assert all(path.is_file() for path in paths)
    assert len(set(paths)) == len(paths)
    names = {str(path.relative_to(directory)) for path in paths}
    assert {"records.csv", "scaling.csv", "index.html", "README.md"} <= names
    assert {"tables/K400-1.md", "tables/K400-2.csv", "tables/models.md", "tables/latency.csv"} <= names
    assert {"figures/latency_frames.png", "figures/latency_frames.svg"} <= names


def test_a_report_written_twice_is_the_same(records, sweep_directory):
    directory = sweep_directory(records)
    texts = [{path: path.read_bytes() for path in write_report(directory)} for _ in range(2)]
    assert texts[0] == texts[1]


def test_scaling_csv_holds_the_planted_exponent(records, sweep_directory):
    directory = sweep_directory(records)
    write_report(directory)
    rows = list(csv.DictReader((directory / "scaling.csv").read_text().splitlines()))
    assert [float(row["exponent"]) for row in rows if row["metric"] == "latency_median_s"] == [pytest.approx(1)]


def test_tables_exist_as_text_and_raw_with_as_many_rows(records, sweep_directory):
    directory = sweep_directory(records)
    write_report(directory)
    text = (directory / "tables" / "latency.md").read_text().splitlines()
    raw = list(csv.DictReader((directory / "tables" / "latency.csv").read_text().splitlines()))
    assert len([line for line in text if line.startswith("| timesformer_b")]) == len(raw) == 5
    assert float(raw[0]["latency_median_s"]) == pytest.approx(0.04)


def test_the_readme_counts_cells_and_gives_every_reason(make, records, sweep_directory):
    lost = [make.failed(make.cell("a"), "out of memory"), make.failed(make.cell("b"), "out of memory")]
    left = make.skipped(make.cell("c"), "an hour a forward")
    noisy = make.measured(make.cell("d"), processes=[make.process(quality="noisy: load 3.1")])
    directory = sweep_directory([*records, make.counted(make.cell("e")), *lost, left, noisy], "cpu")
    (directory / "left_out.txt").write_text("vivit_b_16x2 at 128 frames\n")
    write_report(directory)
    text = (directory / "README.md").read_text()
    assert text.startswith("# cpu\n\n10 cells: 6 measured, 1 counted, 2 failed, 1 skipped.")
    assert f"- failed, out of memory: `{lost[0].cell.id}`, `{lost[1].cell.id}`" in text
    assert f"- skipped, an hour a forward: `{left.cell.id}`" in text
    assert f"- `{noisy.cell.id}`: noisy: load 3.1" in text
    assert "vivit_b_16x2 at 128 frames" in text
    for word in ("Test CPU", "torch: 2.13.0", "abc1234"):
        assert word in text
    assert "vivit_b_16x2 at 128 frames" in (directory / "index.html").read_text()


def test_what_did_not_happen_has_no_section(records, sweep_directory):
    directory = sweep_directory(records)
    write_report(directory)
    text = (directory / "README.md").read_text()
    assert not [head for head in ("Failed", "Left out", "not quiet") if head in text]


def test_a_directory_without_records_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(StoreError, match=r"no records in .*vbench sweep --out"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_only_failed_still_has_a_report(make, sweep_directory):
    directory = sweep_directory([make.failed(make.cell(), "crash")])
    write_report(directory)
    assert "crash" in (directory / "index.html").read_text()
    assert not list((directory / "figures").iterdir())


def test_a_directory_that_cannot_be_written_is_one_clear_error(records, sweep_directory):
    directory = sweep_directory(records)
    (directory / "tables").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        write_report(directory)
