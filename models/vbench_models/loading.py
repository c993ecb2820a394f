"""From a name to a builder.

Four forms of a name:

- `timesformer_b`, an architecture: its builder takes a `Clip` and returns a network on `b c t h w`;
- `divided`, an attention pattern: its builder takes `(grid, dim, num_heads)` and returns a module on `b t h w c`;
- `core:divided`, the pattern's bare attention on given q, k, v, without any projection;
- `backbone:divided`, the neutral ViT with the pattern in every block: its builder takes a `Clip`; its norms stand
  elsewhere in `backbone_post_norm:divided` and `backbone_adaptive_norm:divided`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vbench_models.card import Card
from vbench_models.catalog import ARCHITECTURES, BACKBONES, MODULES, PATTERNS
from vbench_models.video import Clip, UnknownModelError, unknown

CORE = "core:"
IN_BACKBONE = "backbone:"
PREFIXES = (CORE, *(f"{backbone}:" for backbone in BACKBONES))


def card_of(name: str) -> Card:
    """The catalog's card for `name`, in any of the four forms.

    Raises:
        UnknownModelError: no such name; the message offers the nearest one.
    """
    backbone, colon, pattern_name = name.partition(":")
    if colon and backbone in BACKBONES:
        around, pattern = BACKBONES[backbone], _pattern(pattern_name)
        return replace(
            around,
            title=f"{around.title}, {pattern.title.lower()}",
            reference=f"{around.reference}; pattern: {pattern.reference}",
            claimed=pattern.claimed,
        )
    if name.startswith(CORE):
        pattern = _pattern(pattern_name)
        return replace(pattern, title=f"{pattern.title}: attention on given q, k, v")
    for shelf in (ARCHITECTURES, PATTERNS, MODULES):
        if name in shelf:
            return shelf[name]
    raise UnknownModelError(unknown("model", name, names()))


def names() -> list[str]:
    """Every name that `card_of` knows."""
    forms = [prefix + pattern for prefix in PREFIXES for pattern in PATTERNS]
    return [*ARCHITECTURES, *PATTERNS, *MODULES, *forms]


def load(name: str) -> Callable[..., Any]:
    """The builder of `name`; imports torch and the one file that the card names.

    Raises:
        UnknownModelError: no such name.
    """
    card = card_of(name)
    if not name.startswith(PREFIXES):
        return _resolve(card.builder)
    around = "vbench_models.attention.core:build" if name.startswith(CORE) else card.builder
    return partial(_resolve(around), load(name.partition(":")[2]))


def load_checkpoint(name: str, path: str | Path, clip: Clip | None = None) -> Any:
    """The network `name` with the weights of a public checkpoint, in evaluation mode, for its card's clip or `clip`.

    The file is safetensors or what `torch.save` wrote, with the keys of the official code or of a peer library.

    Raises:
        UnknownModelError: no such name.
        UnsupportedClipError: the network does not take the clip.
        ModelError: no public checkpoint is known for it, or the file cannot be read or is not one of them.
    """
    return _resolve("vbench_models.checkpoints.loading:load_checkpoint")(name, path, clip)


def _pattern(name: str) -> Card:
    if name not in PATTERNS:
        raise UnknownModelError(unknown("pattern", name, PATTERNS))
    return PATTERNS[name]


def _resolve(builder: str) -> Callable[..., Any]:
    module, function = builder.split(":")
    resolved: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return resolved
