"""STM: video object segmentation with a memory of past frames and their masks, read by the frame at hand.

Oh et al., "Video Object Segmentation using Space-Time Memory Networks", ICCV 2019, sec. 3,
https://arxiv.org/abs/1904.00607; details from the official code: 3 x 3 convolutions to keys and values, pre-activated
residual blocks, objects segmented one by one and merged by their odds against the background. The memory has no bound:
a frame that is remembered costs every later one. Differs from the code: frames come normalised, objects and
clips are batched together, and the first frames of a clip come with their masks, so that one call is memorising
them and segmenting the last; `memorise`, `segment` and `joined` run a stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import attend
from vbench_models.layers.resnet import STEM_CHANNELS, WIDTHS, ResNet
from vbench_models.layers.upsampling import enlarged
from vbench_models.video import Clip, UnsupportedClipError

PITCH = 16  # pixels of one position of res4


@dataclass(frozen=True, kw_only=True)
class STMConfig:
    """Channels of keys, values and the way up, and the number of objects that `further_inputs` makes masks for."""

    key_dim: int = 128
    value_dim: int = 512
    decoder_dim: int = 256
    num_objects: int = 1


STM_R50 = STMConfig()


class Memory(NamedTuple):
    """Keys and values at every position of the remembered frames, for each object."""

    keys: Float[Tensor, "b objects t hw key"]
    values: Float[Tensor, "b objects t hw value"]


class Masks(NamedTuple):
    """The background's logit and each object's, of the frame's size; the odds of each against all others."""

    logits: Float[Tensor, "b objects+1 height width"]


class MaskedEncoder(nn.Module):
    """A ResNet-50 to res4 whose stem adds up the frame, an object's mask and the mask of all other objects."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet(stages=("res4",))
        self.mask_conv = nn.Conv2d(1, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.others_conv = nn.Conv2d(1, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)

    def forward(
        self, frame: Float[Tensor, "b c height width"], mask: Tensor, others: Tensor
    ) -> Float[Tensor, "b c2 h w"]:
        """The features of the frame as seen from one object; masks are `b 1 height width`."""
        stem = self.resnet.stem
        conv, norm = stem.conv
        x = conv(frame) + self.mask_conv(mask) + self.others_conv(others)
        (features,) = self.resnet.from_stem(stem.pool(stem.relu(norm(x))))
        return features


class KeyValue(nn.Module):
    """A key and a value for each position, each by a 3 x 3 convolution."""

    def __init__(self, config: STMConfig) -> None:
        super().__init__()
        self.key = nn.Conv2d(WIDTHS["res4"], config.key_dim, 3, padding=1)
        self.value = nn.Conv2d(WIDTHS["res4"], config.value_dim, 3, padding=1)

    def forward(self, features: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b v h w"]]:
        """Both maps."""
        return self.key(features), self.value(features)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each after a ReLU, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The features after the block."""
        out: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return out


class Refinement(nn.Module):
    """One level up: the encoder's finer features narrowed, the coarser result enlarged, their sum refined."""

    def __init__(self, fine_channels: int, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(fine_channels, channels, 3, padding=1)
        self.fine = ResidualBlock(channels)
        self.fused = ResidualBlock(channels)

    def forward(
        self, fine: Float[Tensor, "b fine_c h2 w2"], coarse: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h2 w2"]:
        """Features of the finer size."""
        shortcut = self.fine(self.narrow(fine))
        out: Tensor = self.fused(shortcut + enlarged(coarse, (fine.shape[2], fine.shape[3])))
        return out


class MaskDecoder(nn.Module):
    """From what the memory said at res4, over res3 and res2, to two logits for each fourth pixel: off and on."""

    def __init__(self, config: STMConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.narrow = nn.Conv2d(2 * config.value_dim, dim, 3, padding=1)
        self.coarse = ResidualBlock(dim)
        self.to_res3 = Refinement(WIDTHS["res3"], dim)
        self.to_res2 = Refinement(WIDTHS["res2"], dim)
        self.head = nn.Conv2d(dim, 2, 3, padding=1)

    def forward(self, read: Float[Tensor, "b c h w"], res3: Tensor, res2: Tensor) -> Float[Tensor, "b 2 h4 w4"]:
        """The logits of one object at a quarter of the frame's size."""
        x = self.coarse(self.narrow(read))
        x = self.to_res2(res2, self.to_res3(res3, x))
        out: Tensor = self.head(F.relu(x))
        return out


class STM(nn.Module):
    """Two encoders, one of frames with masks and one of frames alone; a memory between them; a decoder."""

    def __init__(self, config: STMConfig) -> None:
        super().__init__()
        self.config = config
        self.memory_encoder = MaskedEncoder()
        self.memory_key_value = KeyValue(config)
        self.query_encoder = ResNet(stages=("res2", "res3", "res4"))
        self.query_key_value = KeyValue(config)
        self.decoder = MaskDecoder(config)

    def forward(
        self, video: Float[Tensor, "b c frames height width"], masks: Float[Tensor, "b objects past height width"]
    ) -> Masks:
        """The masks of the last frame; those of all frames before it, past = frames - 1, are given."""
        past = [self.memorise(video[:, :, index], masks[:, :, index]) for index in range(masks.shape[2])]
        return self.segment(video[:, :, -1], joined(past))

    def further_inputs(self, video: Tensor) -> tuple[Tensor]:
        """Masks for all frames but the last, of the configuration's number of objects: each a band of the frame."""
        b, _, t, height, width = video.shape
        objects = self.config.num_objects
        bands = torch.arange(width, device=video.device) * (objects + 1) // width
        masks = torch.stack([bands == index + 1 for index in range(objects)]).to(video.dtype)
        return (repeat(masks, "objects w -> b objects t h w", b=b, t=t - 1, h=height),)

    def memorise(
        self, frame: Float[Tensor, "b c height width"], masks: Float[Tensor, "b objects height width"]
    ) -> Memory:
        """What one frame with its masks adds to the memory."""
        others = (masks.sum(dim=1, keepdim=True) - masks).clamp(0, 1)
        each = rearrange(torch.stack((masks, others)), "two b objects h w -> two (b objects) 1 h w")
        mask, other = padded(each[0]), padded(each[1])
        frames = repeat(padded(frame), "b c h w -> (b objects) c h w", objects=masks.shape[1])
        key, value = self.memory_key_value(self.memory_encoder(frames, mask, other))
        return Memory(*(rearrange(x, "(b objects) c h w -> b objects 1 (h w) c", b=len(frame)) for x in (key, value)))

    def segment(self, frame: Float[Tensor, "b c height width"], memory: Memory) -> Masks:
        """The masks of a frame, out of what is remembered of the frames before it."""
        objects = memory.keys.shape[1]
        res2, res3, res4 = self.query_encoder(padded(frame))
        key, value = self.query_key_value(res4)
        read = read_memory(memory, key)
        own = (repeat(x, "b c h w -> (b objects) c h w", objects=objects) for x in (value, res3, res2))
        value, res3, res2 = own
        pairs = self.decoder(torch.cat((read, value), dim=1), res3, res2)
        pairs = cropped(enlarged(pairs, (4 * pairs.shape[2], 4 * pairs.shape[3])), frame.shape[2], frame.shape[3])
        return Masks(against_background(rearrange(pairs.softmax(dim=1)[:, 1], "(b o) h w -> b o h w", o=objects)))


def read_memory(memory: Memory, key: Float[Tensor, "b key h w"]) -> Float[Tensor, "bo value h w"]:
    """For each object, the values of the whole memory, weighted by how its keys fit each position's own."""
    b, objects = memory.keys.shape[:2]
    query = repeat(key, "b c h w -> (b objects) 1 (h w) c", objects=objects)
    keys, values = (rearrange(x, "b objects t hw c -> (b objects) 1 (t hw) c") for x in memory)
    read = attend(query, keys, values)
    return rearrange(read, "bo 1 (h w) c -> bo c h w", bo=b * objects, h=key.shape[2])


def joined(memories: Sequence[Memory]) -> Memory:
    """One memory of several, in their order."""
    return Memory(*(torch.cat(parts, dim=2) for parts in zip(*memories, strict=True)))


def against_background(on: Float[Tensor, "b objects h w"]) -> Float[Tensor, "b objects+1 h w"]:
    """Each object's log odds, and in front the background's, which is there where no object is."""
    background = (1 - on).prod(dim=1, keepdim=True)
    most = 1 - max(1e-7, torch.finfo(on.dtype).eps / 2)  # in half precision 1 - 1e-7 would be 1
    return torch.cat((background, on), dim=1).clamp(1e-7, most).logit()


def padded(x: Float[Tensor, "b c height width"]) -> Float[Tensor, "b c height2 width2"]:
    """Zeros on both sides, up to the next multiple of 16; the larger half below and to the right."""
    height, width = (-size % PITCH for size in x.shape[2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def cropped(x: Float[Tensor, "b c height2 width2"], height: int, width: int) -> Float[Tensor, "b c height width"]:
    """What `padded` put around a frame of this size taken off again."""
    top, left = (-height % PITCH) // 2, (-width % PITCH) // 2
    return x[:, :, top : top + height, left : left + width]


def stm_r50(clip: Clip) -> STM:
    """STM on ResNet-50, any frame size; the clip's last frame is segmented, those before it are its memory.

    Raises:
        UnsupportedClipError: a single frame, which has no past.
    """
    if clip.frames < 2:
        raise UnsupportedClipError(f"frames must be at least 2, the last reads those before; got frames={clip.frames}")
    return STM(STM_R50)
