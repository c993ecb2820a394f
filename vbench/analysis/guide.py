"""Which architecture for a clip of so many seconds: a pure function of the records and the published figures.

Accuracy is quoted, and belongs to its clip and views, so each model is costed in two ways: `covering`, as many views of
its own clip as the video needs, which carries the published accuracy; `single`, one view stretched over the whole video
(or the model's longest), whose accuracy nobody published. Beside it stands what the protocol that earned the accuracy
would cost: its own views, whatever the video. Only measured latencies are ranked as latencies; where nothing was
measured at all, the order is by counted multiply-adds and every entry says so.

Accuracies on other data sets and tasks share no axis with top-1 on Kinetics-400: a model that has only these is ranked
by cost, and its entry says what was published.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from vbench.analysis.certainty import front_undecided, undecided
from vbench.analysis.choice import Choice, Guide, Question, RuledOut, asked
from vbench.analysis.comparison import default_setting
from vbench.analysis.entry import LATENCY, MACS, best_top1, entry
from vbench.analysis.explanation import explain
from vbench.analysis.frame import default_clips
from vbench.analysis.limits import broken_limit, unmeasured
from vbench.analysis.normalisation import PLACEMENTS
from vbench.analysis.protocol import Protocol, at_size, covering, own_clips, single_view, sweep_command

DEFAULT_FPS = 30.0


def guide(
    frame: pd.DataFrame,
    published: pd.DataFrame,
    *,
    seconds: float | None = None,
    fps: float | None = None,
    frames: int | None = None,
    size: int | None = None,
    device: str | None = None,
    max_latency_s: float | None = None,
    max_memory_bytes: int | None = None,
    min_top1: float | None = None,
    single: bool = False,
) -> Guide:
    """The architectures for a video of `seconds` at `fps` (30 if not said), or of `frames` source frames.

    `size` is a square crop in pixels instead of each model's own; `device` is cpu or cuda, else the one with the most
    measured cells. Best published top-1 first, then cheapest; with `min_top1` in percent, cheapest first. A model is
    compared with others on one machine only.

    Raises:
        AxisError: not exactly one of `seconds` and `frames` is given, or a value cannot be.
        UnknownNameError: no such device.
    """
    question = asked(
        seconds=seconds, fps=DEFAULT_FPS if fps is None else fps, frames=frames, single=single, size=size,
        device=device, max_latency_s=max_latency_s, max_memory_bytes=max_memory_bytes, min_top1=min_top1,
    )  # fmt: skip
    networks = default_setting(frame[frame["kind"] == "architecture"])
    cells, hardware = _on_one_machine(networks, device)
    column = LATENCY
    protocols, homeless = _protocols(frame, networks, cells, question)
    if max_latency_s is None and not any(protocol.cost(LATENCY) for protocol in protocols.values()):
        column = MACS
        protocols, _ = _protocols(frame, networks, networks, question)  # counts are the same on every machine
    kept, out = _sorted_out(frame, protocols, published, question, column)
    ranking = _ranked(kept, question, column)
    by_cost = question.min_top1 is not None
    answer = Guide(
        ranking=ranking,
        ruled_out=(*out, *(_without_clip(name, published, device) for name in homeless)),
        front=front(ranking, {choice.name: _cost(choice, column) for choice in ranking}),
        front_published=_front_published(ranking, column),
        question=question,
        hardware=hardware,
        ranked_by="latency" if column == LATENCY else "macs",
        undecided=undecided(ranking, by_cost=by_cost),
        front_undecided=front_undecided(ranking),
    )
    return replace(answer, explanation=explain(answer))


def _on_one_machine(cells: pd.DataFrame, device: str | None) -> tuple[pd.DataFrame, str]:
    """The cells of one device, of the measured ones only those of the hardware with the most; and that hardware."""
    measured = cells[cells["status"] == "measured"]
    if device is None and not measured.empty:
        device = str(measured["device"].mode().iloc[0])
    cells = cells if device is None else cells[cells["device"] == device]
    hardware = cells.loc[cells["status"] == "measured", "hardware"].mode().head(1)
    elsewhere = (cells["status"] == "measured") & ~cells["hardware"].isin(hardware)
    return cells[~elsewhere], str(hardware.iloc[0]) if len(hardware) else ""


def _protocols(
    frame: pd.DataFrame, networks: pd.DataFrame, cells: pd.DataFrame, question: Question
) -> tuple[dict[str, Protocol], list[str]]:
    """How each network takes the video, and the networks whose own clip is not known."""
    clips = own_clips(frame, networks)
    plan = single_view if question.single else covering
    names = [str(name) for name in dict.fromkeys(networks["model"])]
    known = {
        name: plan(cells, name, at_size(clips[name], question.size), question.source_frames)
        for name in names
        if name in clips
    }
    return known, [name for name in names if name not in clips and not _is_neutral(name)]


def _is_neutral(name: str) -> bool:
    """Whether it is a neutral backbone: that is there to compare patterns, and nobody is sent to measure it."""
    return name.partition(":")[0] in PLACEMENTS


def _sorted_out(
    frame: pd.DataFrame, protocols: dict[str, Protocol], published: pd.DataFrame, question: Question, column: str
) -> tuple[list[Choice], list[RuledOut]]:
    """The models that keep every limit, and those that do not."""
    kept: list[Choice] = []
    out: list[RuledOut] = []
    for name, protocol in protocols.items():
        command = sweep_command(name, protocol.clip, default_clips(frame).get(name), question.device)
        choice = entry(name, protocol, published, question, by_latency=column == LATENCY, command=command)
        missing = unmeasured(protocol, column, command)
        if missing and _is_neutral(name):
            continue
        broken = missing or broken_limit(choice, question)
        if broken:
            out.append(_ruled_out(choice, *broken))
        else:
            kept.append(choice)
    return kept, out


def _ranked(kept: Iterable[Choice], question: Question, column: str) -> tuple[Choice, ...]:
    """Best published accuracy first, then cheapest; by cost alone where a least accuracy was asked for."""

    def key(choice: Choice) -> tuple[float, float]:
        return 0.0 if question.min_top1 is not None else -(choice.top1 or 0.0), _cost(choice, column)

    return tuple(sorted(kept, key=key))


def _ruled_out(choice: Choice, kind: str, limit: str) -> RuledOut:
    return RuledOut(
        name=choice.name, limit=limit, kind=kind, top1=choice.top1, latency_video_s=choice.latency_video_s,
        peak_memory_bytes=choice.peak_memory_bytes, reproduce=choice.reproduce,
    )  # fmt: skip


def _without_clip(name: str, published: pd.DataFrame, device: str | None) -> RuledOut:
    """A model of which the records hold other clips than its own: what its own is, the catalog knows."""
    devices = f" --devices {device}" if device not in (None, "cpu") else ""
    command = f"vbench sweep --models {name}{devices}"
    limit = f"not measured at its own clip; {command}"
    return RuledOut(name=name, limit=limit, kind="not measured", top1=best_top1(published, name), reproduce=command)


def front(ranking: Sequence[Choice], costs: Mapping[str, float]) -> tuple[str, ...]:
    """The models that no other beats in both top-1 and cost, cheapest first; without accuracies the cheapest."""
    by_cost = sorted(ranking, key=lambda choice: (costs[choice.name], -(choice.top1 or 0.0)))
    names: list[str] = []
    best = 0.0
    for choice in by_cost:
        if choice.top1 is not None and choice.top1 > best:
            names.append(choice.name)
            best = choice.top1
    return tuple(names) or tuple(choice.name for choice in by_cost[:1])


def _cost(choice: Choice, column: str) -> float:
    """Seconds or multiply-adds of the whole video."""
    cost = choice.latency_video_s if column == LATENCY else choice.macs_video
    return math.inf if cost is None else float(cost)


def _front_published(ranking: Sequence[Choice], column: str) -> tuple[str, ...]:
    """The front where each accuracy costs the views that earned it; models whose views are not known are not on it."""
    known = [choice for choice in ranking if choice.views_published is not None]
    costs = {choice.name: _cost(choice, column) / choice.views * (choice.views_published or 0) for choice in known}
    return front(known, costs)
