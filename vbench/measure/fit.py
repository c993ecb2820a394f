"""The longest clip that fits a memory, from predicted process peaks; nothing is run but one small product of each kind.

A clip fits where the prediction leaves room for the chance that is in a heap, and needs too much where it is above the
memory even so; between the two it may fit. The frame counts that a model takes are found by building it, on the meta
device: they are the multiples of a step, or one count alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from vbench.cell import Cell
from vbench.errors import AxisError, UserCodeError, VbenchError
from vbench.measure.count import tally_built
from vbench.measure.floor import floor_beside
from vbench.measure.longest import Progression, Search, longest_within
from vbench.measure.process_peak import ProcessPeak, predict_process_peak
from vbench.measure.subject import build_network, card_of, cell_named, facts
from vbench.measure.support import check_supported
from vbench.measure.user_models import is_users
from vbench.units import parse_bytes
from vbench.units import size as size_text

PROBED = 64  # frame counts from 1 on that are built to see which a model takes
PATIENCE_S = 60.0
UNCERTAINTY = 0.03  # of a prediction: the median of a few draws of the heap


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """The longest clip of one model that fits, and what it needs."""

    name: str
    frames: int | None  # None: not even the shortest clip fits with room to spare
    predicted_peak_bytes: int  # of the process, at `frames`, or at the shortest clip
    room_bytes: int  # by which that may be more or less
    memory_bytes: int
    height: int
    width: int
    batch: int
    precision: str
    kernel: str
    mode: str
    device: str
    floor_bytes: int
    tensor_peak_bytes: int  # at the same clip
    workspace_bytes: int
    shortest_frames: int
    step_frames: int  # between two clips that the model takes; 0: it takes one length only
    next_frames: int | None  # the next longer clip, where it was looked at: it may fit or not
    next_predicted_peak_bytes: int | None
    above_frames: int | None  # the shortest clip that needs more in any case, where it was looked at
    above_predicted_peak_bytes: int | None
    is_monotone: bool  # no longer clip was predicted to need less than a shorter one
    is_settled: bool  # next longer clips were looked at, or there are none
    predictions: int
    search_s: float

    def to_json(self) -> dict[str, Any]:
        """The document that `vbench fit --json` prints."""
        return asdict(self)


def fit(
    name: str,
    memory: str | int,
    *,
    height: int | None = None,
    width: int | None = None,
    batch: int = 1,
    precision: str = "fp32",
    kernel: str = "fused",
    mode: str = "infer",
    device: str = "cpu",
    patience_s: float = PATIENCE_S,
) -> Fit:
    """The longest clip of `name` whose process stays within `memory` (bytes, or text such as `24GiB`), with room.

    The search ends after `patience_s` and says so in `is_settled`.

    Raises:
        UnknownNameError: no such model.
        AxisError: the memory is no size; the model is a pattern, or takes no clip of this height and width.
    """
    started_s = time.monotonic()
    memory_bytes = parse_bytes(memory) if isinstance(memory, str) else memory
    cell = _cell(name, height, width, batch=batch, precision=precision, kernel=kernel, mode=mode, device=device)
    check_supported(cell, counted_only=True)
    clips = clips_of(cell)
    is_here = device == "cpu" or torch.cuda.is_available()
    with floor_beside(name, device) if is_here else nullcontext(lambda: 0) as floor:
        shortest = predict_process_peak(replace(cell, frames=clips.first), 0)
        floor_bytes = floor()
    peaks: dict[int, ProcessPeak] = {clips.first: replace(shortest, floor_bytes=floor_bytes)}

    def peak(frames: int) -> ProcessPeak:
        if frames not in peaks:
            peaks[frames] = predict_process_peak(replace(cell, frames=frames), floor_bytes)
        return peaks[frames]

    def at_most(frames: int) -> int:
        return peak(frames).total_bytes + peak(frames).room_bytes

    def at_least(frames: int) -> int:
        return peak(frames).total_bytes - peak(frames).room_bytes

    def longest(cost: Callable[[int], int]) -> Search:
        left_s = started_s + patience_s - time.monotonic()
        return longest_within(cost, clips, memory_bytes, patience_s=left_s, uncertainty=UNCERTAINTY)

    fitting, arguable = longest(at_most), longest(at_least)
    answer = _fit(cell, memory_bytes, clips, (fitting, arguable), peaks)
    return replace(answer, search_s=time.monotonic() - started_s)


def clips_of(cell: Cell) -> Progression:
    """The frame counts that the cell's model takes at its height and width.

    Raises:
        AxisError, UserCodeError: it takes no clip of this size; the message is the model's.
    """
    taken: list[int] = []
    refusal: VbenchError | None = None
    for frames in range(1, max(PROBED, cell.frames) + 1):
        try:
            _try(replace(cell, frames=frames))
        except (AxisError, UserCodeError) as error:
            refusal = error
            continue
        taken.append(frames)
        if len(taken) == 2:
            return Progression(taken[0], taken[1] - taken[0], _period(cell.model))
    if not taken:
        assert refusal is not None, "no clip was taken and none refused"
        raise refusal
    return Progression(taken[0], 0)


def _try(cell: Cell) -> None:
    """Build the cell's network, and run a user's: the catalog's refuse a clip when they are built.

    Raises:
        AxisError: the model does not take such a clip.
        UserCodeError: a user's model raised.
    """
    network = build_network(cell, torch.device("meta"))
    if is_users(cell.model):
        tally_built(network, cell)


def too_little(answer: Fit) -> str:
    """Why nothing fits, in one line."""
    extent = f"{answer.shortest_frames} frames of {answer.height} x {answer.width}"
    which = "its shortest clip" if answer.step_frames else "its only clip"
    peak_bytes, given = answer.predicted_peak_bytes, size_text(answer.memory_bytes)
    needed = f"{size_text(peak_bytes)}, or up to {size_text(peak_bytes + answer.room_bytes)}"
    return f"no clip of {answer.name} fits into {given}: {which}, {extent}, needs {needed} (batch {answer.batch})"


def _cell(name: str, height: int | None, width: int | None, **axes: Any) -> Cell:
    if facts(name).unit == "tokens":
        raise AxisError(f"{name} takes a grid of tokens and no frames; fit takes networks, as in backbone:divided")
    return cell_named(name, height=height, width=width, **axes)


def _period(name: str) -> int:
    """Frames after which padding repeats, as far as the card tells."""
    card = card_of(name)
    return (card.lattice or (1,))[0] * (card.tubelet_size or (1,))[0]


def _fit(
    cell: Cell, memory_bytes: int, clips: Progression, searches: tuple[Search, Search], peaks: dict[int, ProcessPeak]
) -> Fit:
    fitting, arguable = searches
    shown = peaks[clips.first if fitting.longest is None else fitting.longest]
    above = arguable.next_longer if arguable.longest is not None else clips.first

    def total_bytes(frames: int | None) -> int | None:
        return None if frames is None else peaks[frames].total_bytes

    return Fit(
        name=cell.model,
        frames=fitting.longest,
        predicted_peak_bytes=shown.total_bytes,
        room_bytes=shown.room_bytes,
        memory_bytes=memory_bytes,
        height=cell.height,
        width=cell.width,
        batch=cell.batch,
        precision=cell.precision,
        kernel=cell.kernel,
        mode=cell.mode,
        device=cell.device,
        floor_bytes=shown.floor_bytes,
        tensor_peak_bytes=shown.tensor_peak_bytes,
        workspace_bytes=shown.workspace_bytes,
        shortest_frames=clips.first,
        step_frames=clips.step,
        next_frames=fitting.next_longer,
        next_predicted_peak_bytes=total_bytes(fitting.next_longer),
        above_frames=above,
        above_predicted_peak_bytes=total_bytes(above),
        is_monotone=fitting.is_monotone and arguable.is_monotone,
        is_settled=fitting.is_settled and arguable.is_settled,
        predictions=len(peaks),
        search_s=0.0,
    )
