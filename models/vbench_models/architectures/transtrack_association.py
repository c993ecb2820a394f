"""TransTrack's association: detected boxes are matched with tracked ones by their overlap. Nothing in it attends.

Sun et al., "TransTrack: Multiple Object Tracking with Transformer", 2020, sec. 3.4, https://arxiv.org/abs/2012.15460:
the assignment of least cost between boxes, where the cost is one minus the intersection over union. A detection
without a partner begins a track; a track without one waits some frames at its last place, and ends. Facts from the
official code: the generalised intersection over union (Rezatofighi et al., CVPR 2019, https://arxiv.org/abs/1902.09630),
the thresholds, and that a waiting track is matched like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Boxes: TypeAlias = NDArray[np.floating]  # rows of (centre x, centre y, width, height)

NO_AREA = np.finfo(np.float64).tiny


@dataclass(frozen=True, kw_only=True)
class AssociationConfig:
    """The official thresholds."""

    least_score: float = 0.4  # of a detection that counts
    least_overlap: float = -0.2  # generalised: boxes that are close, but apart, may match
    patience: int = 32  # frames after its last detection at which a track ends


@dataclass(frozen=True, kw_only=True)
class Track:
    """One object: its number, where it is, and for how many frames nothing was detected there."""

    number: int
    box: tuple[float, float, float, float]
    missing: int = 0


class Tracker:
    """The tracks of one stream, frame by frame; numbers are given once and begin at 1."""

    def __init__(self, config: AssociationConfig = AssociationConfig()) -> None:
        self.config = config
        self._numbers = count(1)
        self._seen: dict[int, Track] = {}  # by the detection that showed it in the frame before
        self._waiting: list[Track] = []

    def update(self, boxes: Boxes, scores: NDArray[np.floating], tracked: Mapping[int, Boxes]) -> list[Track]:
        """The tracks that one frame shows, and from then on the tracker's state.

        `boxes` and `scores` are the frame's detections; `tracked` says where detections of the frame before are now.
        """
        moved = (_moved(track, tracked.get(origin)) for origin, track in self._seen.items())
        live = [*moved, *self._waiting]
        found = [int(index) for index in np.flatnonzero(scores >= self.config.least_score)]
        partners = matches(boxes[found], np.array([track.box for track in live]), self.config.least_overlap)
        self._seen = {}
        for row, detection in enumerate(found):
            number = live[partners[row]].number if row in partners else next(self._numbers)
            self._seen[detection] = Track(number=number, box=_numbers(boxes[detection]))
        lost = (track for index, track in enumerate(live) if index not in partners.values())
        aged = (replace(track, missing=track.missing + 1) for track in lost)
        self._waiting = [track for track in aged if track.missing < self.config.patience]
        return list(self._seen.values())


def track_video(
    step: Callable[[Tensor, Any], tuple[Any, Any]], video: Tensor, tracker: Tracker
) -> Iterator[list[Track]]:
    """The tracks of each frame of one video, `1 c t h w`; `step` is the network's own."""
    state = None
    for frame in video.unbind(2):
        with torch.no_grad():
            tracking, state = step(frame, state)
        boxes, scores, tracks = (_array(x[0]) for x in (tracking.boxes, tracking.scores, tracking.track_boxes))
        yield tracker.update(boxes, scores, dict(zip(tracking.origins[0].tolist(), tracks, strict=True)))


def matches(detections: Boxes, tracks: Boxes, least_overlap: float) -> dict[int, int]:
    """From detections to their tracks: the pairs of greatest overlap in sum, less those that overlap too little."""
    if not len(detections) or not len(tracks):
        return {}
    overlap = generalised_iou(detections, tracks)
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    return {int(row): int(column) for row, column in pairs if overlap[row, column] >= least_overlap}


def generalised_iou(a: Boxes, b: Boxes) -> NDArray[np.floating]:
    """Intersection over union of every box of `a` with every one of `b`, less the share of their hull that is neither.

    Between -1 and 1; it is 1 for equal boxes, and grows as boxes that are apart approach each other. Boxes without any
    area, which half precision can make, overlap by 0.
    """
    (a_low, a_high), (b_low, b_high) = _corners(a[:, None]), _corners(b[None])
    shared = _area(np.minimum(a_high, b_high) - np.maximum(a_low, b_low))
    hull = _area(np.maximum(a_high, b_high) - np.minimum(a_low, b_low))
    union = a[:, None, 2:].prod(-1) + b[None, :, 2:].prod(-1) - shared
    overlap: NDArray[np.floating] = shared / np.maximum(union, NO_AREA) - (hull - union) / np.maximum(hull, NO_AREA)
    return overlap


def _corners(boxes: Boxes) -> tuple[Boxes, Boxes]:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return centre - half, centre + half


def _area(extent: Boxes) -> NDArray[np.floating]:
    area: NDArray[np.floating] = extent.clip(min=0).prod(-1)
    return area


def _moved(track: Track, box: Boxes | None) -> Track:
    return track if box is None else replace(track, box=_numbers(box))


def _numbers(box: Boxes) -> tuple[float, float, float, float]:
    x, y, width, height = box.tolist()
    return x, y, width, height


def _array(x: Tensor) -> NDArray[np.floating]:
    return x.double().cpu().numpy()
