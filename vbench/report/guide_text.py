"""The guide's answer for a terminal: a paragraph, the ranking, and what was ruled out, by limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import rich.box
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from vbench import units
from vbench.analysis.certainty import interval_text
from vbench.analysis.choice import Choice, Guide, RuledOut

LINE = 88  # characters of a line that is read
WIDE = 120  # characters from which the table also says where an accuracy comes from
KINDS = {
    "latency": "over the latency limit",
    "memory": "over the memory limit",
    "top-1": "without the least accuracy",
    "failed": "did not run",
}
MOST_NAMED = 12  # of models that nobody has measured; more fill the screen and say little


def guide_answer(guide: Guide, width: int) -> RenderableType:
    """The whole answer for a terminal of `width` characters."""
    parts: list[RenderableType] = [_paragraph(guide.explanation), Text()]
    if guide.ranking:
        parts += [guide_table(guide, width), _paragraph(_legend(guide)), Text()]
    parts += [_paragraph(line) for line in _ruled_out(guide.ruled_out)]
    return Group(*parts)


def guide_table(guide: Guide, width: int) -> Table:
    """The ranked choices; wide terminals also show the protocol and where the accuracy comes from."""
    is_wide = width >= WIDE
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    cost = "time of the video" if guide.ranked_by == "latency" else "counted"
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    for head in ("top-1 %", "views", cost, "peak memory"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("its views took", "pre-training", "published for") if is_wide else ():
        table.add_column(head, overflow="fold")
    may_swap = {pair.second for pair in guide.undecided if pair.order_rests_on_it}
    for place, choice in enumerate(guide.ranking, start=1):
        mark = f"{place:>2}{'~' if choice.name in may_swap else ' '}{'*' if choice.name in guide.front else ' '}"
        cells = [mark, choice.name, _top1(choice), str(choice.views), interval_text(choice), _memory(choice)]
        table.add_row(*(Text(cell) for cell in (*cells, *(_provenance(choice) if is_wide else ()))))
    return table


def _top1(choice: Choice) -> str:
    return "-" if choice.top1 is None else units.accuracy(choice.top1)


def _memory(choice: Choice) -> str:
    """The measured peak; in parentheses the predicted one."""
    if choice.peak_memory_bytes is not None:
        return units.size(choice.peak_memory_bytes)
    return "-" if choice.predicted_peak_bytes is None else f"({units.size(choice.predicted_peak_bytes)})"


def _provenance(choice: Choice) -> tuple[str, str, str]:
    published_s = choice.latency_published_s
    took = f"{choice.top1_views}: {units.seconds(published_s)}" if published_s is not None else choice.top1_views
    source = f"{choice.top1_row}, {choice.top1_clip}" if choice.top1 is not None else choice.top1_source
    return took, choice.pretrain, source


def _legend(guide: Guide) -> str:
    """What the marks in the table mean, where it has any."""
    cells = [("*", "no other is both as accurate and cheaper", bool(guide.front))]
    swaps = any(pair.order_rests_on_it for pair in guide.undecided)
    cells.append(("~", "may cost no more than the one above it: their intervals overlap", swaps))
    unpublished = any(choice.top1 is None for choice in guide.ranking)
    cells.append(("-", "no Kinetics-400 top-1 published at this clip: cost alone", unpublished))
    predicted = any(choice.peak_memory_bytes is None for choice in guide.ranking)
    cells.append(("( )", "predicted, not measured", predicted))
    says = [f"{mark} {meaning}" for mark, meaning, is_there in cells if is_there]
    return "; ".join([*says, "brackets hold 95 % intervals; accuracies are quoted, never measured here"]) + "."


def _ruled_out(ruled_out: Sequence[RuledOut]) -> Iterator[str]:
    """A line for each limit with the models that it rules out, and one for those that nobody measured."""
    for kind, words in KINDS.items():
        models = [out for out in ruled_out if out.kind == kind]
        if models:
            yield f"Ruled out, {words} ({len(models)}): {'; '.join(f'{out.name} {_shortfall(out)}' for out in models)}"
    models = [out for out in ruled_out if out.kind == "not measured"]
    if models:
        names = ", ".join(out.name for out in models[:MOST_NAMED])
        more = f" and {len(models) - MOST_NAMED} more" if len(models) > MOST_NAMED else ""
        yield f"Not measured here ({len(models)}): {names}{more}. To measure one: {models[0].reproduce}"


def _shortfall(out: RuledOut) -> str:
    """What the limit is held against, or why there is nothing."""
    if out.kind == "latency" and out.latency_video_s is not None:
        return units.seconds(out.latency_video_s)
    if out.kind == "memory" and out.peak_memory_bytes is not None:
        return units.size(out.peak_memory_bytes)
    if out.kind == "top-1":
        return "not published" if out.top1 is None else f"{units.accuracy(out.top1)} %"
    return out.limit


def _paragraph(text: str) -> RenderableType:
    return Constrain(Text(text), LINE)
