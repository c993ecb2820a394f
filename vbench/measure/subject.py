"""From a cell to the network that it names, and what the catalog says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from vbench.cell import Cell
from vbench.errors import AxisError, UnknownNameError
from vbench.grid import Extent, ModelFacts
from vbench.measure.user_models import announced, faults_in_one_line, is_users, user_builder, user_card, user_width
from vbench.results import Subject
from vbench_models import Clip, TokenGrid
from vbench_models import card_of as catalog_card
from vbench_models import load as catalog_builder
from vbench_models.card import Card
from vbench_models.loading import CORE, names
from vbench_models.video import ModelError, token_grid

if TYPE_CHECKING:
    import torch
    from torch import nn

PATTERN_DIM, PATTERN_HEADS = 768, 12  # bare patterns have the width of ViT-B: head dimension 64


def card_of(name: str) -> Card:
    """The catalog's card, or what can be said of a user's own code; imports no torch.

    Raises:
        UnknownNameError: no such model.
    """
    if is_users(name):
        return user_card(name)
    try:
        return catalog_card(name)
    except ModelError as error:
        raise UnknownNameError(str(error)) from None


def load(name: str) -> Callable[..., Any]:
    """The builder of a catalog's model or of a user's own."""
    return user_builder(name) if is_users(name) else catalog_builder(name)


def known_facts(asked: Iterable[str]) -> dict[str, ModelFacts]:
    """What a grid must know of every name in the catalog, and of the user's own among those asked for."""
    own = (name for name in asked if is_users(name))
    return {name: facts(name) for name in (*names(), *announced(), *own)}


def facts(name: str) -> ModelFacts:
    """The unit and the default extent of one model.

    Raises:
        UnknownNameError: no such model.
    """
    card = card_of(name)
    if card.default_grid:
        grid = card.default_grid
        return ModelFacts(unit="tokens", default=(grid.t, grid.h, grid.w))
    clip = card.default_clip
    assert clip is not None, f"the card of {name} has neither a clip nor a grid"
    return ModelFacts(unit="pixels", default=(clip.frames, clip.height, clip.width))


def cell_named(
    name: str,
    *,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    grid: Extent | None = None,
    **axes: Any,
) -> Cell:
    """The cell of a model at its default clip or grid, but for what is given: frames and pixels, or tokens.

    Raises:
        UnknownNameError: no such model.
        AxisError: pixels for a pattern, tokens for a network, or an axis' value that cannot be.
    """
    known = facts(name)
    if known.unit == "tokens" and any((frames, height, width)):
        raise AxisError(f"{name} is an attention pattern: it takes --grids T x H x W, not --frames and --size")
    if known.unit == "pixels" and grid:
        raise AxisError(f"{name} is a network: it takes --frames and --size, not --grids")
    asked = grid or (frames, height, width)
    t, h, w = (default if given is None else given for given, default in zip(asked, known.default, strict=True))
    return Cell(model=name, frames=t, height=h, width=w, unit=known.unit, **axes)


def subject_of(cell: Cell) -> Subject:
    """What the record of `cell` says of its model; imports no torch."""
    card = card_of(cell.model)
    extent: Extent = (cell.frames, cell.height, cell.width)
    return Subject(
        kind=card.kind,
        family=card.family,
        title=card.title,
        stride=card.stride,
        is_default_clip=extent == facts(cell.model).default,
    )


def token_extent(cell: Cell) -> Extent | None:
    """(t, h, w) of the cell's token grid; None where the model has none of constant pitch."""
    if cell.unit == "tokens":
        return (cell.frames, cell.height, cell.width)
    tubelet = card_of(cell.model).tubelet_size
    clip = _clip(cell)
    if tubelet is None or any(
        extent % size for extent, size in zip((clip.frames, clip.height, clip.width), tubelet, strict=True)
    ):
        return None
    grid = token_grid(clip, tubelet)
    return (grid.t, grid.h, grid.w)


def build_network(cell: Cell, device: AbstractContextManager[object] | None = None) -> nn.Module:
    """The cell's network in evaluation mode, built under `device` (a `torch.device` is a context).

    For training, what acts in training mode alone is in place: stochastic depth, and checkpointing if it is asked for.

    Raises:
        AxisError: the model does not take such a clip; the message says what it takes. Or it has no blocks to
            checkpoint.
    """
    builder = load(cell.model)
    try:
        with faults_in_one_line(cell.model), device or nullcontext():
            if cell.unit == "tokens":
                grid = TokenGrid(cell.frames, cell.height, cell.width)
                network: nn.Module = builder(grid, *pattern_width(cell.model))
            else:
                network = builder(_clip(cell))
    except ModelError as error:
        raise AxisError(f"{cell.model}: {error} (supported: {card_of(cell.model).supports})") from None
    if cell.mode == "train":
        _equip_for_training(network, cell)
    return network.eval()


def _equip_for_training(network: nn.Module, cell: Cell) -> None:
    from vbench.measure.checkpointing import checkpoint_blocks
    from vbench.measure.stochastic_depth import drop_paths

    drop_paths(network)
    if cell.checkpointing:
        checkpoint_blocks(network)


def input_shape(cell: Cell) -> torch.Size:
    """The shape of the cell's one input: `b c t h w` pixels, `b t h w c` tokens, or `b t h w 3c` for a bare core."""
    from torch import Size

    extent = (cell.frames, cell.height, cell.width)
    if cell.unit == "pixels":
        return Size((cell.batch, card_of(cell.model).channels, *extent))
    parts = 3 if cell.model.startswith(CORE) else 1
    return Size((cell.batch, *extent, parts * pattern_width(cell.model)[0]))


def pattern_width(name: str) -> tuple[int, int]:
    """Channels and heads of a bare pattern."""
    return user_width(name) if is_users(name) else (PATTERN_DIM, PATTERN_HEADS)


def all_inputs(network: nn.Module, video: torch.Tensor) -> tuple[object, ...]:
    """The video, and what else the network says it takes with it: memory, masks, a second view, sound."""
    further = getattr(network, "further_inputs", None)
    return (video, *further(video)) if further else (video,)


def _clip(cell: Cell) -> Clip:
    return Clip(batch=cell.batch, frames=cell.frames, height=cell.height, width=cell.width)
