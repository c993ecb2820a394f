"""The guide: protocols, limits, ranking and front, against figures worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.guide import guide
from vbench.errors import AxisError

PUBLISHED = published_frame()
KEYS = [
    "name", "top1", "top1_source", "top1_clip", "top1_views", "pretrain", "latency_s", "latency_video_s", "coverage_s",
    "peak_memory_bytes", "basis",
]  # fmt: skip
CLIPS = {"timesformer_b": (8, 32), "video_swin_t": (32, 2), "video_swin_s": (32, 2), "hybrid": (16, 4)}
CLIPS |= {"hybrid_dense": (16, 2), "hybrid_sparse": (16, 16)}


@pytest.fixture
def own(make):
    """A model's record at its default clip, 224 x 224; without a latency it is only counted."""

    def build(name, latency_s=None, *, macs=10**11, frames=None, peak=2**30, **axes):
        length, stride = CLIPS[name]
        subject = make.subject(stride=stride, is_default_clip=frames in (None, length))
        cell, counts = make.cell(name, frames or length, **axes), make.counts(macs=macs)
        if latency_s is None:
            return make.counted(cell, subject=subject, counts=counts)
        runs = [make.process((latency_s,), peak_memory_bytes=peak)] * 3
        return make.measured(cell, processes=runs, subject=subject, counts=counts)

    return build


def ask(make, records, **question):
    return guide(make.frame(records), PUBLISHED, **({"seconds": 10.0, "fps": 30.0} | question))


def names(answer):
    return [choice.name for choice in answer.ranking]


def test_covering_takes_as_many_views_as_the_source_frames_need(make, own):
    answer = ask(make, [own("timesformer_b", 2.0), own("video_swin_t", 1.0)])
    costs = {choice.name: (choice.latency_s, choice.latency_video_s, choice.coverage_s) for choice in answer.ranking}
    assert costs["timesformer_b"] == pytest.approx((2.0, 2 * 2.0, 2 * 8 * 32 / 30))  # 300 frames, 256 a view
    assert costs["video_swin_t"] == pytest.approx((1.0, 5 * 1.0, 5 * 32 * 2 / 30))  # 64 a view


@pytest.mark.parametrize(("frames", "views"), [(64, 1), (65, 2), (1, 1), (640, 10)])
def test_a_view_more_is_needed_exactly_past_a_multiple_of_frames_times_stride(make, own, frames, views):
    choice = ask(make, [own("video_swin_t", 1.0)], seconds=None, fps=None, frames=frames).ranking[0]
    assert choice.latency_video_s == views
    assert choice.basis.startswith(f"covering: {views} x 32x224x224, stride 2")


def test_seconds_at_a_rate_are_the_same_question_as_their_frames(make, own):
    records = [own("timesformer_b", 2.0), own("video_swin_t", 1.0)]
    by_frames = ask(make, records, seconds=None, fps=24.0, frames=96)
    assert ask(make, records, seconds=4.0, fps=24.0) == by_frames


def test_the_published_accuracy_comes_with_source_clip_views_and_pretraining(make, own):
    choice = ask(make, [own("timesformer_b", 2.0)]).ranking[0]
    assert (choice.top1, choice.top1_clip, choice.top1_views) == (78.0, "8x224x224, stride 32", "3x1")
    assert (choice.pretrain, choice.top1_source.split(" ")[0]) == ("IN-21K", "TimeSformer")


def test_a_single_view_has_no_published_accuracy(make, own):
    records = [own("video_swin_t", 1.0), own("video_swin_t", 4.0, frames=150)]
    choice = ask(make, records, single=True).ranking[0]
    assert (choice.top1, choice.top1_source) == (None, "not published at this clip")
    assert (choice.latency_video_s, choice.coverage_s) == (4.0, 10.0)
    assert choice.basis.startswith("single: 1 x 150x224x224")


def test_a_single_view_that_was_tried_in_vain_falls_back_to_the_longest_that_ran(make, own):
    records = [own("video_swin_t", 1.0), own("video_swin_t", 2.0, frames=64)]
    untried = ask(make, records, single=True)
    assert untried.ranking == ()
    assert untried.ruled_out[0].limit == "not measured; vbench sweep --models video_swin_t --frames 150"
    tried = ask(make, [*records, make.failed(make.cell("video_swin_t", 150))], single=True)
    assert tried.ranking[0].latency_video_s == 2.0
    assert tried.ranking[0].coverage_s == pytest.approx(128 / 30)


def test_a_model_without_a_latency_is_ruled_out_with_the_command_that_measures_it(make, own):
    answer = ask(make, [own("timesformer_b", 2.0), own("video_swin_t")])
    assert names(answer) == ["timesformer_b"]
    assert [(out.name, out.limit) for out in answer.ruled_out] == [
        ("video_swin_t", "not measured; vbench sweep --models video_swin_t")
    ]


def test_another_size_has_its_own_cells_and_no_published_accuracy(make, own):
    records = [own("timesformer_b", 2.0), own("timesformer_b", 0.5, size=112, frames=8), own("video_swin_t", 1.0)]
    records[1] = make.measured(records[1].cell, 0.5, subject=make.subject(stride=32))
    answer = ask(make, records, size=112)
    assert [(c.name, c.top1, c.latency_s) for c in answer.ranking] == [("timesformer_b", None, 0.5)]
    assert answer.ruled_out[0].limit == "not measured; vbench sweep --models video_swin_t --sizes 112"


def test_without_any_latency_the_order_is_by_counted_macs_of_the_protocol_and_says_so(make, own):
    records = [own("hybrid", macs=100), own("hybrid_dense", macs=60), own("hybrid_sparse", macs=200)]
    answer = ask(make, records)  # 300 frames: 5 views of 64, 10 of 32, 2 of 256
    assert names(answer) == ["hybrid_sparse", "hybrid", "hybrid_dense"]
    assert {choice.latency_video_s for choice in answer.ranking} == {None}
    assert all("ranked by counted MACs" in choice.basis for choice in answer.ranking)
    assert answer.front == ("hybrid_sparse",)  # where nobody published an accuracy, the cheapest alone


def test_a_latency_limit_is_not_met_by_what_was_only_counted(make, own):
    answer = ask(make, [own("video_swin_t")], max_latency_s=100.0)
    assert answer.ranking == ()
    assert answer.ruled_out[0].limit.startswith("not measured")


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"max_latency_s": 3.9}, "latency 4.00 s > 3.90 s"),
        ({"max_memory_bytes": 2**29}, "peak memory 1.00 GiB > 512 MiB"),
        ({"min_top1": 78.5}, "top-1 78.0 % < 78.5 %"),
    ],
)
def test_a_broken_limit_rules_out_and_says_by_how_much(make, own, limit, words):
    records = [own("timesformer_b", 2.0)]
    assert ask(make, records, **limit).ruled_out[0].limit == words
    assert names(ask(make, records, max_latency_s=4.0, max_memory_bytes=2**30, min_top1=78.0)) == ["timesformer_b"]


def test_a_model_that_failed_is_ruled_out_by_its_reason(make, own):
    lost = make.failed(make.cell("video_swin_t", 32), "out of memory")
    clip = own("video_swin_t")  # the count of an earlier attempt: the catalog's clip is known from it
    answer = ask(make, [own("timesformer_b", 2.0), clip, lost])
    assert answer.ruled_out[0].limit == "failed: out of memory"


def test_accuracy_ranks_first_unless_a_least_accuracy_is_asked_for(make, own):
    records = [own("timesformer_b", 9.0), own("video_swin_t", 1.0), own("video_swin_s", 2.0), own("hybrid", 0.1)]
    assert names(ask(make, records)) == ["video_swin_s", "video_swin_t", "timesformer_b", "hybrid"]
    assert names(ask(make, records, min_top1=78.0)) == ["video_swin_t", "video_swin_s", "timesformer_b"]


def test_the_front_is_what_brute_force_finds_undominated(make, own):
    records = [own("timesformer_b", 9.0), own("video_swin_t", 1.0), own("video_swin_s", 2.0)]
    answer = ask(make, records)
    points = {choice.name: (choice.top1, choice.latency_video_s) for choice in answer.ranking}
    undominated = {
        name
        for name, (top1, cost) in points.items()
        if not any(t >= top1 and c <= cost and (t, c) != (top1, cost) for t, c in points.values())
    }
    assert set(answer.front) == undominated == {"video_swin_t", "video_swin_s"}


def test_latencies_of_another_machine_are_not_ranked(make, own):
    here = [own("timesformer_b", 2.0), own("video_swin_s", 2.0)]
    fast = own("video_swin_t", 0.001, device="cuda")
    assert names(ask(make, [*here, fast])) == ["video_swin_s", "timesformer_b"]
    on_cuda = ask(make, [*here, fast], device="cuda")
    assert names(on_cuda) == ["video_swin_t"]
    assert on_cuda.ruled_out[0].limit == "not measured; vbench sweep --models timesformer_b --devices cuda"


def test_latencies_of_other_hardware_under_the_same_device_are_not_ranked(make, own):
    here = [own("timesformer_b", 2.0), own("video_swin_s", 2.0)]
    elsewhere = replace(own("video_swin_t", 0.001), environment="e2")
    answer = ask(make, [*here, elsewhere])
    assert names(answer) == ["video_swin_s", "timesformer_b"]
    assert [(out.name, out.limit.split(";")[0]) for out in answer.ruled_out] == [("video_swin_t", "not measured")]


@pytest.mark.parametrize(
    "question", [{"frames": 8}, {"seconds": None}, {"seconds": 0.0}, {"seconds": None, "frames": 0}, {"fps": -1.0}]
)
def test_a_question_without_exactly_one_length_is_refused(make, own, question):
    with pytest.raises(AxisError):
        ask(make, [own("timesformer_b", 2.0)], **question)


def test_the_json_has_the_documented_keys_and_no_nan(make, own):
    answer = ask(make, [own("timesformer_b", 2.0), own("hybrid", 1.0), own("video_swin_t")]).to_json()
    assert sorted(answer) == ["front", "ranking", "ruled_out"]
    assert list(answer["ranking"][0]) == KEYS
    assert list(answer["ruled_out"][0]) == ["name", "limit"]
    assert json.loads(json.dumps(answer, allow_nan=False))["ranking"][-1]["top1"] is None
    assert not any(isinstance(v, float) and math.isnan(v) for v in answer["ranking"][0].values())


def test_patterns_and_empty_frames_have_no_answer(make):
    pattern = make.measured(make.cell("joint", 8, 14, unit="tokens"), subject=make.subject(kind="pattern"))
    for records in ([], [pattern]):
        answer = ask(make, records)
        assert (answer.ranking, answer.ruled_out, answer.front) == ((), (), ())
