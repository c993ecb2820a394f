"""vbench from Python: a subject is a catalog key, `file.py:build`, a module in hand, or a function that attends.

    from vbench import certify, count

    assert certify(my_attention, claim="T*H*W").verdict == "exact"
    assert count(my_network, frames=16, height=112, width=112).macs < 40e9

What comes back are the dataclasses that the commands' JSON documents print. A module is a network on video `b c t h w`,
or, where it keeps their shape, a pattern on tokens `b t h w c`; a function always is a pattern. The width of its tokens
is that of a module's first matrix, else `dim`, else 768. Modules and functions go to fresh processes by cloudpickle.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from vbench import comparing, proof
from vbench.analysis.certificate import Certificate
from vbench.cell import Cell
from vbench.comparing import Comparison
from vbench.errors import VbenchError
from vbench.grid import Extent, parse_grid
from vbench.measure import fit as fitting
from vbench.measure.cost import Cost, cost_of
from vbench.measure.environment import environment
from vbench.measure.fit import Fit
from vbench.measure.held import Subject, label, named
from vbench.measure.protocol import Refusal
from vbench.measure.runner import Runner, Settings
from vbench.measure.subject import cell_named
from vbench.measure.support import check_supported
from vbench.results import Measured, Record
from vbench.stats import Interval, median, median_interval

__all__ = ["Measurement", "certify", "compare", "count", "fit", "measure"]


class NotMeasuredError(VbenchError):
    """A cell that failed or was skipped, with the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One cell that ran: seconds of a forward with a 95 % interval over processes, bytes of the process, and why."""

    name: str
    latency_s: Interval
    peak_memory_bytes: int
    quality: str  # clean, or noisy with the reason
    record: Measured  # raw samples, counts, and all else that was seen


def count(
    subject: Subject, *, frames: int | None = None, height: int | None = None, width: int | None = None,
    grid: Extent | str | None = None, batch: int = 1, precision: str = "fp32", kernel: str = "fused",
    mode: str = "infer", dim: int | None = None, by: str | None = None,
) -> Cost:  # fmt: skip
    """Parameters, multiply-adds and the predicted tensor peak, exactly; nothing is run.

    Raises:
        VbenchError: an unknown name, an impossible clip, or an operator without a known cost.
    """
    with named(subject, dim) as name:
        cell = cell_named(
            name, frames=frames, height=height, width=width, grid=_extent(grid), batch=batch, precision=precision,
            kernel=kernel, mode=mode,
        )  # fmt: skip
        return replace(cost_of(cell, by), name=label(subject))


def certify(subject: Subject, claim: str | None = None, *, dim: int | None = None) -> Certificate:
    """The exact cost formula of a pattern or a network in T, H, W, and the verdict on `claim`.

    Raises:
        VbenchError: as `count`; the claim cannot be parsed, or a pattern changes the shape.
    """
    with named(subject, dim) as name:
        return replace(proof.certify(name, claim), name=label(subject))


def fit(
    subject: Subject, memory: str | int, *, height: int | None = None, width: int | None = None, batch: int = 1,
    precision: str = "fp32", kernel: str = "fused", mode: str = "infer", device: str = "cpu",
) -> Fit:  # fmt: skip
    """The longest clip whose process stays within `memory` (bytes, or text such as `24GiB`); it is not run.

    Raises:
        VbenchError: as `count`; the memory is no size.
    """
    with named(subject) as name:
        answer = fitting.fit(
            name, memory, height=height, width=width, batch=batch, precision=precision, kernel=kernel, mode=mode,
            device=device,
        )  # fmt: skip
        return replace(answer, name=label(subject))


def measure(
    subject: Subject, *, frames: int | None = None, height: int | None = None, width: int | None = None,
    grid: Extent | str | None = None, batch: int = 1, precision: str = "fp32", kernel: str = "fused",
    device: str = "cpu", threads: int = 0, processes: int | None = None, timeout_s: float = 300.0,
    dim: int | None = None,
) -> Measurement:  # fmt: skip
    """Latency and peak memory in fresh processes, as a sweep measures them; nothing is written.

    Raises:
        VbenchError: as `count`; the cell does not fit, fails, or takes too long, with the reason.
    """
    with named(subject, dim) as name:
        cell = cell_named(
            name, frames=frames, height=height, width=width, grid=_extent(grid), batch=batch, precision=precision,
            kernel=kernel, device=device, threads=threads,
        )  # fmt: skip
        check_supported(cell)
        record = _record_of(cell, Settings(timeout_s=timeout_s, processes=processes))
    if not isinstance(record, Measured):
        raise NotMeasuredError(f"{label(subject)} {record.status}: {getattr(record, 'reason', '')}")
    return _measurement(label(subject), record)


def compare(
    a: Subject, b: Subject = "", *, against: str = "", frames: int | None = None, height: int | None = None,
    width: int | None = None, grid: Extent | str | None = None, batch: int = 1, precision: str = "fp32",
    kernel: str = "fused", threads: int = 1, device: str = "cpu", margin: float = comparing.MARGIN,
    budget_s: float = comparing.BUDGET_S, timeout_s: float = 300.0, told: Callable[[str], None] = lambda _: None,
) -> Comparison:  # fmt: skip
    """Whether B is slower than A, by fresh process pairs that run in turn; or one name against a git revision.

    Raises:
        VbenchError: as `measure`; not two sides, or a side that cannot be run.
    """
    with ExitStack() as stack:
        one, other = (stack.enter_context(named(subject)) for subject in (a, b))
        compared = comparing.compare(
            one, other, against=against, frames=frames, height=height, width=width, grid=_extent(grid), batch=batch,
            precision=precision, kernel=kernel, threads=threads, device=device, margin=margin, budget_s=budget_s,
            timeout_s=timeout_s, told=told,
        )  # fmt: skip
    if against:
        return compared
    return replace(compared, a=replace(compared.a, name=label(a)), b=replace(compared.b, name=label(b)))


def _extent(grid: Extent | str | None) -> Extent | None:
    return parse_grid(grid) if isinstance(grid, str) else grid


def _record_of(cell: Cell, settings: Settings) -> Record:
    """Count and measure one cell; what its processes gave is kept nowhere else."""
    here = environment(cell.device, cell.threads)
    runner = Runner(settings.on(here), here.fingerprint)
    ((_, counts),) = runner.count([cell])
    if isinstance(counts, Refusal):
        return runner.record_of_count(cell, counts)
    return runner.measure(cell, counts)


def _measurement(name: str, record: Measured) -> Measurement:
    runs = record.processes
    return Measurement(
        name=name,
        latency_s=median_interval([median(run.latency_s) for run in runs]),
        peak_memory_bytes=max(run.peak_memory_bytes for run in runs),
        quality=next((run.quality for run in runs if run.quality != "clean"), "clean"),
        record=record,
    )
