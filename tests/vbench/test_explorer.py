"""The explorer's data: one view of each model, times its views, is what the guide says of any clip."""

from __future__ import annotations

import math

import pytest

from vbench.analysis.comparison import published_frame
from vbench.analysis.explorer import explorer
from vbench.analysis.guide import guide

PUBLISHED = published_frame()
CLIPS = {"timesformer_b": (8, 32), "video_swin_t": (32, 2), "video_swin_s": (32, 2)}


@pytest.fixture
def at_own_clip(make):
    def measured(name, latency_s, **axes):
        frames, stride = CLIPS[name]
        subject = make.subject(stride=stride, is_default_clip="size" not in axes)
        return make.measured(make.cell(name, frames, **axes), latency_s, subject=subject)

    return measured


def found(settings, **wanted):
    return next(one for one in settings if all(getattr(one, name) == value for name, value in wanted.items()))


@pytest.mark.parametrize("frames", [1, 64, 65, 300, 12_345])
def test_a_view_times_the_views_of_a_clip_is_what_the_guide_says_of_it(make, at_own_clip, frames):
    frame = make.frame([at_own_clip("timesformer_b", 2.0), at_own_clip("video_swin_t", 0.7)])
    (setting, _) = explorer(frame, PUBLISHED)
    answer = {choice.name: choice for choice in guide(frame, PUBLISHED, frames=frames, device="cpu").ranking}
    assert set(answer) == {model.name for model in setting.models}
    for model in setting.models:
        choice, views = answer[model.name], math.ceil(frames / model.span_frames)
        assert views * model.latency_s == choice.latency_video_s
        assert views * model.macs == choice.macs_video
        assert (model.top1, model.top1_source, model.cell) == (choice.top1, choice.top1_source, choice.cell)
        assert model.peak_memory_bytes == choice.peak_memory_bytes


def test_every_device_precision_and_crop_of_the_records_is_a_setting(make, at_own_clip):
    records = [
        at_own_clip("timesformer_b", 2.0),
        at_own_clip("timesformer_b", 0.5, size=112),
        at_own_clip("video_swin_t", 0.3, precision="bf16"),
        at_own_clip("video_swin_t", 0.1, device="cuda"),
    ]
    settings = explorer(make.frame(records), PUBLISHED)
    keys = {(setting.device, setting.precision, setting.size) for setting in settings}
    assert keys == {
        *(("cpu", "fp32", size) for size in (None, 112, 224)),
        *(("cpu", "bf16", size) for size in (None, 224)),
        *(("cuda", "fp32", size) for size in (None, 224)),
    }
    small = found(settings, device="cpu", precision="fp32", size=112)
    assert [(model.name, model.latency_s) for model in small.models if model.latency_s] == [("timesformer_b", 0.5)]


def test_what_was_only_counted_says_how_to_measure_it_in_its_precision(make, at_own_clip):
    subject = make.subject(stride=2, is_default_clip=True)
    counted = make.counted(make.cell("video_swin_s", 32, precision="bf16"), subject=subject)
    settings = explorer(make.frame([at_own_clip("video_swin_t", 0.3, precision="bf16"), counted]), PUBLISHED)
    models = {model.name: model for model in found(settings, precision="bf16", size=None).models}
    assert models["video_swin_s"].latency_s is None
    assert models["video_swin_s"].macs == counted.counts.macs
    assert models["video_swin_s"].unmeasured == "not measured; vbench sweep --precisions bf16 --models video_swin_s"


def test_records_without_networks_leave_nothing_to_explore(make):
    bare = make.measured(make.cell("core:joint", 8, 14, unit="tokens"), subject=make.subject(kind="pattern"))
    assert explorer(make.frame([bare]), PUBLISHED) == []
