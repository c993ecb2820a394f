"""Ceilings and datasheets to bounds: identities on synthetic records, and what every row of the catalog must hold."""

from __future__ import annotations

import math
from importlib.resources import files

import pytest

from vbench.analysis.accelerators import PEAKS, accelerator_named, accelerator_of, accelerators
from vbench.analysis.frame import COLUMNS, records_frame
from vbench.analysis.modelled import CONTEXT_BYTES, modelled, modelled_frame
from vbench.analysis.roofline import Roof, datasheet_roof
from vbench.errors import UnknownNameError
from vbench.report.deployment import modelled_table

GIB = 2**30
CEILINGS = {"matmul_flops_per_second": {"fp32": 200e9, "bf16": 50e9}, "copy_bytes_per_second": 10e9}
ALL = list(accelerators().values())


def row_of(make, cell, latency_s=1.0, *, environment=None, **counts):
    known = environment or make.environment(**CEILINGS)
    frame = records_frame([make.measured(cell, latency_s, counts=make.counts(**counts))], {"e1": known})
    return frame.iloc[0]


def test_the_fractions_are_the_achieved_rate_over_the_ceilings(make):
    row = row_of(make, make.cell(), macs=25 * 10**9, op_bytes=10**9)
    assert row["matmul_peak_fraction"] == pytest.approx(row["flops_per_second"] / 200e9)
    assert row["flops_per_byte"] == pytest.approx(50.0)
    assert (row["roofline_bound"], row["roofline_fraction"]) == ("compute", pytest.approx(0.25))


def test_a_cell_of_few_products_and_many_bytes_is_bound_by_bandwidth(make):
    row = row_of(make, make.cell(), macs=10**9, op_bytes=5 * 10**9)
    assert (row["roofline_bound"], row["roofline_fraction"]) == ("bandwidth", pytest.approx(0.5))


def test_autocast_and_pure_bf16_are_set_against_the_same_product(make):
    rows = [row_of(make, make.cell(precision=precision)) for precision in ("bf16", "bf16_pure")]
    assert rows[0]["matmul_peak_fraction"] == rows[1]["matmul_peak_fraction"] == rows[0]["flops_per_second"] / 50e9


def test_what_was_not_measured_leaves_the_columns_empty(make):
    without = [
        row_of(make, make.cell(), environment=make.environment()),  # no ceilings
        row_of(make, make.cell(precision="int8")),  # none of this precision
        row_of(make, make.cell(ranks=2)),  # more than one machine's
    ]
    for row in without:
        assert math.isnan(row["matmul_peak_fraction"])
        assert math.isnan(row["roofline_fraction"])
        assert (row["roofline_bound"], math.isnan(row["mfu"])) == ("", True)
        assert row["flops_per_byte"] > 0


def test_mfu_is_of_the_datasheet_and_only_on_a_known_accelerator(make):
    cell = make.cell(device="cuda", precision="bf16")
    known = make.environment(accelerator="NVIDIA A100-SXM4-80GB")
    row = row_of(make, cell, 0.01, environment=known)
    assert row["mfu"] == pytest.approx(row["flops_per_second"] / 312e12)
    assert math.isnan(row_of(make, cell, environment=make.environment(accelerator="NVIDIA A10G"))["mfu"])


def test_a_roof_has_its_ridge_where_both_bounds_are_equal():
    roof = Roof(100.0, 4.0)
    assert roof.least_s(100.0, 4.0) == roof.compute_s(100.0) == roof.traffic_s(4.0) == 1.0
    assert (roof.bound(101.0, 4.0), roof.bound(99.0, 4.0)) == ("compute", "bandwidth")
    assert roof.least_s(50.0, 8.0) == 2.0


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.key)
def test_every_accelerator_has_a_source_and_plausible_figures(one):
    assert one.source
    assert one.url.startswith("https://")
    assert one.memory_bytes % 10**9 == 0
    assert 1e11 < one.bytes_per_second < 1e13
    assert one.flops_per_second["fp32"] <= min(one.flops_per_second.values())
    assert set(one.flops_per_second) <= set(PEAKS)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.key)
def test_dense_peaks_double_with_each_halving_of_the_operands(one):
    """Half of each vendor's sparse figure: where one slipped in, a ratio would be 4 or 1."""
    peaks = one.flops_per_second
    pairs = [("tf32", "fp16"), ("fp16", "int8"), ("bf16", "int8")]
    for wide, narrow in pairs:
        if {wide, narrow} <= set(peaks) and (one.key, narrow) != ("rtx_4090", "int8"):
            assert peaks[narrow] / peaks[wide] == pytest.approx(2, rel=0.05)
    assert peaks.get("bf16", peaks["fp16"]) == peaks["fp16"]


def test_int8_is_twice_what_fp16_gives_when_summed_in_fp16_on_the_4090():
    """GeForce cards sum FP16 in FP32 at half speed; INT8 is not held back."""
    peaks = accelerator_named("rtx_4090").flops_per_second
    assert peaks["int8"] / peaks["fp16"] == pytest.approx(4, rel=0.01)


def test_cores_that_a_generation_lacks_have_no_peak():
    lacking = {one.key: set(PEAKS) - set(one.flops_per_second) for one in ALL}
    assert lacking["t4"] == {"tf32", "bf16", "bf16_pure"}
    assert lacking["v100_sxm2_16gb"] == {"tf32", "bf16", "bf16_pure", "int8"}
    assert not any(missing for key, missing in lacking.items() if key not in ("t4", "v100_sxm2_16gb"))


def test_a_driver_s_name_is_matched_whole():
    assert accelerator_of("NVIDIA L40S") is accelerator_named("l40s")
    assert accelerator_of("Tesla T4") is accelerator_named("t4")
    assert accelerator_of("NVIDIA H100 80GB HBM3") is accelerator_named("h100_sxm")
    assert [accelerator_of(name) for name in ("NVIDIA L40", "NVIDIA A10G", "NVIDIA H100 PCIe", "AMD EPYC", "")] == [
        None
    ] * 5


def test_an_unknown_accelerator_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'rtx_4090'"):
        accelerator_named("rtx_4080")


def test_the_catalog_holds_the_accelerators_that_are_asked_for():
    titles = " ".join(one.title for one in ALL)
    for name in ("T4", "V100", "A100 SXM 40", "A100 SXM 80", "L4", "L40S", "A10", "RTX 4090", "H100", "H200", "B200"):
        assert name in titles
    assert files("vbench.data").joinpath("accelerators.csv").read_text().count("\n") == 1 + len(ALL) == 12


def test_a_model_fits_up_to_the_last_byte_and_not_beyond():
    t4 = accelerator_named("t4")
    room = t4.memory_bytes - CONTEXT_BYTES
    cost = {"flops": 8_100 * 10**9, "op_bytes": 10**9}
    fits = [modelled(t4, "fp32", **cost, tensor_peak_bytes=room + more).fits for more in (0, 1)]
    assert fits == [True, False]


def test_the_least_latency_is_the_longer_of_arithmetic_and_traffic():
    t4 = accelerator_named("t4")
    bound = modelled(t4, "fp32", flops=81 * 10**11, op_bytes=32 * 10**10, tensor_peak_bytes=GIB)
    assert (bound.compute_s, bound.traffic_s, bound.bound) == (pytest.approx(1.0), pytest.approx(1.0), "compute")
    more = modelled(t4, "fp32", flops=81 * 10**11, op_bytes=64 * 10**10, tensor_peak_bytes=GIB)
    assert (more.latency_at_least_s, more.bound) == (pytest.approx(2.0), "bandwidth")


def test_without_such_cores_there_is_no_bound():
    answer = modelled(accelerator_named("t4"), "bf16", flops=10**12, op_bytes=10**9, tensor_peak_bytes=GIB)
    assert (answer.compute_s, answer.latency_at_least_s, answer.bound, answer.fits) == (None, None, "", True)
    assert answer.to_json()["basis"] == "modelled"
    assert datasheet_roof(accelerator_named("t4"), "bf16") is None


def test_a_faster_accelerator_promises_no_longer_latency():
    known = [accelerator_named(key) for key in ("t4", "a10", "l40s")]
    answers = [modelled(one, "fp16", flops=10**12, op_bytes=10**10, tensor_peak_bytes=GIB) for one in known]
    assert answers == sorted(answers, key=lambda answer: -answer.latency_at_least_s)


def test_the_modelled_frame_has_a_row_for_each_counted_network_and_no_measured_latency(make):
    own = make.subject(is_default_clip=True)
    records = [
        make.measured(make.cell("seen"), subject=own),
        make.counted(make.cell("counted"), subject=own, counts=make.counts(predicted_peak_bytes=30 * GIB)),
        make.counted(make.cell("counted", precision="bf16"), subject=own),
        make.skipped(make.cell("skipped")),
        make.counted(make.cell("longer", 32)),
    ]
    frame = modelled_frame(make.frame(records)).set_index(["model", "precision"])
    assert list(frame.index) == [("counted", "bf16"), ("counted", "fp32"), ("seen", "fp32")]
    assert frame.loc[("counted", "fp32"), ["t4_says", "b200_says"]].tolist() == ["does not fit", "compute"]
    assert frame.loc[("counted", "bf16"), "t4_says"] == "no such cores"
    seen = frame.loc[("seen", "fp32")]
    assert seen["t4"] == pytest.approx(max(2 * 195_830_280_192 / 8.1e12, 10**10 / 320e9))
    assert not {column for column in frame.columns if "latency" in column}


def test_modelled_figures_enter_no_column_of_the_records():
    assert not {column for column in COLUMNS if "modelled" in column or "at_least" in column}


def test_the_table_of_modelled_hardware_says_so_in_every_row(make):
    table = modelled_table(make.frame([make.counted(make.cell(), subject=make.subject(is_default_clip=True))]))
    (row,) = table.cells()
    assert "modelled" in row
    assert len(row) == len(table.heads) == 5 + len(ALL)
    assert row[table.heads.index("T4, at least")].endswith(" c")
