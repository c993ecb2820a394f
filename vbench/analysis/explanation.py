"""The guide's answer in one paragraph: why the first is first, what one gives up, and what would change it.

Every figure comes from the answer itself. A paragraph says "measured", "published" or "counted" of each figure, since
these are not of one kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vbench import units
from vbench.analysis.certainty import interval_text
from vbench.analysis.choice import Choice, Guide, Question, RuledOut


def explain(guide: Guide) -> str:
    """The paragraph."""
    sentences = _of_an_answer(guide) if guide.ranking else _of_no_answer(guide)
    return " ".join(sentences)


def _of_an_answer(guide: Guide) -> Iterator[str]:
    first = guide.ranking[0]
    yield f"For {_video(guide)}, take {first.name}: {_why(guide, first)}."
    yield _price(first)
    yield from _given_up(guide, first)
    yield from _by_other_views(guide, first)
    yield from _what_would_change_it(guide, first)
    yield from _how_sure(guide)


def _of_no_answer(guide: Guide) -> Iterator[str]:
    yield f"For {_video(guide)} there is no model {_within(guide)}."
    kinds = Counter(out.kind for out in guide.ruled_out)
    if kinds:
        yield f"Models in these records: {_tally(kinds)}."
    slow = [out for out in guide.ruled_out if out.latency_video_s is not None]
    if slow:
        nearest = min(slow, key=lambda out: out.latency_video_s or 0.0)
        yield f"The quickest measured is {nearest.name}: {nearest.limit}."
    unmeasured = _unmeasured(guide)
    if unmeasured:
        yield f"To measure one: `{unmeasured[0].reproduce}`."


def _tally(kinds: Counter[str]) -> str:
    words = {
        "latency": "over the latency limit", "memory": "over the memory limit", "top-1": "without such an accuracy",
        "not measured": "not measured here", "failed": "did not run",
    }  # fmt: skip
    return ", ".join(f"{number} {words[kind]}" for kind, number in kinds.most_common())


def _video(guide: Guide) -> str:
    question = guide.question
    length = units.tick(units.seconds(question.seconds))
    where = guide.hardware or question.device or "any machine"
    return f"{length} of video ({question.source_frames:,} frames at {question.fps:g} a second) on {where}"


def _why(guide: Guide, first: Choice) -> str:
    number = len(guide.ranking)
    those = f"of the {number} models {_within(guide)} it" if number > 1 else f"it is the only model {_within(guide)}"
    if first.top1 is None:
        alone = "no accuracy is published for these clips, so the choice is by cost alone:"
        return f"{alone} {those} costs least" if number > 1 else f"{alone} {those}"
    figure = f"{units.accuracy(first.top1)} % top-1 on Kinetics-400{_earned(first)}"
    if number == 1:
        return f"{those}, with a published {figure}"
    if guide.question.min_top1 is not None:
        return f"{those} costs least, with a published {figure}"
    return f"{those} has the highest published accuracy, {figure}"


def _earned(choice: Choice) -> str:
    parts = [f"pre-training {choice.pretrain}"] if choice.pretrain else []
    parts += [f"earned with {choice.top1_views} views"] if choice.top1_views else []
    return f" ({', '.join(parts)})" if parts else ""


def _within(guide: Guide) -> str:
    """The limits in words, as in `within 2 s and 8 GiB`; without limits what was known of the models."""
    question = guide.question
    costs = []
    if question.max_latency_s is not None:
        costs.append(units.tick(units.seconds(question.max_latency_s)))
    if question.max_memory_bytes is not None:
        costs.append(units.tick(units.size(question.max_memory_bytes)))
    parts = [f"of {units.accuracy(question.min_top1)} % or more"] if question.min_top1 is not None else []
    parts += [f"within {' and '.join(costs)}"] if costs else []
    return " ".join(parts) or ("measured here" if guide.ranked_by == "latency" else "counted here")


def _price(first: Choice) -> str:
    views = f"{first.views} view{'s' * (first.views != 1)}"
    if first.latency_video_s is None:
        return f"Its {views} cost {interval_text(first)}, counted: no latency is measured here, and none is ranked."
    memory = f" and {units.size(first.peak_memory_bytes)}" if first.peak_memory_bytes else ""
    price = f"Its {views} of the video took {interval_text(first)}{memory}"
    if first.latency_published_s is not None and first.latency_published_s != first.latency_video_s:
        price += f"; the views that earned its accuracy would take {units.seconds(first.latency_published_s)}"
    return f"{price}."


def _given_up(guide: Guide, first: Choice) -> Iterator[str]:
    """The next cheaper model of the front, or with a least accuracy the more accurate one."""
    on_front = {choice.name: choice for choice in guide.ranking if choice.name in guide.front}
    front = [on_front[name] for name in guide.front]
    if first.top1 is None or first not in front:
        return
    place = front.index(first)
    if place:
        cheaper = front[place - 1]
        points = units.accuracy(round((first.top1 or 0.0) - (cheaper.top1 or 0.0), 2))
        yield f"{cheaper.name} would take {_ratio(cheaper, first)} of that for {points} points less."
    if place + 1 < len(front):
        better = front[place + 1]
        points = units.accuracy(round((better.top1 or 0.0) - (first.top1 or 0.0), 2))
        yield f"You give up {points} points that {better.name} has, at {interval_text(better)}."


def _by_other_views(guide: Guide, first: Choice) -> Iterator[str]:
    """The front by the cost of the views that earned each accuracy, where the first choice is not on it."""
    front = guide.front_published
    if front and first.name in guide.front and first.name not in front:
        yield f"By the cost of the views that earned each accuracy it would not be on the front: {', '.join(front)}."


def _ratio(part: Choice, whole: Choice) -> str:
    if part.latency_video_s is not None and whole.latency_video_s is not None:
        return units.percent(part.latency_video_s / whole.latency_video_s)
    return units.percent((part.macs_video or 0) / (whole.macs_video or 1))


def _what_would_change_it(guide: Guide, first: Choice) -> Iterator[str]:
    """The least that a limit must give to let a more accurate model in, and what nobody has measured."""
    out = [
        model for model in guide.ruled_out
        if model.kind == "latency" and (model.top1 or 0.0) > (first.top1 or 0.0) and guide.question.min_top1 is None
    ]  # fmt: skip
    if out:
        nearest = min(out, key=lambda model: model.latency_video_s or 0.0)
        taken, top1 = units.seconds(nearest.latency_video_s or 0.0), units.accuracy(nearest.top1 or 0.0)
        yield f"It would be {nearest.name} ({top1} %) if {taken} were allowed."
    number = sum(_could_come_first(model, guide.question, first) for model in _unmeasured(guide))
    if number:
        models = "1 model is" if number == 1 else f"{number} models are"
        yield f"{models} not measured here and could change the answer."


def _could_come_first(model: RuledOut, question: Question, first: Choice) -> bool:
    """Whether some cost of the model would put it before the first choice, as its published accuracy stands."""
    if question.min_top1 is not None:
        return (model.top1 or 0.0) >= question.min_top1
    return (model.top1 or 0.0) >= (first.top1 or 0.0)


def _unmeasured(guide: Guide) -> list[RuledOut]:
    return [out for out in guide.ruled_out if out.kind == "not measured"]


def _how_sure(guide: Guide) -> Iterator[str]:
    first = guide.ranking[0]
    open_pairs = [pair for pair in guide.undecided if pair.order_rests_on_it]
    if open_pairs and open_pairs[0].first == first.name:
        yield f"{open_pairs[0].second} may be as good: {open_pairs[0].reason}."
    elif open_pairs:
        pairs = "1 pair" if len(open_pairs) == 1 else f"{len(open_pairs)} pairs"
        yield f"Further down {pairs} of neighbours may be the other way round."
    if first.name in guide.front_undecided:
        yield f"Whether {first.name} is on the front is not decided by the intervals."
    if first.doubts:
        yield f"Of {first.name} itself: {'; '.join(first.doubts)}."
