"""Back ends and precisions: what comes out is held against eager, and what cannot go in says why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch._inductor.config as inductor
from torch import Tensor, nn

from vbench.cell import Cell
from vbench.errors import BackendError
from vbench.measure.backends import check_faithful, converted, ready_compiler
from vbench.measure.faithfulness import distance, serialized_bytes
from vbench.measure.kernels import UNSEEN, kernel_in_profile
from vbench.measure.prepare import build, prepare
from vbench.measure.protocol import StopRule
from vbench.measure.quantised import quantised, spared_bytes
from vbench.measure.runner import Runner, Settings
from vbench.results import Counts, Failed, Measured, Record

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters and compilers warn of their own deprecations
JOINT = Cell(model="joint", frames=2, height=4, width=4, unit="tokens")


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 1, 8)).unbind(-3)
        heads = (each.transpose(-2, -3) for each in (q, k, v))
        return nn.functional.gelu(nn.functional.scaled_dot_product_attention(*heads))


class Fickle(nn.Module):
    """Another result with every call: a tracer sees the number of the call it watched."""

    calls = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Undecided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1


@pytest.fixture(autouse=True)
def _compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the compiler's settings stays, and it need not find out what the processor can do."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with inductor.patch({"compile_threads": 1, "cpp.vec_isa_ok": True, "cpp_cache_precompile_headers": False}):
        yield


@pytest.mark.parametrize("backend", ["compile", "export", "torchscript", "onnx"])
def test_every_back_end_computes_what_eager_does_with_the_kernel_that_is_seen(backend: str, tmp_path: Path) -> None:
    network, x = Attending().eval(), torch.randn(1, 16, 8)
    if backend == "compile":
        ready_compiler(tmp_path)
    run = converted(backend, network, (x,), tmp_path)
    with torch.inference_mode():
        output, eager = run(), network(x)
    check_faithful(backend, "fp32", output, eager)
    with pytest.raises(BackendError, match=f"back end '{backend}' gives another output than eager: relative distance"):
        check_faithful(backend, "fp32", output, 1.1 * eager)
    assert kernel_in_profile(run) == (UNSEEN if backend == "onnx" else "flash")
    assert bool(list(tmp_path.glob("inductor/*/*.cpp"))) == (backend == "compile")  # from an empty cache of its own


def test_what_a_killed_process_left_is_cleared_away_and_nothing_of_a_living_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as dead:
        pass
    for owner in (dead.pid, os.getpid()):
        (tmp_path / f"vbench-run-{owner}-left" / "inductor").mkdir(parents=True)
    cell = replace(JOINT, backend="torchscript")
    with ExitStack() as stack:
        prepare(cell, *build(cell), stack)
        assert len(list(tmp_path.iterdir())) == 2
    assert [left.name for left in tmp_path.iterdir()] == [f"vbench-run-{os.getpid()}-left"]


def test_a_network_that_a_back_end_cannot_follow_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError) as error:
        converted("export", Undecided(), (torch.randn(3),), tmp_path)
    assert str(error.value).startswith("back end 'export' does not take it: ")
    assert "data-dependent" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trace_of_what_changes_is_not_timed(tmp_path: Path) -> None:
    network, x = Fickle(), torch.ones(3)
    eager = network(x)
    with pytest.raises(BackendError, match=r"relative distance 1, at most 0\.001"):
        check_faithful("torchscript", "fp32", converted("torchscript", network, (x,), tmp_path)(), eager)


def test_other_shapes_are_another_output() -> None:
    with pytest.raises(BackendError, match=r"shapes \(2,\); eager returns \(3,\)"):
        distance(torch.ones(2), torch.ones(3))


def test_a_distance_is_a_share_of_the_reference_s_length() -> None:
    reference = {"logits": torch.tensor([3.0, 4.0]), "labels": torch.tensor([7])}
    assert distance({"logits": torch.tensor([3.0, 4.5]), "labels": torch.tensor([8])}, reference) == 0.1


def test_serialized_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    network = Attending()
    torch.save(network.state_dict(), tmp_path / "network.pt")
    size = (tmp_path / "network.pt").stat().st_size
    assert serialized_bytes(network) == pytest.approx(size, abs=64)  # the file's own name is in it


def test_int8_stores_linear_layers_in_a_quarter_and_stays_near_fp32() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 256)).eval(), torch.randn(32, 256)
    before, exact, spared = serialized_bytes(network), network(x), spared_bytes(network)
    with torch.inference_mode():
        rough = quantised(network)(x)
    assert before - serialized_bytes(network) == pytest.approx(spared, rel=0.02)
    assert 0 < distance(rough, exact) < 0.05


def test_a_compiled_step_trains(tmp_path: Path) -> None:
    file = tmp_path / "small.py"
    file.write_text(
        "from torch import nn\ndef build(clip):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 5))\n"
    )
    cell = Cell(model=f"{file}:build", frames=2, height=4, width=4, mode="train", backend="compile")
    network, inputs = build(cell)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with ExitStack() as stack:
        ready = prepare(cell, network, inputs, stack)
        assert ready.compile_s is not None
        assert all((old != new).any() for old, new in zip(before, network.parameters(), strict=True))


def measure(cell: Cell) -> Record:
    runner = Runner(Settings(processes=1), "here")
    ((_, counts),) = runner.count([cell])
    assert isinstance(counts, Counts)
    return runner.measure(cell, counts)


@pytest.mark.parametrize(
    ("changes", "largest"),
    [({"precision": "bf16_pure"}, 0.05), ({"precision": "int8"}, 0.05), ({"backend": "onnx"}, 1e-3)],
    ids=str,
)  # fmt: skip
def test_a_measured_cell_says_how_far_it_is_from_eager_fp32_and_what_it_takes_when_saved(
    changes: dict[str, str], largest: float
) -> None:
    record = measure(replace(JOINT, **changes))
    assert isinstance(record, Measured), record
    (run,) = record.processes
    assert run.logit_error is not None
    assert 0 < run.logit_error < largest
    parameter_bytes = {"int8": 1, "bf16_pure": 2}.get(changes.get("precision", ""), 4) * record.counts.params
    assert run.serialized_bytes == pytest.approx(parameter_bytes, rel=0.02)
    assert (run.compile_s is None) == ("backend" not in changes)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_a_trained_cell_times_its_forward_apart_and_names_the_type_of_its_backward(precision: str, dtype: str) -> None:
    record = measure(replace(JOINT, mode="train", precision=precision))
    assert isinstance(record, Measured), record
    (run,) = record.processes
    assert len(run.forward_s) >= 3
    assert run.backward_dtypes == (dtype,)
    assert run.logit_error is None
    assert run.tensor_peak_bytes is not None


def test_what_a_back_end_cannot_take_is_a_failed_row_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "undecided.py"
    file.write_text(
        "from torch import nn\nclass Network(nn.Module):\n    def forward(self, x):\n"
        "        return x if x.is_meta or x.sum() > 0 else -x\ndef build(clip):\n    return Network()\n"
    )
    record = measure(Cell(model=f"{file}:build", frames=1, height=2, width=2, backend="export"))
    assert isinstance(record, Failed)
    assert record.reason.startswith("back end 'export' does not take it: ")


def test_only_the_first_process_of_a_cell_compares() -> None:
    assert StopRule().watch_tensors  # what a rule asks of the first process, `Runner` of no other
    runner = Runner(Settings(processes=2), "here")
    ((cell, counts),) = runner.count([replace(JOINT, precision="bf16")])
    assert isinstance(counts, Counts)
    record = runner.measure(cell, counts)
    assert isinstance(record, Measured)
    assert [run.logit_error is None for run in record.processes] == [False, True]
