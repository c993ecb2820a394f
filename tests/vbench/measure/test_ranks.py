"""Data-parallel training with real ranks: what they compute, what they tell, and that none of them stays behind."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from vbench.analysis.frame import records_frame
from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.grid import Plan, grid_from_document
from vbench.measure import data_parallel, ranks, runner
from vbench.measure.processes import started_process
from vbench.measure.protocol import WORKER, StopRule, enter_worker
from vbench.measure.ranks import RANK, threads_of, too_many
from vbench.measure.runner import Runner, Settings
from vbench.measure.subject import known_facts
from vbench.measure.support import check_plans, check_supported, impossible
from vbench.results import Counts, Failed, Measured, Skipped
from vbench.stats import median
from vbench.store import Store
from vbench.sweep import Sweep

CELL = Cell(model="c3d", frames=16, height=112, width=112, mode="train", ranks=2)
COUNTS = Counts(
    params=1, macs=1, attention_macs=0, mixing_extra_macs=0, op_bytes=1, predicted_peak_bytes=100 * 2**20
)  # fmt: skip

MODELS = """
import os
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, act=lambda: None):
        super().__init__()
        self.act, self.conv, self.norm, self.head = act, nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Linear(4, 5)

    def forward(self, video):
        if type(video) is torch.Tensor and not video.is_meta:
            self.act()
        return self.head(self.norm(self.conv(video)).mean((2, 3, 4)))


def build(clip):
    return Network()


def broken():
    if os.environ["RANK"] == "1":
        raise RuntimeError("a layer is missing")


def build_broken_on_one(clip):
    return Network(broken)
"""

PROGRAM = """
import json, os, socket
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from vbench.measure.data_parallel import clock_of_ranks, follow, in_parallel, joined, led, led_to_the_end
from vbench.measure.latency import CLOCKS
from vbench.measure.training import TrainingStep

torch.set_num_threads(1)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
os.environ |= {**address, "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
batches = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 5))


def gradients(trained, batch, accumulation=1):
    TrainingStep(trained, trained.parameters(), (batch,), accumulation=accumulation).find_gradients()
    return torch.cat([parameter.grad.flatten() for parameter in trained.parameters()])


def travelling(numbers, bucket):
    numbers.append(bucket.buffer().numel())
    return allreduce_hook(None, bucket)


def off(a, b):
    return float((a - b).norm() / b.norm())


def be(rank):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    joined("cpu")
    told = {"numbers": len(gradients(network(), batches[0]))}
    together = gradients(network(), batches.flatten(0, 1))
    for accumulation in (1, 3):
        parallel, told["batch_norm"] = in_parallel(network(), "cpu")
        parallel.register_comm_hook(travelled := [], travelling)
        own = gradients(parallel, batches[rank], accumulation)
        told[f"off_{accumulation}"], told[f"travelled_{accumulation}"] = off(own, together), sum(travelled)
    told["alone"] = off(gradients(network(), batches[rank]), together)

    CLOCKS["cpu"] = lambda run, block: [run() for _ in range(block)] and 10.0 * block + rank
    calls = []
    runs = led(lambda: calls.append("step"), lambda: calls.append("forward"))
    if rank == 0:
        with led_to_the_end():
            told["slowest"] = clock_of_ranks("cpu")(runs[0], 3)
            told["here"] = clock_of_ranks("cpu")(lambda: None, 3)
            runs[1]()
    else:
        follow(runs, "cpu")
    told["calls"] = calls
    with open(f"{__file__}.{rank}", "w") as file:
        json.dump(told, file)


for rank in range(2):
    if os.fork() == 0:
        be(rank)
        os._exit(0)
print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)])
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    file = tmp_path / "networks.py"
    file.write_text(MODELS)
    return file


def own(models: Path, function: str) -> Cell:
    return replace(CELL, model=f"{models}:{function}", frames=4, height=8, width=8, threads=1)


class Deaf:
    def say(self, line: str) -> None:
        pass

    def progress(self, done: int, total: int, left_s: float, last: str) -> None:
        pass


@pytest.fixture
def told(tmp_path: Path, run_python: Callable[[str], str]) -> list[dict[str, object]]:
    """What two ranks say that compute gradients of a batch each, then do what the first one calls."""
    assert run_python(PROGRAM) == "[0, 0]"
    return [json.loads((tmp_path / f"program.py.{rank}").read_text()) for rank in range(2)]


def test_two_ranks_have_the_gradients_of_their_joint_batch_and_do_what_the_first_one_calls(
    told: list[dict[str, float]],
) -> None:
    for rank in told:
        assert rank["off_1"] < 1e-6
        assert rank["off_3"] < 1e-6
        assert rank["alone"] > 1e-2
        assert rank["travelled_1"] == rank["travelled_3"] == rank["numbers"]  # once a step, however many batches
        assert rank["calls"] == ["step", "step", "step", "forward"]
        assert rank["batch_norm"] == ""
    assert told[0]["slowest"] == 31  # the other rank's: 10 s a step, and 1
    assert told[0]["here"] == 30


def test_a_sweep_over_ranks_tells_their_efficiency_threads_and_batch_norm(models: Path, tmp_path: Path) -> None:
    block = {
        "models": [f"{models}:build"], "frames": 4, "sizes": 8, "modes": "train", "threads": 1, "ranks": [1, 2],
        "accumulate": 2, "batch": 3,
    }  # fmt: skip
    grid = grid_from_document({"block": [block], "processes": 1, "attempts": 1}, "test")
    Sweep(grid, tmp_path / "out", Deaf()).run()
    store = Store(tmp_path / "out")
    one, two = store.records()
    assert isinstance(one, Measured)
    assert isinstance(two, Measured), two
    assert (one.cell.ranks, two.cell.ranks) == (1, 2)
    (first,) = two.processes
    assert (first.threads, first.batch_norm[:6], first.tensor_peak_bytes) == (1, "local:", None)
    assert first.backward_dtypes == ("float32",)
    assert len(first.latency_s) >= 5
    assert first.forward_s
    frame = records_frame([one, two], store.environments()).set_index("ranks")
    seconds = [median(record.processes[0].latency_s) for record in (one, two)]
    assert frame.clips_per_second[2] == pytest.approx(2 * 2 * 3 / seconds[1])
    assert frame.scaling_efficiency[2] == pytest.approx(seconds[0] / seconds[1])
    assert not ranks_below(psutil.Process())


def test_what_one_rank_does_wrong_is_the_reason_of_the_row_and_ends_the_others(models: Path) -> None:
    record = Runner(Settings(timeout_s=60.0), "here").measure(own(models, "build_broken_on_one"), COUNTS)
    assert isinstance(record, Failed)
    assert record.reason == "RuntimeError: a layer is missing"
    assert not ranks_below(psutil.Process())


def test_ranks_end_with_the_process_that_started_them(models: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WORKER])
    task = ("measure", own(models, "build"), StopRule(), 60.0)
    with started_process(context, enter_worker, *task) as (process, _):
        launcher = psutil.Process(process.pid)
        until(lambda: len(ranks_below(launcher)) == 2 and all(map(imports_torch, ranks_below(launcher))))
        alive = ranks_below(launcher)
    until(lambda: not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in alive))


def test_batch_norm_is_of_all_ranks_on_cuda_and_of_one_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_parallel, "DistributedDataParallel", lambda network: network)
    monkeypatch.setattr(data_parallel.dist, "get_rank", lambda: 0)
    networks = {device: nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)) for device in ("cuda", "cpu")}
    made = {device: data_parallel.in_parallel(network, device) for device, network in networks.items()}
    assert [type(network[1]) for network, _ in made.values()] == [nn.SyncBatchNorm, nn.BatchNorm3d]  # type: ignore[index]
    assert [said[:5] for _, said in made.values()] == ["synch", "local"]


def ranks_below(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if RANK in child.cmdline()]


def imports_torch(rank: psutil.Process) -> bool:
    """Whether it has its task, and is past what a rank does at once."""
    return "libtorch" in Path(f"/proc/{rank.pid}/maps").read_text()


def until(holds: Callable[[], bool], patience_s: float = 30.0) -> None:
    end_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end_s, "it never came to that"
        time.sleep(0.02)


def test_ranks_share_out_the_cores_unless_threads_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "usable_cores", lambda: 7)
    assert [threads_of(replace(CELL, ranks=number)) for number in (2, 3, 7)] == [3, 2, 1]
    assert threads_of(replace(CELL, threads=2)) == 2
    assert threads_of(replace(CELL, ranks=1)) == 0
    assert not any(map(too_many, (replace(CELL, ranks=7), replace(CELL, ranks=3, threads=2), replace(CELL, ranks=1))))
    assert too_many(replace(CELL, ranks=8)) == "ranks 8 need 8 cores; this machine has 7"
    assert too_many(replace(CELL, ranks=2, threads=4)) == "ranks 2 of 4 threads need 8 cores; this machine has 7"


def test_each_rank_needs_a_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert not too_many(replace(CELL, device="cuda"))
    assert too_many(replace(CELL, device="cuda", ranks=3)) == "ranks 3 need a CUDA device each; this machine has 2"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "infer"}, "ranks '2' does not go with mode 'infer'; it takes 1"),
        ({"backend": "compile"}, "ranks '2' does not go with backend 'compile'; it takes 1"),
    ],
)
def test_ranks_only_train_and_only_in_eager_mode(changes: dict[str, str], says: str) -> None:
    assert impossible(replace(CELL, **changes)) == says  # type: ignore[arg-type]
    assert not impossible(CELL)


def plans(**axes: object) -> list[Plan]:
    block = {"models": ["c3d"], "frames": 16, "sizes": 112, "modes": "train", **axes}
    grid = grid_from_document({"block": [block]}, "here")
    return grid.plans(known_facts(grid.models()))


def test_too_many_ranks_are_refused_by_flag_and_a_row_in_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "usable_cores", lambda: 2)
    asked = plans(ranks=[1, 2, 4])
    with pytest.raises(AxisError, match="ranks 4 need 4 cores; this machine has 2"):
        check_plans(asked, each_value=True)
    check_plans(asked, each_value=False)
    check_plans(asked, each_value=True, elsewhere=True)
    with pytest.raises(AxisError, match="ranks 4 need 4 cores"):
        check_supported(replace(CELL, ranks=4))
    record = Runner(Settings(), "here").measure(replace(CELL, ranks=4), COUNTS)
    assert isinstance(record, Skipped)
    assert record.reason == "ranks 4 need 4 cores; this machine has 2"


def test_ranks_on_a_processor_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "usable_cores", lambda: 4)
    monkeypatch.setattr(runner, "available_bytes", lambda: 1000 * 2**20)
    record = Runner(Settings(floor_bytes=200 * 2**20), "here").measure(replace(CELL, ranks=4), COUNTS)
    assert isinstance(record, Skipped)
    assert "1.17 GiB needed" in record.reason
