"""TransTrack: two sets of queries on each frame of a stream, learned ones that detect and carried ones that track.

Sun et al., "TransTrack: Multiple Object Tracking with Transformer", 2020, sec. 3, https://arxiv.org/abs/2012.15460;
encoder, decoders and box refinement are those of Deformable DETR, https://arxiv.org/abs/2010.04159. The features of a
frame are aggregated with those of the frame before, level by level, and encoded once. One decoder detects; the other
takes what came of the frame before as queries, and says where those objects are now. What joins the two sets is not
here: `transtrack_association` matches boxes. Facts from the official code: the decoders add no position to their
queries; the boxes of track queries are not refined from layer to layer; both decoders share the heads.

Differs from the official code: an offset is in pixels along its own axis, as in Deformable DETR, where it divides x by
the height and y by the width; features are carried projected, where it projects them again in the next frame; heads
that serve auxiliary losses alone do not run; no padding, thus no masks; no dropout. With fewer track queries than
detections, which is ours, those of the highest score are carried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vbench_models.layers.deformable_attention import DeformableConfig, Shapes
from vbench_models.layers.deformable_transformer import (
    DecoderLayer,
    EncoderLayer,
    perceptron,
    pixel_centres,
    sine_positions,
)
from vbench_models.layers.frozen_norm import FrozenBatchNorm2d
from vbench_models.layers.resnet import WIDTHS, ResNet, StageName
from vbench_models.video import Clip, ModelError

STAGES: tuple[StageName, ...] = ("res3", "res4", "res5")
PITCHES = (8, 16, 32, 64)  # of the three stages and of one level more, in pixels
PERSON = 1  # the class whose score counts: the official head has 20 for MOT, all but this one unused
SMALLEST = 1e-5  # of a coordinate, or of what it lacks to one, where its logit is taken


@dataclass(frozen=True, kw_only=True)
class TransTrackConfig:
    """The defaults are the official code's.

    Raises:
        ModelError: more track queries than detections they could come from.
    """

    attention: DeformableConfig = field(default_factory=DeformableConfig)
    mlp_dim: int = 1024
    depth: int = 6  # of the encoder and of each decoder
    num_queries: int = 500
    num_track_queries: int = 500
    num_classes: int = 20
    norm_groups: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.num_track_queries <= self.num_queries:
            raise ModelError(
                f"num_track_queries must be between 1 and num_queries; got num_track_queries={self.num_track_queries}, "
                f"num_queries={self.num_queries}"
            )


TRANSTRACK_R50 = TransTrackConfig()


class Tracking(NamedTuple):
    """What is found in a frame, and where what was found in the frame before is now; of a clip, with an axis t.

    Boxes are (centre x, centre y, width, height) in the unit square. `origins` says which detection of the frame before
    a tracked box was. On the first frame of a stream, what is tracked is what is detected.
    """

    boxes: Float[Tensor, "b *t q 4"]
    logits: Float[Tensor, "b *t q classes"]
    track_boxes: Float[Tensor, "b *t tracks 4"]
    track_logits: Float[Tensor, "b *t tracks classes"]
    origins: Int[Tensor, "b *t tracks"]

    @property
    def scores(self) -> Float[Tensor, "b *t q"]:
        """How sure each detection is."""
        return self.logits[..., PERSON].sigmoid()


class TrackState(NamedTuple):
    """What a frame leaves to the next one, detached: the official training takes no gradient of the past."""

    levels: tuple[Float[Tensor, "b c _h _w"], ...]
    queries: Float[Tensor, "b tracks c"]
    boxes: Float[Tensor, "b tracks 4"]
    origins: Int[Tensor, "b tracks"]


class Levels(nn.Module):
    """The backbone's last three stages, and one level of half the last one's size, projected to one width."""

    def __init__(self, config: TransTrackConfig) -> None:
        super().__init__()
        width, groups = config.attention.embed_dim, config.norm_groups
        self.backbone = ResNet(stages=STAGES, norm=FrozenBatchNorm2d)
        convolutions = [nn.Conv2d(WIDTHS[name], width, 1) for name in STAGES]
        convolutions.append(nn.Conv2d(WIDTHS[STAGES[-1]], width, 3, stride=2, padding=1))
        self.projections = nn.ModuleList(nn.Sequential(conv, nn.GroupNorm(groups, width)) for conv in convolutions)

    def forward(self, frame: Float[Tensor, "b channels height width"]) -> tuple[Float[Tensor, "b c _h _w"], ...]:
        """Four maps, finest first."""
        features = self.backbone(frame)
        stages = (*features, features[-1])
        return tuple(project(stage) for project, stage in zip(self.projections, stages, strict=True))


class TransTrack(nn.Module):
    """Tracks through frames of the clip's size, one after another."""

    positions: Tensor
    places: Tensor

    def __init__(self, config: TransTrackConfig, clip: Clip) -> None:
        super().__init__()
        self.config, self.shapes = config, level_shapes(clip)
        width, layers = config.attention.embed_dim, range(config.depth)
        of_layer = (config.attention, config.mlp_dim, self.shapes)
        self.levels = Levels(config)
        self.combine = nn.Conv2d(2 * width, width, 1)
        self.level_embed = nn.Parameter(torch.randn(len(self.shapes), width))
        self.encoder = nn.ModuleList(EncoderLayer(*of_layer) for _ in layers)
        self.queries = nn.Parameter(torch.randn(config.num_queries, width))
        self.query_places = nn.Parameter(torch.randn(config.num_queries, width))
        self.to_reference = nn.Linear(width, 2)
        self.decoder = nn.ModuleList(DecoderLayer(*of_layer) for _ in layers)
        self.track_decoder = nn.ModuleList(DecoderLayer(*of_layer) for _ in layers)
        self.box_heads = nn.ModuleList(perceptron(width, width, width, 4) for _ in layers)
        self.class_heads = nn.ModuleList(nn.Linear(width, config.num_classes) for _ in layers)
        self.register_buffer("positions", sine_positions(self.shapes, width), persistent=False)
        self.register_buffer("places", pixel_centres(self.shapes), persistent=False)

    def forward(
        self, video: Float[Tensor, "b channels frames height width"], state: TrackState | None = None
    ) -> Tracking:
        """All frames in turn; the last one is the current one, and its track queries come from the one before it."""
        of_frames = []
        for frame in video.unbind(2):
            tracking, state = self.step(frame, state)
            of_frames.append(tracking)
        return Tracking(*(torch.stack(parts, dim=1) for parts in zip(*of_frames, strict=True)))

    def further_inputs(self, video: Float[Tensor, "b channels frames height width"]) -> tuple[TrackState]:
        """The state of a stream that has begun, so that every frame of the clip detects and tracks."""
        batch, tracks, width = len(video), self.config.num_track_queries, self.config.attention.embed_dim
        return (
            TrackState(
                levels=tuple(video.new_zeros(batch, width, h, w) for h, w in self.shapes),
                queries=video.new_zeros(batch, tracks, width),
                boxes=torch.rand(batch, tracks, 4, device=video.device, dtype=video.dtype),
                origins=torch.arange(tracks, device=video.device).expand(batch, -1),
            ),
        )

    def step(
        self, frame: Float[Tensor, "b channels height width"], state: TrackState | None
    ) -> tuple[Tracking, TrackState]:
        """One frame and what it leaves to the next; a state of None begins a stream."""
        levels = self.levels(frame)
        memory = self.encode(levels, levels if state is None else state.levels)
        queries, boxes, logits = self.detect(memory)
        origins = self.carried(logits)
        left = TrackState(
            levels=tuple(level.detach() for level in levels),
            queries=taken(queries, origins).detach(),
            boxes=taken(boxes, origins).detach(),
            origins=origins,
        )
        if state is None:
            return Tracking(boxes, logits, taken(boxes, origins), taken(logits, origins), origins), left
        return Tracking(boxes, logits, *self.track(state, memory), state.origins), left

    def encode(
        self, levels: tuple[Float[Tensor, "b c _h _w"], ...], before: tuple[Float[Tensor, "b c _h _w"], ...]
    ) -> Float[Tensor, "b n c"]:
        """The pixels of all levels, each aggregated with the same one of the frame before, through the encoder."""
        pairs = (self.combine(torch.cat(pair, dim=1)) for pair in zip(levels, before, strict=True))
        x = torch.cat([rearrange(pair, "b c h w -> b (h w) c") for pair in pairs], dim=1)
        embeds = (embed.expand(h * w, -1) for embed, (h, w) in zip(self.level_embed, self.shapes, strict=True))
        positions, places = self.positions + torch.cat(tuple(embeds)), self.places.expand(len(x), -1, -1)
        for layer in self.encoder:
            x = layer(x, positions, places)
        return x

    def detect(self, memory: Float[Tensor, "b n c"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, boxes and logits; every layer looks around the boxes of the one before, the first around points."""
        queries, reference = (x.repeat(len(memory), 1, 1) for x in (self.queries, self.first_reference()))
        for layer, head in zip(self.decoder, self.box_heads, strict=True):
            queries = layer(queries, reference, memory)
            boxes = moved(reference, head(queries))
            reference = boxes.detach()
        return queries, boxes, self.class_heads[-1](queries)

    def first_reference(self) -> Float[Tensor, "q 2"]:
        """Where the learned queries start, whatever the frame."""
        reference: Tensor = self.to_reference(self.query_places).sigmoid()
        return reference

    def track(self, state: TrackState, memory: Float[Tensor, "b n c"]) -> tuple[Tensor, Tensor]:
        """Boxes and logits of the carried queries; every layer looks around their boxes of the frame before."""
        queries = state.queries
        for layer in self.track_decoder:
            queries = layer(queries, state.boxes, memory)
        return moved(state.boxes, self.box_heads[-1](queries)), self.class_heads[-1](queries)

    def carried(self, logits: Float[Tensor, "b q classes"]) -> Int[Tensor, "b tracks"]:
        """Which detections become track queries: all of them, or as many as configured, best first."""
        tracks = self.config.num_track_queries
        if tracks == self.config.num_queries:
            return torch.arange(tracks, device=logits.device).expand(len(logits), -1)
        return logits[..., PERSON].topk(tracks).indices


def transtrack_r50(clip: Clip) -> TransTrack:
    """TransTrack with ResNet-50 for frames of `clip`'s size: 47.1 M parameters, 500 detections, 500 tracks."""
    return TransTrack(TRANSTRACK_R50, clip)


def moved(reference: Float[Tensor, "b q coordinates"], by: Float[Tensor, "b q 4"]) -> Float[Tensor, "b q 4"]:
    """Boxes at `by` from the reference, before the sigmoid; a point has no size of its own to add to."""
    start = (reference.clamp(min=SMALLEST) / (1 - reference).clamp(min=SMALLEST)).log()
    return (by + F.pad(start, (0, 4 - start.shape[-1]))).sigmoid()


def taken(x: Float[Tensor, "b q *channels"], which: Int[Tensor, "b tracks"]) -> Float[Tensor, "b tracks *channels"]:
    """The rows `which` of each sequence."""
    return x.gather(1, which.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def level_shapes(clip: Clip) -> Shapes:
    """Height and width of every level: the frame's over the level's pitch, rounded up."""
    return tuple((-(-clip.height // pitch), -(-clip.width // pitch)) for pitch in PITCHES)
