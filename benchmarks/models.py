"""Are the reference models as fast as the libraries' own? Same weights, same input, interleaved pairs.

    python -m benchmarks.models [KEY ...] [--pairs 12] [--budget 90] [--out reports/bench]

fp32, batch 1, every core, each model at its default clip, in a process of its own. The peer's weights, seeded noise, go
through a checkpoint file into ours, both outputs are compared, and then both run by turns, ours first in every other
pair. The
ratio is ours over the peer's: a median with its 95 % interval over pairs; under 1 is faster. Memory is the resident
peak of one forward, each in a fresh process, less what was resident before the model was built.
"""

from __future__ import annotations

import argparse
import importlib
import math
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from tests.parity import test_pytorchvideo as pytorchvideo_parity
from tests.parity import test_transformers as transformers_parity
from tests.parity.seeded import fill_with_noise
from vbench.measure.environment import environment, usable_cores
from vbench.measure.memory import resident_peak, status_bytes
from vbench.stats import median_interval
from vbench_models import Clip, card_of, load_checkpoint

CLOSE = 1e-4  # ||ours - theirs|| / ||theirs||
PRECISE = 0.015  # half an interval, relative: enough pairs
FEWEST_PAIRS = 6
MULTISCALE = ("video_swin", "mvit", "mvitv2")


Call = Callable[[Any, Tensor], Tensor]  # a peer and a video `b c t h w`: its logits


def on_the_video(theirs: Any, video: Tensor) -> Tensor:
    """The logits of a network that takes a video as ours do."""
    logits: Tensor = theirs(video)
    return logits


@dataclass(frozen=True)
class Peer:
    """A library's model: how it is built and called, and how our twin gets its weights."""

    library: str
    build: Callable[[], nn.Module]
    call: Call = on_the_video
    twin: Callable[[nn.Module, Clip], nn.Module] | None = None  # copies the weights; none: through a checkpoint


def timesformer(attention: str) -> Callable[[], nn.Module]:
    """Transformers' TimeSformer with one kind of attention."""

    def build() -> nn.Module:
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        config = TimesformerConfig(num_frames=8, attention_type=attention, num_labels=400)
        return TimesformerForVideoClassification(config)

    return build


def vivit() -> nn.Module:
    """Transformers' ViViT, model 1, on fused attention."""
    from transformers import VivitConfig, VivitForVideoClassification

    return VivitForVideoClassification(VivitConfig(num_labels=400, attn_implementation="sdpa"))


def videomae(**sizes: int) -> Callable[[], nn.Module]:
    """Transformers' VideoMAE classifier on fused attention."""

    def build() -> nn.Module:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification

        return VideoMAEForVideoClassification(VideoMAEConfig(num_labels=400, attn_implementation="sdpa", **sizes))

    return build


def torchvision_video(name: str) -> Callable[[], nn.Module]:
    """One of torchvision's video models."""

    def build() -> nn.Module:
        model: nn.Module = getattr(importlib.import_module("torchvision.models.video"), name)()
        return model

    return build


def pytorchvideo(name: str) -> Callable[[], nn.Module]:
    """One of pytorchvideo's hub models."""

    def build() -> nn.Module:
        model: nn.Module = getattr(importlib.import_module("pytorchvideo.models.hub"), name)()
        return model

    return build


def i3d() -> nn.Module:
    """Pytorchvideo's I3D-R50; its head averages over all positions, as it would have to at the clip of its figures."""
    return pytorchvideo_parity.with_a_global_pool(pytorchvideo("i3d_r50")())


def i3d_twin(theirs: nn.Module, clip: Clip) -> nn.Module:
    """Ours with its weights."""
    return pytorchvideo_parity.twin(theirs, clip)


def slowfast() -> nn.Module:
    """Pytorchvideo's SlowFast-R50 8x8, with the same head."""
    model: nn.Module = pytorchvideo_parity.with_global_pools(pytorchvideo("slowfast_r50")())
    return model


def slowfast_twin(theirs: nn.Module, clip: Clip) -> nn.Module:
    """Ours with its weights."""
    return pytorchvideo_parity.slowfast_twin(theirs, "slowfast_r50_8x8", clip)


def define_missing_operators() -> None:
    """Let torchvision's wheel, which is compiled for CUDA builds, be imported beside a CPU build of torch."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", signature)


def two_pathways(theirs: Any, video: Tensor) -> Tensor:
    """The logits of pytorchvideo's SlowFast, which takes every fourth frame, and all of them."""
    t = video.shape[2]
    logits: Tensor = theirs([video[:, :, torch.linspace(0, t - 1, t // 4).long()], video])
    return logits


PEERS = {
    "timesformer_b": Peer("transformers", timesformer("divided_space_time"), transformers_parity.logits),
    "timesformer_b_joint": Peer("transformers", timesformer("joint_space_time"), transformers_parity.logits),
    "timesformer_b_space": Peer(
        "transformers", timesformer("space_only"), transformers_parity.logits_of_the_mean_frame
    ),
    "vivit_b_16x2": Peer("transformers", vivit, transformers_parity.logits),
    "videomae_s": Peer(
        "transformers",
        videomae(hidden_size=384, num_attention_heads=6, intermediate_size=1536),
        transformers_parity.logits,
    ),
    "videomae_b": Peer("transformers", videomae(), transformers_parity.logits),
    "video_swin_t": Peer("torchvision", torchvision_video("swin3d_t")),
    "video_swin_s": Peer("torchvision", torchvision_video("swin3d_s")),
    "video_swin_b": Peer("torchvision", torchvision_video("swin3d_b")),
    "mvit_b_16x4": Peer("torchvision", torchvision_video("mvit_v1_b")),
    "mvit_b_32x3": Peer("pytorchvideo", pytorchvideo("mvit_base_32x3")),
    "mvitv2_s_16x4": Peer("torchvision", torchvision_video("mvit_v2_s")),
    "slowfast_r50_8x8": Peer("pytorchvideo", slowfast, two_pathways, twin=slowfast_twin),
    "i3d_r50": Peer("pytorchvideo", i3d, twin=i3d_twin),
}


@dataclass(frozen=True)
class Compared:
    """One model against its peer; times in seconds, memory in bytes."""

    key: str
    peer: str
    pairs: int
    ours_s: float
    theirs_s: float
    ratio: float
    low: float
    high: float
    difference: float
    ours_peak_bytes: int
    theirs_peak_bytes: int


def main() -> None:
    """Compare, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", nargs="*", default=list(PEERS), metavar="KEY")
    parser.add_argument("--pairs", default=12, type=int)
    parser.add_argument("--budget", default=90.0, type=float, help="seconds of pairs for each model")
    parser.add_argument("--out", default=Path("reports/bench"), type=Path)
    arguments = parser.parse_args()
    if unknown := [key for key in arguments.keys if key not in PEERS]:
        parser.error(f"no peer for {', '.join(unknown)}; there are {', '.join(PEERS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for key in arguments.keys:
        rows.append(compare(key, arguments.pairs, arguments.budget))
        print(f"{key}: {rows[-1].ratio:.3f} [{rows[-1].low:.3f}, {rows[-1].high:.3f}]", flush=True)
        table = pd.DataFrame([asdict(row) for row in rows])
        table.to_csv(arguments.out / "models.csv", index=False)
    text = report(table)
    (arguments.out / "models.md").write_text(text, encoding="utf-8")
    print(text)


def compare(key: str, pairs: int, budget_s: float) -> Compared:
    """One model: the pairs in one fresh process, each memory peak in another."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "peer.pt"
        timed = in_fresh_process(timed_pairs, key, checkpoint, pairs, budget_s)
        peaks = [in_fresh_process(peak_of, key, checkpoint, who) for who in ("ours", "theirs")]
    ratios = [ours / theirs for ours, theirs in timed["pairs"]]
    interval = median_interval(ratios)
    return Compared(
        key=key,
        peer=PEERS[key].library,
        pairs=len(ratios),
        ours_s=statistics.median(ours for ours, _ in timed["pairs"]),
        theirs_s=statistics.median(theirs for _, theirs in timed["pairs"]),
        ratio=interval.estimate,
        low=interval.low,
        high=interval.high,
        difference=timed["difference"],
        ours_peak_bytes=peaks[0],
        theirs_peak_bytes=peaks[1],
    )


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def timed_pairs(key: str, checkpoint: Path, pairs: int, budget_s: float) -> dict[str, Any]:
    """The seconds of both, pair by pair, and how far their outputs are apart."""
    prepare()
    peer = PEERS[key]
    theirs = peer.build().eval()
    fill_with_noise(theirs, 1)
    torch.save(theirs.state_dict(), checkpoint)
    ours, video = twin(key, theirs, checkpoint), clip(key)
    runs = partial(ours, video), partial(peer.call, theirs, video)
    with torch.inference_mode():
        outputs = [run() for run in runs]
        difference = float((outputs[0] - outputs[1]).norm() / outputs[1].norm())
        if difference > CLOSE:
            raise RuntimeError(f"{key}: outputs differ by {difference:.1e}")
        for run in runs:
            run()
        return {"difference": difference, "pairs": sampled(runs, pairs, budget_s)}


def sampled(runs: tuple[Callable[[], object], ...], pairs: int, budget_s: float) -> list[tuple[float, float]]:
    """Pairs until the ratio is precise, as many as asked for, or time is up."""
    taken: list[tuple[float, float]] = []
    started = time.monotonic()
    while len(taken) < pairs:
        order = (0, 1) if len(taken) % 2 == 0 else (1, 0)
        seconds = {index: seconds_of(runs[index]) for index in order}
        taken.append((seconds[0], seconds[1]))
        if len(taken) < FEWEST_PAIRS:
            continue
        interval = median_interval([ours / theirs for ours, theirs in taken])
        if interval.high - interval.low < 2 * PRECISE * interval.estimate or time.monotonic() - started > budget_s:
            break
    return taken


def seconds_of(run: Callable[[], object]) -> float:
    """One call, timed."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_of(key: str, checkpoint: Path, who: str) -> int:
    """Bytes that one forward of `ours` or `theirs` adds at its highest to what was resident before it was built."""
    prepare()
    peer = PEERS[key]
    floor = status_bytes("VmRSS")
    if who == "ours":
        ours, video = twin(key, None, checkpoint), clip(key)
        run = partial(ours, video)
    else:
        run = partial(peer.call, peer.build().eval(), clip(key))
    with torch.inference_mode():
        run()
        return resident_peak(run) - floor


def twin(key: str, theirs: nn.Module | None, checkpoint: Path) -> nn.Module:
    """Our network with the peer's weights, out of the file or, where we read no such file, by its parity test."""
    peer = PEERS[key]
    if peer.twin is None:
        network: nn.Module = load_checkpoint(key, checkpoint)
        return network
    if theirs is None:
        theirs = peer.build()
        theirs.load_state_dict(torch.load(checkpoint, weights_only=True))
    clip_size = card_of(key).default_clip
    assert clip_size is not None, f"{key} has no default clip"
    return peer.twin(theirs, clip_size).eval()


def clip(key: str) -> Tensor:
    """Seeded noise of the model's default clip."""
    wanted = card_of(key).default_clip
    assert wanted is not None, f"{key} has no default clip"
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, wanted.frames, wanted.height, wanted.width, generator=generator)


def prepare() -> None:
    """Every core, the same seed, and no warnings of the peers' own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(usable_cores())
    torch.manual_seed(0)
    define_missing_operators()  # transformers imports torchvision where it finds it


def report(table: pd.DataFrame) -> str:
    """The table in Markdown, where it was measured, and the means that the bar is set on."""
    here = environment()
    family = [card_of(key).family for key in table["key"]]
    multiscale = table[[name in MULTISCALE for name in family]]
    shown = pd.DataFrame(
        {
            "model": table["key"],
            "peer": table["peer"],
            "ours / peer": [f"{r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in table.itertuples()],
            "pairs": table["pairs"],
            "ours": [f"{1e3 * s:.0f} ms" for s in table["ours_s"]],
            "peer's": [f"{1e3 * s:.0f} ms" for s in table["theirs_s"]],
            "memory, ours / peer": [f"{r.ours_peak_bytes / r.theirs_peak_bytes:.2f}" for r in table.itertuples()],
            "outputs differ by": [f"{d:.1e}" for d in table["difference"]],
        }
    )
    means = f"Geometric mean over all {len(table)}: {geometric_mean(table):.3f}"
    means += (
        f"; over the {len(multiscale)} of Swin and MViT: {geometric_mean(multiscale):.3f}." if len(multiscale) else "."
    )
    head = "# Models against the libraries' own"
    where = f"{here.hardware}, {here.threads} threads, torch {here.torch}, commit {here.commit}."
    about = (
        "fp32, batch 1, default clips. The ratio is of times, with its 95 % interval over interleaved pairs; under 1 "
        "is faster."
    )
    return f"{head}\n\n{where} {about}\n\n{shown.to_markdown(index=False)}\n\n{means}\n"


def geometric_mean(table: pd.DataFrame) -> float:
    """Of the ratios of time."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in table["ratio"])) if len(table) else math.nan


if __name__ == "__main__":
    main()
