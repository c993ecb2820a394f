"""Observed memory, in fresh processes: what a process freed before stays resident, and would hide a new peak."""

import subprocess
import sys

import torch

from vbench.measure.memory import allocated_peak, bytes_of, peak_on_cpu

MIB = 2**20


def printed_bytes(code: str) -> int:
    head = "import torch; from vbench.measure.memory import resident_peak, status_bytes; torch.ones(9).sum(); "
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_peak_holds_a_tensor_that_is_gone_afterwards() -> None:
    code = "rss = status_bytes('VmRSS'); print(resident_peak(lambda: torch.ones(16 * 2**20).sum()) - rss)"
    assert 60 * MIB < printed_bytes(code) < 90 * MIB  # 16 Mi numbers of 4 bytes


def test_an_earlier_peak_does_not_count() -> None:
    code = "torch.ones(64 * 2**20).sum(); rss = status_bytes('VmRSS'); print(resident_peak(int) - rss)"
    assert printed_bytes(code) < 30 * MIB


def test_the_tensor_peak_holds_what_is_held_before_and_every_block_alive_at_once() -> None:
    x = torch.zeros(1000)

    def run() -> torch.Tensor:
        doubled = x + x
        return (doubled + x)[:10]

    assert peak_on_cpu(run, lambda: x).tensor_bytes == 3 * x.nbytes


def test_temporaries_inside_an_operator_are_seen() -> None:
    scores = torch.zeros(8, 100, 100).transpose(1, 2)  # of which softmax makes a contiguous copy
    assert allocated_peak(lambda: scores.softmax(-1)) == 2 * scores.nbytes


def test_tensors_that_share_memory_are_held_once() -> None:
    x = torch.zeros(1000)
    assert bytes_of({"x": x, "part": x[:10], "rest": [x.view(10, 100)]}) == x.nbytes
