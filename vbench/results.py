"""What a cell gave: `Record = Measured | Counted | Failed | Skipped`, and where: `Environment`.

Records hold what was observed; every other number is a pure function of them, in `vbench.analysis`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from vbench.cell import Cell, cell_from_json

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Where records come from. Two records with the same `fingerprint` may be compared as if made side by side."""

    fingerprint: str
    hardware: str  # processor or accelerator, in words
    cores: int
    threads: int
    memory_bytes: int
    system: str
    python: str
    torch: str
    packages: dict[str, str]
    commit: str  # the project's, with "+changes" and a hash of them where the tree is not clean
    host: str
    accelerator: str = ""
    accelerator_memory_bytes: int = 0
    cuda: str = ""
    driver: str = ""
    user_source: str = ""  # hash of a user's own model file
    floor_bytes: int = 0  # of a process that has run one small product of each kind; 0: not measured
    matmul_flops_per_second: dict[str, float] = field(default_factory=dict)  # the best product, by precision
    copy_bytes_per_second: float = 0.0  # of the best copy, read and written; 0: not measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What the catalog says of the model, copied into the record so that it can be read without the models' code."""

    kind: str
    family: str
    title: str
    stride: int = 1  # source frames between two frames of the clip
    is_default_clip: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What the model costs on paper: exact figures, the same on every machine.

    1 multiply-add = 1 MAC = 2 FLOPs. `predicted_peak_bytes` is the most that parameters, buffers, input and
    activations occupy at once; `op_bytes` what the operators read and write; of several ranks they are one's, without
    what goes from one to another. `workspace_bytes`, what the allocator holds beyond that peak, is the C library's
    answer where the cell was counted; None where it was not asked.
    """

    params: int
    macs: int
    attention_macs: int
    mixing_extra_macs: int
    op_bytes: int
    predicted_peak_bytes: int
    tokens: tuple[int, int, int] | None = None
    workspace_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRun:
    """One fresh process: raw samples in seconds, memory in bytes, and how quiet the machine was.

    Of several ranks it is the first one; its samples are the times of the slowest.
    """

    latency_s: tuple[float, ...]  # every sample after warm-up, in order; each the mean over `block` forwards
    block: int
    warmup_s: tuple[float, ...]
    build_s: float
    memory_pass_s: float
    harness_s: float  # the process's whole life but for build, warm-up, latency and memory passes
    peak_memory_bytes: int  # of the process: VmHWM, or what the allocator reserved on CUDA
    floor_bytes: int  # resident before the model was built
    tensor_peak_bytes: int | None  # allocated on CUDA; not observed on CPU
    kernel_ran: str
    stop_reason: str
    quality: str  # "clean", or "noisy: " and the reason
    warmup_stop: str = ""  # why the warm-up was over
    clock_resolution_s: float | None = None
    clock_cost_s: float | None = None  # of one sample that holds nothing
    probe_s: tuple[float, ...] = ()  # a fixed product and copy, before the warm-up and after the samples; CPU only
    disturbance: dict[str, float] = field(default_factory=dict)  # what `quality` was judged by
    forward_s: tuple[float, ...] = ()  # of a step of training: samples of its forward alone
    compile_s: float | None = None  # what a back end other than eager took until its first output was there
    serialized_bytes: int | None = None  # of the state dict in a file; None: not looked at in this process
    logit_error: float | None = None  # ||y - r|| / ||r||, r of eager fp32; None: not looked at in this process
    backward_dtypes: tuple[str, ...] = ()  # in which the products of the backward ran; empty: none seen
    comparison_s: float = 0.0  # saving, and the forward in eager fp32
    threads: int | None = None  # of each of several ranks
    batch_norm: str = ""  # of several ranks: "synchronised", or "local: " and why; empty: there is none

    @property
    def inside_s(self) -> float:
        """Seconds inside the cell: build, warm-up, latency and memory passes, and what is seen beside them."""
        timed_s = sum(self.warmup_s) + self.block * sum(self.latency_s) + sum(self.forward_s)
        return self.build_s + (self.compile_s or 0.0) + timed_s + self.memory_pass_s + self.comparison_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A cell that ran."""

    status: Literal["measured"] = field(default="measured", init=False)
    cell: Cell
    subject: Subject
    environment: str  # fingerprint
    counts: Counts
    processes: tuple[ProcessRun, ...]
    stop_reason: str  # why no more processes ran
    attempt: int = 1
    started_at: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether nothing disturbed any of the processes."""
        return all(run.quality == "clean" for run in self.processes)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedCells:
    """Two cells that ran in turn in fresh pairs of processes: what each pair says, and the interval over pairs."""

    first: str  # cell ids
    second: str
    hardware: str
    environment: str  # fingerprint
    log_ratios: tuple[float, ...]  # of each pair: log(time of the first / time of the second)
    ratio: tuple[float, float, float]  # the estimate, and its interval
    elapsed_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """A cell that was counted, not run."""

    status: Literal["counted"] = field(default="counted", init=False)
    cell: Cell
    subject: Subject
    environment: str
    counts: Counts
    attempt: int = 1
    started_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A cell that was tried and gave nothing: out of memory, time-out, crash or error."""

    status: Literal["failed"] = field(default="failed", init=False)
    cell: Cell
    subject: Subject
    environment: str
    reason: str
    counts: Counts | None = None
    attempt: int = 1
    started_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A cell that was not tried: it cannot exist, or is predicted not to fit."""

    status: Literal["skipped"] = field(default="skipped", init=False)
    cell: Cell
    subject: Subject
    environment: str
    reason: str
    counts: Counts | None = None
    attempt: int = 1
    started_at: str = ""


Record = Measured | Counted | Failed | Skipped
RECORD_TYPES: dict[str, type[Record]] = {
    "measured": Measured, "counted": Counted, "failed": Failed, "skipped": Skipped,
}  # fmt: skip


def record_to_json(record: Record) -> dict[str, Any]:
    """The record as one JSON object, with the schema's version."""
    return {"schema": SCHEMA, **asdict(record), "cell": record.cell.to_json(), "id": record.cell.id}


def record_from_json(document: dict[str, Any]) -> Record:
    """The record that `record_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: the document is not a record of this schema.
    """
    fields = {name: value for name, value in document.items() if name not in ("schema", "id", "status")}
    fields["cell"] = cell_from_json(fields["cell"])
    fields["subject"] = Subject(**fields["subject"])
    if fields.get("counts") is not None:
        fields["counts"] = counts_from_json(fields["counts"])
    if "processes" in fields:
        fields["processes"] = tuple(process_from_json(run) for run in fields["processes"])
    return RECORD_TYPES[document["status"]](**fields)


def counts_from_json(document: dict[str, Any]) -> Counts:
    """The counts that `dataclasses.asdict` wrote."""
    tokens = document["tokens"]
    return Counts(**{**document, "tokens": None if tokens is None else tuple(tokens)})


def process_from_json(document: dict[str, Any]) -> ProcessRun:
    """The process run that `dataclasses.asdict` wrote."""
    fields = dict(document)
    for name in ("latency_s", "warmup_s", "probe_s", "forward_s", "backward_dtypes"):
        if name in fields:
            fields[name] = tuple(fields[name])
    return ProcessRun(**fields)
