"""Where a measurement is made: hardware, software and the project's own commit."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import psutil

from vbench.results import Environment

PACKAGES = ("numpy", "einops", "fvcore")
EXTRAS = ("onnxruntime",)  # it computes, too, where it is installed
DECISIVE = ("hardware", "cores", "threads", "torch", "commit", "user_source")  # what changes a figure


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def environment(device: str = "cpu", threads: int = 0, user_source: str = "") -> Environment:
    """Describe this machine; asks torch only for what CUDA alone knows.

    The fingerprint covers what changes a figure: `DECISIVE`.
    """
    described = Environment(
        fingerprint="",
        hardware=_processor(),
        cores=usable_cores(),
        threads=threads or usable_cores(),
        memory_bytes=memory_bytes(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=metadata.version("torch"),
        packages={name: metadata.version(name) for name in PACKAGES} | _extras(),
        commit=project_commit(),
        host=socket.gethostname(),
        user_source=user_source,
    )
    if device == "cuda":
        described = _with_accelerator(described)
    return replace(described, fingerprint=_fingerprint(described))


def kind_of(described: Environment) -> str:
    """What the environment is, whatever its host: two machines of one kind may do each other's cells."""
    return _fingerprint(described)


def of_one_host(described: Environment) -> Environment:
    """The environment under a fingerprint that its host shares with no other.

    On a fleet, hosts of one kind have a pace and a drift each: their processes are no repetitions of each other.
    """
    own = hashlib.sha256(f"{kind_of(described)} {described.host}".encode()).hexdigest()[:12]
    return replace(described, fingerprint=own)


def _extras() -> dict[str, str]:
    """The versions of the optional packages that are here."""
    found = {}
    for name in EXTRAS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _fingerprint(described: Environment) -> str:
    decisive = [getattr(described, fact) for fact in DECISIVE]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:12]


def code_of(environment: Environment) -> str:
    """What changes a count, and no more: the project's commit, torch and a user's own source."""
    return "/".join((environment.commit, environment.torch, environment.user_source))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or its control group's if that is less."""
    total = int(psutil.virtual_memory().total)
    return min([total, *_cgroup_limits()])


def available_bytes() -> int:
    """Memory that is free for a new process now."""
    in_use = memory_bytes() - int(psutil.virtual_memory().total) + int(psutil.virtual_memory().available)
    return max(0, in_use)


def _cgroup_limits() -> list[int]:
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text().strip() if path.exists() else "max"
    return [] if text == "max" else [int(text)]


def _processor() -> str:
    match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return match[1].strip() if match else platform.machine()


def _with_accelerator(described: Environment) -> Environment:
    import torch

    properties = torch.cuda.get_device_properties(0)
    return replace(
        described,
        hardware=properties.name,
        accelerator=properties.name,
        accelerator_memory_bytes=properties.total_memory,
        cuda=str(torch.version.cuda),
    )


def project_commit() -> str:
    """The commit of the checkout that this code runs from, `+changes` marked; the version where it is no checkout."""
    root = Path(__file__).parents[2]
    commit = _git(root, "rev-parse", "--short=12", "HEAD") if (root / ".git").exists() else ""
    if not commit:
        return f"v{metadata.version('vbench-attention')}"
    changes = _git(root, "diff", "HEAD", "--", "vbench", "models")
    return f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else commit


def _git(root: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
