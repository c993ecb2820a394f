"""Observed memory, in fresh processes: what a process freed before stays resident, and would hide a new peak."""

import subprocess
import sys

MIB = 2**20


def printed_bytes(code: str) -> int:
    head = "import torch; from vbench.measure.memory import peak_on_cpu, status_bytes; torch.ones(9).sum(); "
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_peak_holds_a_tensor_that_is_gone_afterwards() -> None:
    code = "rss = status_bytes('VmRSS'); print(peak_on_cpu(lambda: torch.ones(16 * 2**20).sum()).process_bytes - rss)"
    assert 60 * MIB < printed_bytes(code) < 90 * MIB  # 16 Mi numbers of 4 bytes


def test_an_earlier_peak_does_not_count() -> None:
    code = "torch.ones(64 * 2**20).sum(); rss = status_bytes('VmRSS'); print(peak_on_cpu(int).process_bytes - rss)"
    assert printed_bytes(code) < 30 * MIB
