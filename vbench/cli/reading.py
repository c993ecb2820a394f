"""What the records of a sweep answer: the comparison tables and the guide."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vbench.cli.options import NO_ANSWER, AsJson, Out, Records
from vbench.cli.output import console, frame_of, print_json, records_directory, records_of


def tables(records: Records = None, out: Out = None) -> None:
    """Write the comparison tables: claimed, published and measured side by side.

    What the records do not hold is counted now, and says that it was not measured.
    """
    from vbench.analysis.comparison import claims_frame, published_frame
    from vbench.proof import complete_certificates, complete_frame
    from vbench.report.along_time import along_time_tables
    from vbench.report.certificates import mechanisms_table, read_certificates
    from vbench.report.deployment import deployment_tables
    from vbench.report.tables import report_tables, write_tables

    directory = records_directory(records)
    frame = complete_frame(*records_of(directory))
    written = report_tables(frame, published_frame(), claims_frame()) + deployment_tables(frame, published_frame())
    written += along_time_tables(frame)
    written.append(mechanisms_table(complete_certificates(read_certificates(directory)), frame))
    for path in write_tables(written, (out or directory) / "tables"):
        print(path)


def guide(
    records: Records = None,
    seconds: Annotated[float | None, typer.Option(help="Length of the video in seconds.")] = None,
    fps: Annotated[float, typer.Option(help="Frames a second of the source.")] = 30.0,
    frames: Annotated[int | None, typer.Option(help="Length of the video in source frames.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width in pixels; else each model's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    max_latency: Annotated[str | None, typer.Option(help="Of the whole video, as in 0.5s.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="As in 8GiB.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="Published Kinetics-400 top-1 in percent.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Rank one view over the whole clip.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend an architecture for a video of a given length, from records and published accuracy.

    Every model takes as many views of its own clip as the video needs. The most accurate comes first, or with
    a least accuracy (--min-top1) the cheapest. Exit code 3 where nothing keeps the limits.
    """
    from vbench import units
    from vbench.analysis.comparison import published_frame
    from vbench.analysis.guide import guide as recommend

    answer = recommend(
        frame_of(records_directory(records)),
        published_frame(),
        seconds=seconds, fps=fps, frames=frames, size=size, device=device,
        max_latency_s=units.parse_duration_s(max_latency) if max_latency is not None else None,
        max_memory_bytes=units.parse_bytes(max_memory) if max_memory is not None else None,
        min_top1=min_top1, single=single,
    )  # fmt: skip
    if as_json:
        print_json(answer.to_json())
    else:
        from vbench.report.guide_text import guide_answer

        terminal = console()
        terminal.print(guide_answer(answer, terminal.width))
    if not answer.ranking:
        sys.exit(NO_ANSWER)
