"""Records as JSON: what this version writes, and what an earlier one wrote."""

from __future__ import annotations

import json
from dataclasses import asdict

from vbench.results import process_from_json, record_from_json, record_to_json

NEW = ("warmup_stop", "clock_resolution_s", "clock_cost_s", "probe_s", "disturbance")


def test_a_record_comes_back_from_json_as_it_was(make) -> None:
    run = make.process(
        probe_s=(1e-4, 2e-4, 1e-4, 2e-4), disturbance={"others_cores": 0.5}, warmup_stop="flat", clock_cost_s=1e-7
    )
    record = make.measured(make.cell(), processes=[run])
    assert record_from_json(json.loads(json.dumps(record_to_json(record)))) == record


def test_a_process_of_a_version_that_saw_less_loads_as_one_that_saw_nothing(make) -> None:
    run = make.process()
    older = {name: value for name, value in asdict(run).items() if name not in NEW}
    assert process_from_json(older) == run
    assert (run.probe_s, run.disturbance, run.clock_cost_s) == ((), {}, None)
