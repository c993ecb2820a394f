"""The table of precisions, training steps and back ends, from synthetic records."""

from __future__ import annotations

import pytest

from vbench.analysis.techniques import techniques_frame
from vbench.report.techniques import techniques_table


def test_each_setting_stands_beside_the_plain_cell_of_the_same_clip(make) -> None:
    cell = make.cell()
    frame = make.frame([
        make.measured(cell, 0.2),
        make.measured(make.cell(precision="bf16"), 0.1),
        make.measured(make.cell(precision="bf16", frames=16), 0.3),
        make.measured(make.cell(mode="train"), 0.6),
        make.measured(make.cell(mode="train", checkpointing=True, accumulation=4), 3.0),
        make.failed(make.cell(backend="onnx")),
    ])  # fmt: skip
    rows = techniques_frame(frame).set_index("setting")["times_plain"]
    assert rows["b1 fp32 train eager checkpointing 4 accumulated"] == pytest.approx(5)
    assert rows["b1 fp32 train eager"] == pytest.approx(1)
    bf16 = rows["b1 bf16 infer eager"]
    assert sorted(bf16.isna()) == [False, True]
    assert bf16.min() == pytest.approx(0.5)
    assert len(rows) == 4


def test_what_processes_saw_beside_the_latency_has_its_columns(make) -> None:
    runs = [
        make.process(
            (0.2,) * 3, forward_s=(0.05, 0.06, 0.05), compile_s=12.0, serialized_bytes=2**20, logit_error=0.004
        ),
        make.process((0.2,) * 3, forward_s=(0.07, 0.07, 0.07), compile_s=14.0),
    ]
    frame = make.frame([make.measured(make.cell(backend="compile"), processes=runs)])
    row = frame.iloc[0]
    seen = (row.forward_median_s, row.compile_s, row.serialized_bytes, row.logit_error)
    assert seen == pytest.approx((0.06, 13.0, 2**20, 0.004))
    text = dict(zip(techniques_table(frame).heads, techniques_table(frame).cells()[0], strict=True))
    assert (text["forward"], text["compilation"], text["distance"], text["saved"]) == (
        "60.0 ms", "13.0 s", "0.004", "1.00 MiB",
    )  # fmt: skip


def test_nothing_special_makes_no_table(make) -> None:
    assert techniques_frame(make.frame([make.measured(make.cell())])).empty


def test_a_step_takes_in_every_batch_that_it_accumulates(make) -> None:
    row = make.frame([make.measured(make.cell(mode="train", batch=2, accumulation=4), 0.5)]).iloc[0]
    assert row.clips_per_second == pytest.approx(16)
