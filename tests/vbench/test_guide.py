"""The guide: protocols, limits, ranking and front, against figures worked out by hand."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.guide import guide
from vbench.errors import VbenchError

PUBLISHED = published_frame()
KEYS = [
    "name", "top1", "top1_source", "top1_clip", "top1_views", "pretrain", "latency_s", "latency_video_s", "coverage_s",
    "peak_memory_bytes", "basis",
]  # of the documented interface; further keys stand beside them  # fmt: skip
CLIPS = {"timesformer_b": (8, 32), "video_swin_t": (32, 2), "video_swin_s": (32, 2), "hybrid": (16, 4)}
CLIPS |= {"hybrid_dense": (16, 2), "hybrid_sparse": (16, 16), "memvit_16": (16, 4), "mvitv2_s_16x4": (16, 4)}


@pytest.fixture
def own(make):
    """A model's record at its default clip, 224 x 224; without a latency it is only counted."""

    def build(name, latency_s=None, *, macs=10**11, frames=None, peak=2**30, spread=0.0, quality="clean", **axes):
        length, stride = CLIPS[name]
        subject = make.subject(stride=stride, is_default_clip=frames in (None, length))
        cell, counts = make.cell(name, frames or length, **axes), make.counts(macs=macs)
        if latency_s is None:
            return make.counted(cell, subject=subject, counts=counts)
        taken = [(latency_s * (1 + side * spread),) for side in (-1, 0, 1)]
        runs = [make.process(samples, peak_memory_bytes=peak, quality=quality) for samples in taken]
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
    ("question", "says"),
    [
        ({"frames": 8}, "got both"),
        ({"seconds": None}, "got neither"),
        ({"seconds": 0.0}, "more than 0 seconds"),
        ({"seconds": -3.0}, "more than 0 seconds; got -3"),
        ({"seconds": math.nan}, "more than 0 seconds"),
        ({"seconds": math.inf}, "more than 0 seconds"),
        ({"seconds": 1e300}, "1 to 1,000,000,000 frames"),
        ({"seconds": None, "frames": 0}, "1 to 1,000,000,000 frames; got 0"),
        ({"fps": -1.0}, "fps must be more than 0"),
        ({"min_top1": 300}, "an accuracy in percent, as in 80; got 300"),
        ({"min_top1": 0.8}, "an accuracy in percent, as in 80; got 0.8"),
        ({"size": 0}, "at least 1; got 0"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cdua"}, "did you mean 'cuda'?"),
    ],
)
def test_a_question_that_cannot_be_is_refused_in_words(make, own, question, says):
    with pytest.raises(VbenchError, match=re.escape(says)):
        ask(make, [own("timesformer_b", 2.0)], **question)


def test_the_json_has_the_documented_keys_and_no_nan(make, own):
    answer = ask(make, [own("timesformer_b", 2.0), own("hybrid", 1.0), own("video_swin_t")]).to_json()
    assert list(answer)[:3] == ["ranking", "ruled_out", "front"]
    assert list(answer["ranking"][0])[: len(KEYS)] == KEYS
    assert list(answer["ruled_out"][0])[:2] == ["name", "limit"]
    assert json.loads(json.dumps(answer, allow_nan=False))["ranking"][-1]["top1"] is None
    assert not any(isinstance(v, float) and math.isnan(v) for v in answer["ranking"][0].values())


def test_patterns_and_empty_frames_have_no_answer(make):
    pattern = make.measured(make.cell("joint", 8, 14, unit="tokens"), subject=make.subject(kind="pattern"))
    for records in ([], [pattern]):
        answer = ask(make, records)
        assert (answer.ranking, answer.ruled_out, answer.front) == ((), (), ())


def test_the_cost_of_the_protocol_that_earned_the_accuracy_stands_beside_that_of_the_video(make, own):
    choice = ask(make, [own("video_swin_t", 1.0, spread=0.1)]).ranking[0]  # published with 3 x 4 views
    assert choice.views == 5
    assert choice.latency_published_s == pytest.approx(12.0)
    for bound in ("low", "high"):
        per_view = getattr(choice, f"latency_video_{bound}_s") / 5
        assert getattr(choice, f"latency_published_{bound}_s") == pytest.approx(12 * per_view)
    assert choice.latency_video_low_s < choice.latency_video_s < choice.latency_video_high_s
    assert choice.top1_row == "Video Swin T IN-1K"


def test_neighbours_whose_intervals_overlap_are_undecided_and_others_are_not(make, own):
    apart = [own("hybrid", 1.0, spread=0.01), own("hybrid_dense", 1.0, spread=0.01)]  # 5 and 10 views
    assert ask(make, apart).undecided == ()
    close = [own("hybrid", 1.0, spread=0.1), own("hybrid_dense", 0.51, spread=0.1)]
    (pair,) = ask(make, close).undecided
    assert (pair.first, pair.second, pair.order_rests_on_it) == ("hybrid", "hybrid_dense", True)


def test_an_overlap_does_not_touch_an_order_that_rests_on_accuracy(make, own):
    records = [own("video_swin_t", 1.0, spread=0.1), own("video_swin_s", 1.0, spread=0.1)]  # 78.8 and 80.6 %
    answer = ask(make, records)
    (pair,) = answer.undecided
    assert not pair.order_rests_on_it
    assert answer.front_undecided == ("video_swin_t",)  # it is on the front only if it is the cheaper one
    assert ask(make, records, min_top1=70.0).undecided[0].order_rests_on_it


def test_a_noisy_or_lone_measurement_tells_less_apart(make, own):
    clean = [own("hybrid", 1.0, spread=0.01), own("hybrid_dense", 0.6, spread=0.01)]  # 5 s and 6 s
    noisy = [clean[0], own("hybrid_dense", 0.6, spread=0.01, quality="noisy: load 3.1")]
    assert ask(make, clean).undecided == ()
    answer = ask(make, noisy)
    assert "no clean interval for hybrid_dense" in answer.undecided[0].reason
    (doubt,) = answer.ranking[1].doubts
    assert doubt.startswith("measured while the machine was not quiet (noisy: load 3.1")
    far = [clean[0], own("hybrid_dense", 6.0, spread=0.01, quality="noisy: load 3.1")]
    assert ask(make, far).undecided == ()
    lone = make.measured(clean[0].cell, processes=[make.process((1.0,))], subject=clean[0].subject)
    assert ask(make, [lone]).ranking[0].doubts == ("measured in one process: no interval",)


def test_a_limit_within_the_interval_is_said_on_both_sides_of_it(make, own):
    records = [own("video_swin_t", 1.0, spread=0.1)]  # 5 s
    assert "beyond the limit of 5.10 s" in ask(make, records, max_latency_s=5.1).ranking[0].doubts[0]
    assert "its interval begins at" in ask(make, records, max_latency_s=4.9).ruled_out[0].limit
    assert "interval" not in ask(make, records, max_latency_s=0.1).ruled_out[0].limit


def test_a_figure_of_another_task_is_named_but_is_no_top1(make, own):
    answer = ask(make, [own("memvit_16", 0.1), own("video_swin_t", 1.0)])
    choice = answer.ranking[-1]
    assert (choice.name, choice.top1) == ("memvit_16", None)
    assert "on AVA v2.2" in choice.top1_source
    assert answer.front == ("video_swin_t",)  # however cheap, what has no such accuracy is not on its front


def test_a_users_own_model_is_ranked_by_cost_at_its_default_clip(make, own):
    cell = make.cell("mine.py:build", 8)
    subject = make.subject(kind="architecture", family="user", title="mine.py:build", is_default_clip=True)
    answer = ask(make, [own("video_swin_t", 1.0), make.measured(cell, 0.01, subject=subject)])
    assert names(answer) == ["video_swin_t", "mine.py:build"]
    mine = answer.ranking[1]
    assert (mine.top1, mine.top1_source) == (None, "not published at this clip")
    assert mine.latency_video_s == pytest.approx(0.01 * math.ceil(300 / 8))
    assert names(ask(make, [make.measured(cell, 0.01, subject=subject)])) == ["mine.py:build"]


def test_a_users_own_model_without_a_record_at_its_default_clip_stands_at_its_longest(make):
    subject = make.subject(family="user", title="mine.py:build")
    records = [make.measured(make.cell("mine.py:build", frames), 0.01, subject=subject) for frames in (10, 30, 20)]
    choice = ask(make, records).ranking[0]
    assert choice.basis.startswith("covering: 10 x 30x224x224")
    assert choice.reproduce == "vbench sweep --models mine.py:build --frames 30 --sizes 224"


def test_a_model_of_the_catalog_without_its_own_clip_is_not_passed_over_in_silence(make):
    answer = ask(make, [make.measured(make.cell("timesformer_b", 2, 112), 0.1)])
    assert answer.ranking == ()
    assert answer.ruled_out[0].limit == "not measured at its own clip; vbench sweep --models timesformer_b"


def test_counts_serve_where_a_device_was_not_measured_and_predicted_memory_holds_the_limit(make, own):
    records = [own("hybrid", 0.1, macs=100), own("hybrid_dense", macs=300)]
    answer = ask(make, records, device="cuda", max_memory_bytes=2**30)
    assert (names(answer), answer.ranked_by) == (["hybrid", "hybrid_dense"], "macs")
    assert answer.ranking[0].latency_video_s is None
    assert answer.ranking[0].peak_memory_bytes is None  # the other machine's process is not this one's
    assert "predicted, not measured" in answer.ranking[0].doubts[0]
    assert "predicted peak memory" in ask(make, records, device="cuda", max_memory_bytes=2**20).ruled_out[0].limit


def test_the_explanation_says_why_what_it_costs_and_what_would_change_it(make, own):
    records = [own("video_swin_t", 0.2), own("video_swin_s", 2.0), own("timesformer_b", 0.1), own("mvitv2_s_16x4")]
    text = ask(make, records, max_latency_s=2.0).explanation
    assert text.startswith("For 10 s of video (300 frames at 30 a second) on Test CPU, take video_swin_t: ")
    assert "of the 2 models within 2 s it has the highest published accuracy, 78.8 % top-1" in text
    assert "pre-training IN-1K, earned with 3x4 views" in text
    assert "Its 5 views of the video took 1.00 s" in text
    assert "the views that earned its accuracy would take 2.40 s" in text
    assert "timesformer_b would take 20.0 % of that for 0.8 points less" in text
    assert "It would be video_swin_s (80.6 %) if 10.0 s were allowed." in text
    assert "1 model is not measured here and could change the answer." in text


def test_only_models_of_a_better_published_accuracy_could_change_the_answer(make, own):
    measured = [own("video_swin_t", 0.2)]  # 78.8 %
    text = ask(make, [*measured, own("timesformer_b"), own("mvitv2_s_16x4")]).explanation  # 78.0 and 81.0 %
    assert "1 model is not measured here and could change the answer." in text
    assert "could change the answer" not in ask(make, [*measured, own("timesformer_b")]).explanation
    asked_for_less = ask(make, [*measured, own("timesformer_b")], min_top1=77.0).explanation
    assert "1 model is not measured here and could change the answer." in asked_for_less


def test_nobody_is_sent_to_measure_a_neutral_backbone(make, own):
    small = make.measured(make.cell("backbone:joint", 4, 112), 0.1)
    at_its_clip = make.counted(make.cell("backbone:axial", 8), subject=make.subject(is_default_clip=True))
    answer = ask(make, [own("video_swin_t", 0.2), small, at_its_clip])
    assert (names(answer), answer.ruled_out) == (["video_swin_t"], ())


def test_the_explanation_of_a_least_accuracy_names_what_one_gives_up(make, own):
    records = [own("video_swin_t", 0.2), own("video_swin_s", 2.0)]
    text = ask(make, records, min_top1=78.0).explanation
    assert "of the 2 models of 78.0 % or more it costs least" in text
    assert "You give up 1.8 points that video_swin_s has, at 10.0 s" in text


def test_the_explanation_says_plainly_that_cost_is_all_there_is(make, own):
    text = ask(make, [own("hybrid", 1.0), own("hybrid_dense", 3.0)]).explanation
    assert "no accuracy is published for these clips, so the choice is by cost alone" in text
    counted = ask(make, [own("hybrid"), own("hybrid_dense")]).explanation
    assert "no latency is measured here" in counted


def test_without_an_answer_the_explanation_says_what_stood_in_the_way(make, own):
    text = ask(make, [own("video_swin_t", 1.0), own("mvitv2_s_16x4")], max_latency_s=0.1).explanation
    assert "there is no model within 100 ms" in text
    assert "Models in these records: 1 over the latency limit, 1 not measured here." in text
    assert "`vbench sweep --models mvitv2_s_16x4`" in text


def test_the_front_by_the_views_that_earned_each_accuracy_may_be_another_one(make, own):
    records = [own("video_swin_t", 1.0), own("timesformer_b", 3.0)]  # 300 frames: 5 s of 5 views, 6 s of 2 views
    answer = ask(make, records)
    assert answer.front == ("video_swin_t",)  # 78.8 and 78.0 %
    assert answer.front_published == ("timesformer_b", "video_swin_t")  # 3 x 3 s and 12 x 1 s
    assert ask(make, [own("hybrid", 1.0)]).front_published == ()


def test_a_first_choice_that_the_views_of_its_accuracy_would_take_off_the_front_says_so(make, own):
    records = [own("video_swin_t", 1.0), own("mvitv2_s_16x4", 1.2)]  # 5 s and 6 s; 12 x 1 s and 5 x 1.2 s
    answer = ask(make, records, min_top1=70.0)
    assert names(answer)[0] == "video_swin_t"
    assert answer.front_published == ("mvitv2_s_16x4",)  # 81.0 % against 78.8 %, and cheaper
    assert "it would not be on the front: mvitv2_s_16x4" in answer.explanation
