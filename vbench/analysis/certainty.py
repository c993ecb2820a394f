"""How sure a ranking is: which neighbours' costs the measurements tell apart, and who is on the front for certain.

Two costs are told apart where their 95 % intervals do not overlap. A cell that was measured while the machine was not
quiet, or in a single process, may be off by what separates the states of a machine; its interval is stretched by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from vbench import units
from vbench.analysis.choice import Choice, Undecided

STATES = 1.3  # a virtual machine's states differ by some 30 %: see vbench.analysis.pace
CLEAN = "clean"


def bounds(choice: Choice) -> tuple[float, float]:
    """The least and the most that the video may take: seconds, or exact multiply-adds where nothing was measured."""
    if choice.latency_video_s is None:
        return (float(choice.macs_video or 0),) * 2
    low = choice.latency_video_low_s or choice.latency_video_s
    high = choice.latency_video_high_s or choice.latency_video_s
    stretch = 1.0 if _trusted(choice) else STATES
    return low / stretch, high * stretch


def undecided(ranking: Sequence[Choice], *, by_cost: bool) -> tuple[Undecided, ...]:
    """The neighbours whose costs are not told apart; `by_cost`: the whole ranking is by cost."""
    return tuple(
        Undecided(
            first=first.name,
            second=second.name,
            reason=_reason(first, second),
            order_rests_on_it=by_cost or first.top1 == second.top1,
        )
        for first, second in pairwise(ranking)
        if overlap(first, second)
    )


def overlap(first: Choice, second: Choice) -> bool:
    """Whether the two may cost the same."""
    (low, high), (other_low, other_high) = bounds(first), bounds(second)
    return low <= other_high and other_low <= high


def front_undecided(ranking: Sequence[Choice]) -> tuple[str, ...]:
    """The models that are neither on the front nor off it, wherever in their intervals the costs lie."""
    published = [choice for choice in ranking if choice.top1 is not None]
    return tuple(choice.name for choice in published if _may_be_either(choice, published))


def _may_be_either(choice: Choice, all_published: Sequence[Choice]) -> bool:
    low, high = bounds(choice)
    rivals = [bounds(rival) for rival in _as_accurate(choice, all_published)]
    is_on_it = all(rival_low > high for rival_low, _ in rivals)
    is_off_it = any(rival_high < low for _, rival_high in rivals)
    return not is_on_it and not is_off_it


def _as_accurate(choice: Choice, all_published: Sequence[Choice]) -> Iterator[Choice]:
    for rival in all_published:
        if rival.name != choice.name and (rival.top1 or 0.0) >= (choice.top1 or 0.0):
            yield rival


def interval_text(choice: Choice) -> str:
    """The video's latency with its interval, or its multiply-adds."""
    if choice.latency_video_s is None:
        return units.macs(choice.macs_video or 0)
    unknown = float("nan")
    low, high = choice.latency_video_low_s or unknown, choice.latency_video_high_s or unknown
    return units.seconds_interval(choice.latency_video_s, low, high)


def _trusted(choice: Choice) -> bool:
    return choice.quality == CLEAN and choice.latency_video_low_s is not None


def _reason(first: Choice, second: Choice) -> str:
    if first.latency_video_s is None:
        return f"both count {interval_text(first)}"
    doubtful = [choice.name for choice in (first, second) if not _trusted(choice)]
    why = f"; no clean interval for {' and '.join(doubtful)}" if doubtful else ""
    return f"{interval_text(first)} and {interval_text(second)} are not told apart{why}"
