"""Small models of a user's own that do what networks do wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MODELS = """
import os, signal, time
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, forward=None):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.act = forward

    def forward(self, video):
        if not video.is_meta and type(video) is torch.Tensor and self.act is not None:
            self.act()
        return video * self.scale


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def no_memory():
    torch.empty(2**60)


def broken():
    raise RuntimeError("a layer is missing\\nand more lines")


def build(clip):
    return Network()


def build_slow(clip):
    return Network(lambda: time.sleep(0.2))


def build_endless(clip):
    return Network(lambda: time.sleep(1000))


def build_crash(clip):
    return Network(crash)


def build_killed(clip):
    return Network(killed)


def build_no_memory(clip):
    return Network(no_memory)


def build_broken(clip):
    return Network(broken)


def build_uncounted(clip):
    class Odd(nn.Module):
        def forward(self, video):
            return torch.cdist(video, video)
    return Odd()


def build_huge(clip):
    class Huge(nn.Module):
        def forward(self, video):
            return torch.zeros(2**45, device=video.device)
    return Huge()
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A file of networks; name one as f"{models}:build"."""
    file = tmp_path / "my_models.py"
    file.write_text(MODELS)
    return file


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[[str], str]:
    """Runs a program in a fresh interpreter and gives back what it printed."""

    def run(code: str) -> str:
        program = tmp_path / "program.py"
        program.write_text(code)
        done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=120)
        return done.stdout.strip()

    return run
