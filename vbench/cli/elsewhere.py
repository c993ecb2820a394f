"""What else a deployment asks: hardware that is not here, and the input that a model is fed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vbench.cli.options import AsJson, Records
from vbench.cli.output import cell_asked, console, frame_of, print_json, records_directory
from vbench.errors import unknown_name

if TYPE_CHECKING:
    from vbench.analysis.feeding import Feed
    from vbench.analysis.modelled import Modelled


def hardware(
    name: Annotated[str, typer.Argument(help="A catalog key.")],
    frames: Annotated[int | None, typer.Option(help="Frames of the clip.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width in pixels, as in 224 or 256x448.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16, fp16 or bf16_pure.")] = "fp32",
    accelerator: Annotated[str | None, typer.Option(help="One key of the catalog, as in t4; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Model what known accelerators would need and take at least, from counts and datasheets; nothing is measured."""
    from vbench.analysis.accelerators import accelerator_named, accelerators
    from vbench.analysis.modelled import modelled
    from vbench.measure.support import check_supported
    from vbench.measure.worker import counts_of

    asked = [accelerator_named(accelerator)] if accelerator else list(accelerators().values())
    cell = cell_asked(name, frames=frames, size=size, batch=batch, precision=precision, device="cuda")
    check_supported(cell, elsewhere=True)
    counts = counts_of(cell)
    cost = {"flops": 2 * counts.macs, "op_bytes": counts.op_bytes, "tensor_peak_bytes": counts.predicted_peak_bytes}
    answers = [modelled(one, precision, **cost) for one in asked]
    if as_json:
        print_json([answer.to_json() for answer in answers])
    else:
        _print_modelled(answers)


def _print_modelled(answers: list[Modelled]) -> None:
    from rich.table import Table

    from vbench import units
    from vbench.analysis.modelled import CONTEXT_BYTES

    context = units.size(CONTEXT_BYTES)
    table = Table(box=None, caption=f"modelled, not measured; {context} assumed for the CUDA context")
    for head in ("accelerator", "memory needed", "of", "fits", "latency at least", "bound"):
        table.add_column(head, no_wrap=True)
    for answer in answers:
        least = "no such cores" if answer.latency_at_least_s is None else units.seconds(answer.latency_at_least_s)
        needed, memory = units.size(answer.needed_bytes), units.size(answer.memory_bytes)
        table.add_row(answer.title, needed, memory, "yes" if answer.fits else "no", least, answer.bound or "-")
    console().print(table)


def input_pipeline(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Catalog keys.")],
    sampling: Annotated[str, typer.Option(help="uniform, jittered (with dropped frames) or dynamic.")] = "uniform",
    clips: Annotated[int, typer.Option(help="Clips that are prepared.")] = 8,
    records: Records = None,
    as_json: AsJson = False,
) -> None:
    """Time decode, sampling, crop and jitter of a video, in clips a second beside the measured model's."""
    from vbench.analysis.feeding import feed
    from vbench.measure.frame_sampling import SAMPLINGS
    from vbench.measure.runner import Runner, Settings
    from vbench.measure.support import check_supported

    if sampling not in SAMPLINGS:
        raise unknown_name("sampling", sampling, SAMPLINGS)
    cells = [replace(cell_asked(name), video=str(video)) for name in names]
    for cell in cells:
        check_supported(cell)
    frame, runner = frame_of(records_directory(records)), Runner(Settings(), "")
    feeds = [feed(cell, runner.input_stages(cell, sampling, clips), frame) for cell in cells]
    if as_json:
        print_json([one.to_json() for one in feeds])
    else:
        _print_feeds(feeds)


def _print_feeds(feeds: list[Feed]) -> None:
    from rich.table import Table

    from vbench import units

    table = Table(box=None, caption="a loader is one process of one thread; the model's clips/s: fp32, batch 1")
    heads = ("model", "clip", *feeds[0].stages_s, "loader clips/s", "model clips/s", "who waits", "loaders to keep up")
    for head in heads:
        table.add_column(head, no_wrap=True)
    for one in feeds:
        stages = [units.seconds(seconds) for seconds in one.stages_s.values()]
        loader = units.three_digits(one.loader_clips_per_second)
        model = "-" if one.model_clips_per_second is None else units.three_digits(one.model_clips_per_second)
        clip = units.extent(one.frames, one.height, one.width)
        table.add_row(one.name, clip, *stages, loader, model, one.waits, str(one.loaders or "-"))
    console().print(table)
