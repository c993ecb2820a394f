"""A cell in a process like a user's own: imports torch and the network, runs some forwards, says what it took.

Nothing of the harness runs in it, no clock and no dispatch mode, so that its memory is that of the network and of
torch. Another process may end it when it grows beyond a limit: VmHWM, the kernel's own high-water mark, never falls, so
that looking at it now and then misses nothing. Forwards run under `no_grad`, as they are predicted: autocast keeps the
casts of parameters there, and makes them anew for every operator in inference mode.

    python -m vbench.measure.lone_process '{"model": "c3d", "frames": 16, ...}' [FORWARDS]
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vbench.cell import Cell, cell_from_json

LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Life:
    """How a process ended, and the most memory that it had."""

    peak_bytes: int
    is_complete: bool
    ended: str  # "completed", "passed the limit", "timed out", or how it failed


def live(cell: Cell, forwards: int = 3, *, limit_bytes: int | None = None, timeout_s: float = 600.0) -> Life:
    """Run `cell` in a process of its own, and end that where its resident memory passes the limit."""
    command = [sys.executable, "-m", __name__, json.dumps(cell.to_json()), str(forwards)]
    deadline_s, peak_bytes = time.monotonic() + timeout_s, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, high_water_bytes(process.pid))
            if limit_bytes is not None and peak_bytes > limit_bytes:
                process.kill()
                return Life(peak_bytes, is_complete=False, ended="passed the limit")
            if time.monotonic() > deadline_s:
                process.kill()
                return Life(peak_bytes, is_complete=False, ended="timed out")
            time.sleep(LOOK_S)
        said, complaint = process.communicate()
    if process.returncode:
        last = (complaint.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return Life(peak_bytes, is_complete=False, ended=last)
    return Life(int(said), is_complete=True, ended="completed")


def high_water_bytes(pid: int) -> int:
    """VmHWM of a process; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else 0


def main() -> None:
    """Be the process."""
    import torch

    from vbench.measure.inputs import network_input
    from vbench.measure.kernels import kernel_context
    from vbench.measure.precision import PARAMETER_DTYPE, precision_context
    from vbench.measure.subject import all_inputs, build_network

    cell, forwards = cell_from_json(json.loads(sys.argv[1])), int(sys.argv[2])
    if cell.threads:
        torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    network = build_network(cell, torch.device(cell.device)).to(PARAMETER_DTYPE[cell.precision])
    inputs = all_inputs(network, network_input(cell))
    with precision_context(cell.precision, cell.device), kernel_context(cell.kernel), torch.no_grad():
        for _ in range(forwards):
            network(*inputs)
    sys.stdout.write(str(high_water_bytes(os.getpid())))


if __name__ == "__main__":
    main()
