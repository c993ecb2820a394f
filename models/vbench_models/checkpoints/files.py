"""A checkpoint file as tensors by name: safetensors, or what `torch.save` wrote, of which only tensors are read."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vbench_models.video import ModelError

WRAPPERS = ("model_state", "state_dict", "model_state_dict", "module", "model")  # what holds the weights, beside others
PREFIXES = ("module.", "model.")  # of networks that were wrapped in another one


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in `path` by their own names, without the wrappers that training puts around them.

    Raises:
        ModelError: there is no such file, it is not a checkpoint, or it holds more than tensors.
    """
    if not path.is_file():
        raise ModelError(f"no checkpoint at {path}")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise ModelError(f"{path.name} holds no state dict, but {type(content).__name__}")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{path.name} holds no tensors; its keys: {', '.join(list(map(str, content))[:5]) or 'none'}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ModelError(
            f"reading {path.name} needs the package safetensors: pip install 'vbench-attention[checkpoints]'"
        ) from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is no safetensors file: {_first_line(error)}") from None


def _torch_file(path: Path) -> object:
    """What torch saved; the arguments of a training script, which publishers keep beside the weights, are let in."""
    try:
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path.name} holds more than tensors, or is no checkpoint, and is not opened: {_first_line(error)}"
        ) from None
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise ModelError(f"{path.name} is no checkpoint of torch: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
