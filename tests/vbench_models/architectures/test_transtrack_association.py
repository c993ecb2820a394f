"""Association of boxes: overlap, the best assignment, and the lives of tracks."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from vbench_models.architectures.transtrack_association import (
    AssociationConfig,
    Track,
    Tracker,
    generalised_iou,
    matches,
)

Boxes = NDArray[np.floating]


def box(x: float, y: float, width: float = 0.1, height: float = 0.1) -> list[float]:
    return [x, y, width, height]


def show(tracker: Tracker, boxes: list[list[float]], tracked: list[list[float]] | None = None) -> list[Track]:
    """One frame of sure detections; what the frame before showed is `tracked` in order, or has not moved."""
    moved = {} if tracked is None else {index: np.array(place, dtype=float) for index, place in enumerate(tracked)}
    return tracker.update(np.array(boxes, dtype=float).reshape(-1, 4), np.ones(len(boxes)), moved)


def numbers(tracks: list[Track]) -> list[int]:
    return [track.number for track in tracks]


def on_a_raster(a: list[float], b: list[float], size: int = 40) -> tuple[int, int, int]:
    """Intersection, union and hull of two boxes in whole pixels, counted pixel by pixel."""
    masks = []
    for x, y, width, height in (a, b):
        mask = np.zeros((size, size), dtype=bool)
        mask[round(y - height / 2) : round(y + height / 2), round(x - width / 2) : round(x + width / 2)] = True
        masks.append(mask)
    rows, columns = np.nonzero(masks[0] | masks[1])
    hull = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return int((masks[0] & masks[1]).sum()), int((masks[0] | masks[1]).sum()), int(hull)


@pytest.mark.parametrize(
    ("a", "b"),
    [([10, 10, 8, 6], [12, 11, 4, 8]), ([10, 10, 8, 6], [30, 20, 4, 8]), ([20, 20, 20, 20], [18, 22, 4, 4])],
    ids=["overlapping", "apart", "inside"],
)
def test_generalised_overlap_equals_that_of_pixels_counted(a: list[float], b: list[float]) -> None:
    shared, union, hull = on_a_raster(a, b)
    expected = shared / union - (hull - union) / hull
    np.testing.assert_allclose(generalised_iou(np.array([a], float), np.array([b], float)), [[expected]])
    np.testing.assert_allclose(generalised_iou(np.array([a], float), np.array([a], float)), [[1]])


def test_boxes_without_area_do_not_stop_a_tracker() -> None:
    tracker = Tracker()
    assert numbers(show(tracker, [box(0, 0, 0, 0)])) == [1]
    assert numbers(show(tracker, [box(0, 0, 0, 0), box(0.9, 0.9)])) == [1, 2]


def test_the_assignment_is_the_best_of_all() -> None:
    generator = np.random.default_rng(0)
    a, b = (np.concatenate([generator.uniform(0.3, 0.7, (5, 2)), np.full((5, 2), 0.3)], axis=1) for _ in range(2))
    overlap = generalised_iou(a, b)
    best = max(
        permutations(range(5)), key=lambda columns: sum(overlap[row, column] for row, column in enumerate(columns))
    )
    assert matches(a, b, -1.0) == dict(enumerate(best))


def test_a_nearest_partner_is_given_up_for_a_greater_sum() -> None:
    """Both detections overlap the first track most; only the second one has another partner."""
    tracks = np.array([box(0.50, 0.5), box(0.60, 0.5)])
    detections = np.array([box(0.49, 0.5), box(0.54, 0.5)])
    assert matches(detections, tracks, -0.2) == {0: 0, 1: 1}


def test_an_identity_persists_while_its_box_moves() -> None:
    tracker, seen = Tracker(), []
    for step in range(10):
        moved = [box(0.1 + 0.08 * step, 0.5)] if step else None
        seen += numbers(show(tracker, [box(0.1 + 0.08 * step, 0.5)], moved))
    assert seen == [1] * 10


def test_tracked_boxes_tell_apart_objects_that_cross() -> None:
    """Detections come in another order every frame; where each track has moved decides."""
    tracker, order = Tracker(), []
    for step in range(11):
        right, left = box(0.2 + 0.06 * step, 0.45), box(0.8 - 0.06 * step, 0.55)
        now = [right, left] if step % 2 == 0 else [left, right]
        before_moved = [left, right] if step % 2 == 0 else [right, left]  # in the order of the frame before
        found = numbers(show(tracker, now, before_moved if step else None))
        order.append(found if step % 2 == 0 else found[::-1])
    assert order == [[1, 2]] * 11


def test_a_detection_without_a_partner_begins_a_track() -> None:
    tracker = Tracker()
    assert numbers(show(tracker, [box(0.2, 0.2)])) == [1]
    assert numbers(show(tracker, [box(0.8, 0.8), box(0.2, 0.2)], [box(0.2, 0.2)])) == [2, 1]


def test_boxes_that_are_close_but_apart_match_and_distant_ones_do_not() -> None:
    near, far = Tracker(), Tracker()
    for tracker in (near, far):
        show(tracker, [box(0.2, 0.2)])
    assert numbers(show(near, [box(0.31, 0.2)])) == [1]
    assert numbers(show(far, [box(0.5, 0.2)])) == [2]


def test_detections_below_the_threshold_are_no_tracks() -> None:
    tracker = Tracker()
    tracks = tracker.update(np.array([box(0.2, 0.2), box(0.7, 0.7)]), np.array([0.39, 0.41]), {})
    assert [(track.number, track.box[:2]) for track in tracks] == [(1, (0.7, 0.7))]


@pytest.mark.parametrize(("frames_away", "number"), [(1, 1), (3, 1), (4, 2)])
def test_a_track_waits_at_its_last_place_and_ends(frames_away: int, number: int) -> None:
    tracker = Tracker(AssociationConfig(patience=4))
    show(tracker, [box(0.2, 0.2)])
    for _ in range(frames_away):
        assert show(tracker, []) == []
    assert numbers(show(tracker, [box(0.2, 0.2)])) == [number]


def test_a_waiting_track_is_where_it_was_last_said_to_be() -> None:
    tracker = Tracker()
    show(tracker, [box(0.2, 0.2)])
    show(tracker, [], [box(0.6, 0.6)])  # the network says where it moved; nothing is detected there
    assert numbers(show(tracker, [box(0.2, 0.2), box(0.6, 0.6)])) == [2, 1]


def test_numbers_are_never_given_twice() -> None:
    tracker = Tracker(AssociationConfig(patience=1))
    given = [numbers(show(tracker, [box(x, x)]))[0] for x in (0.1, 0.5, 0.9, 0.1)]
    assert given == [1, 2, 3, 4]
