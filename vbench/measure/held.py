"""An object in hand (a module, an attention function) under a name that every part of vbench takes.

Fresh processes cannot be handed an object, only told where to find it. So it is written down once, by cloudpickle,
which also takes lambdas and classes of a notebook or a test; beside it lies a file of a few lines that reads it back,
and `that_file.py:build` is a user's model like any other.
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import nn

from vbench.errors import AxisError, VbenchError
from vbench.measure.user_models import DEFAULT_WIDTH

Subject = str | nn.Module | Callable[..., Any]

READER = '''"""What vbench was handed; its content has the digest {digest}."""
import torch

def {function}(*_):
    return torch.load({path!r}, map_location=torch.get_default_device(), weights_only=False)
'''


class Called(nn.Module):
    """A plain function on tokens `b t h w c` as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, tokens: torch.Tensor) -> Any:
        """`b t h w c` in and out."""
        return self.function(tokens)


@contextmanager
def named(subject: Subject, dim: int | None = None) -> Iterator[str]:
    """The name of `subject` while the context lasts; a name is its own.

    A function is taken for attention on tokens `b t h w c`, `dim` channels wide (768 if not said). A module is one,
    too, if it keeps the shape of such tokens; else it is a network on video `b c t h w`.

    Raises:
        AxisError: it is neither a name, a module nor a function; or it cannot be written down.
    """
    if isinstance(subject, str):
        yield subject
        return
    if not callable(subject):
        raise AxisError(f"a name, a module or a function is wanted; got {type(subject).__name__}")
    width = _width(subject, dim)
    module = subject if isinstance(subject, nn.Module) else Called(subject)
    with tempfile.TemporaryDirectory(prefix="vbench-held-") as directory:
        function = "build" if width is None else f"build_pattern_{width}"
        title = label(subject)
        name = _write(module, Path(directory), title, function)
        try:
            yield name
        except VbenchError as error:  # whoever reads it knows the object, not the file
            raise type(error)(str(error).replace(name, title)) from error


def label(subject: Subject) -> str:
    """What a subject is called in an answer."""
    if isinstance(subject, str):
        return subject
    name = getattr(subject, "__name__", type(subject).__name__)
    return re.sub(r"\W+", "_", name).strip("_") or "function"


def _write(module: nn.Module, directory: Path, title: str, function: str) -> str:
    content = io.BytesIO()
    try:
        torch.save(module, content, pickle_module=cloudpickle)
    except Exception as error:  # pickling runs the object's own code, which may fail in any way
        raise AxisError(f"{title} cannot be handed to a fresh process: {error}") from None
    kept, reader = directory / f"{title}.pt", directory / f"{title}.py"
    kept.write_bytes(content.getbuffer())
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    reader.write_text(READER.format(digest=digest, function=function, path=str(kept)), encoding="utf-8")
    return f"{reader}:{function}"


def _width(subject: Callable[..., Any], dim: int | None) -> int | None:
    """Channels of the tokens that it takes; None: it takes a video."""
    if not isinstance(subject, nn.Module):
        return dim or DEFAULT_WIDTH
    width = dim or _first_width(subject)
    return width if dim or _keeps_tokens(subject, width) else None


def _first_width(module: nn.Module) -> int:
    """Of the first matrix: as wide as what goes in."""
    return next((int(each.shape[-1]) for each in module.parameters() if each.dim() == 2), DEFAULT_WIDTH)


def _keeps_tokens(module: nn.Module, width: int) -> bool:
    tokens = torch.empty(1, 2, 4, 4, width, device="meta")
    try:
        with torch.no_grad():
            out = copy.deepcopy(module).to("meta")(tokens)
    except Exception:  # whatever it says to tokens, it does not take them
        return False
    return isinstance(out, torch.Tensor) and out.shape == tokens.shape
