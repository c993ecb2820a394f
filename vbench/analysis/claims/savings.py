"""Claims on what techniques save: mixed precision, gradient checkpointing and dynamic INT8, in memory, time and bytes.

Memory is predicted, from the tensors that are alive in a step of training: the algorithm's, without what kernels set
aside, under the CPU's list of operators that autocast casts. Bytes on disk are those of the state dict. Time is for
records to say: what a technique does to it is another thing on a CPU than on the accelerators that the claims mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from vbench import units
from vbench.analysis.claims.band import UNDECIDED, times, word_on, worst
from vbench.analysis.claims.claim import Claim, Evidence, Judged, Limit, joined, undecided, verdict_on
from vbench.analysis.claims.ratios import MEASURE, axes_of, by_time, protocol_of, where
from vbench.analysis.ratio import Timed, exact_ratio, latency_ratios, pairs
from vbench.cell import Cell

HALVED, HASTENED, LENGTHENED, QUICKENED, SHRUNK = (
    "autocast memory", "autocast speed-up", "checkpointed length", "quantised speed-up", "quantised size",
)  # fmt: skip
BATCHES = (1, 8)  # of a training step: alone, parameters and their gradients outweigh what precision changes
MEMORY_BYTES = 24 * 10**9
HALF_PRECISIONS = ("bf16", "fp16")


def _autocast_memory(claim: Claim, evidence: Evidence) -> Judged:
    """The predicted peak of a step in fp32 over that under autocast to bf16, alone and with a batch."""
    plain = [cell for cell in cells_trained([claim]) if cell.precision == "fp32"]
    peaks = {cell: [evidence.training_peaks.get(each, 0) for each in (cell, _under_autocast(cell))] for cell in plain}
    known = {cell: both for cell, both in peaks.items() if all(both)}
    if not known:
        return undecided(claim, f"predicted peaks of training {joined(claim.keys)}")
    ratios = {cell: exact_ratio(*both) for cell, both in known.items()}
    derived = "; ".join(f"{_step(cell)}: {_sizes(both)}, {times(ratios[cell])}" for cell, both in known.items())
    word = worst(word_on(claim.claimed, ratio) for ratio in ratios.values())
    reason = "peaks of a training step, predicted: parameters, gradients and AdamW's averages stay in fp32"
    again = f"vbench count {claim.keys[0]} --mode train --precision bf16 --batch {BATCHES[-1]}"
    return verdict_on(claim, word, derived, f"{reason}; {_measured_peaks(claim, evidence)}", again)


def cells_trained(claims: Iterable[Claim]) -> list[Cell]:
    """The training steps whose peak these claims need, in fp32 and under autocast."""
    cells = []
    for claim in claims:
        for key in claim.keys if claim.method == HALVED else ():
            axes = axes_of(protocol_of(key))
            plain = [Cell(**axes, mode="train", batch=batch) for batch in BATCHES]
            cells += [cell for one in plain for cell in (one, _under_autocast(one))]
    return list(dict.fromkeys(cells))


def _under_autocast(cell: Cell) -> Cell:
    return replace(cell, precision="bf16")


def _step(cell: Cell) -> str:
    return f"{cell.model} {units.extent(cell.frames, cell.height, cell.width)}, batch {cell.batch}"


def _sizes(both: Sequence[float]) -> str:
    return " and ".join(map(units.size, both))


def _measured_peaks(claim: Claim, evidence: Evidence) -> str:
    """What the processes of measured steps occupied, everything included."""
    said = [
        f"{where(one)} {times(exact_ratio(one.first.peak_memory_bytes, one.second.peak_memory_bytes))}"
        for one in _in_half_precision(claim, evidence)
    ]
    return f"whole processes of measured steps: {joined(said) or f'none, {MEASURE}'}"


def _in_half_precision(claim: Claim, evidence: Evidence) -> list[Timed]:
    """The steps that were measured in fp32 and under autocast."""
    costs = evidence.costs
    steps = costs[(costs["mode"] == "train") & costs["model"].isin(claim.keys)]
    return [
        one
        for half in HALF_PRECISIONS
        for one in latency_ratios(steps, {"precision": "fp32"}, {"precision": half}, evidence.paired)
    ]


def _autocast_speed_up(claim: Claim, evidence: Evidence) -> Judged:
    """How many times as long a step takes in fp32: the claim is on accelerators, and what a CPU gives is beside it."""
    timed = _in_half_precision(claim, evidence)
    on_cuda = [one for one in timed if one.first.device == "cuda"]
    on_cpu = [one for one in timed if one.first.device == "cpu"]
    given = f"a CPU gives: {_told(on_cpu) or f'not measured, {MEASURE}'}"
    again = f"vbench sweep --models {','.join(claim.keys)} --modes train --precisions fp32,bf16,fp16 --devices cuda"
    if not on_cuda:
        return verdict_on(claim, UNDECIDED, given, f"would be decided by training steps on CUDA: {again}", again)
    word = worst(word_on(claim.claimed, one.ratio) for one in on_cuda)
    return verdict_on(claim, word, _told(on_cuda), given, again)


def _told(timed: Sequence[Timed]) -> str:
    return "; ".join(f"{where(one)}, {one.second.precision}: {times(one.ratio)}" for one in timed)


def _checkpointed_length(claim: Claim, evidence: Evidence) -> Judged:
    """The longest clip that can be trained within one memory with checkpointing, over that without."""
    found = {}
    for key in claim.keys:
        without, with_it = (evidence.longest.get(limit) for limit in _limits(key))
        if without and with_it:
            found[key] = (without, with_it, exact_ratio(with_it, without))
    if not found:
        return undecided(claim, f"the longest clips of {joined(claim.keys)} that can be trained in {_memory()}")
    word = worst(word_on(claim.claimed, ratio) for *_, ratio in found.values())
    derived = "; ".join(f"{key}: {a} frames without, {b} with, {times(ratio)}" for key, (a, b, ratio) in found.items())
    timed = latency_ratios(_steps(claim, evidence), {"checkpointing": True}, {"checkpointing": False}, evidence.paired)
    price = "; ".join(f"{where(one)} {times(one.ratio)}" for one in timed)
    reason = f"in {_memory()}, predicted, fp32, batch 1; its price in time: {price or f'not measured, {MEASURE}'}"
    return verdict_on(claim, word, derived, reason, f"vbench claims; {MEASURE}")


def _memory() -> str:
    return f"{MEMORY_BYTES / 1e9:g} GB"


def _steps(claim: Claim, evidence: Evidence) -> pd.DataFrame:
    costs = evidence.costs
    return costs[(costs["mode"] == "train") & (costs["precision"] == "fp32") & costs["model"].isin(claim.keys)]


def _limits(key: str) -> tuple[Limit, Limit]:
    """The questions without and with checkpointing."""
    without, with_it = (
        Limit(model=key, memory_bytes=MEMORY_BYTES, mode="train", checkpointing=forgets) for forgets in (False, True)
    )
    return without, with_it


def limits_trained(claim: Claim) -> list[Limit]:
    """The longest clips that a claim on checkpointing asks for."""
    return [limit for key in claim.keys for limit in _limits(key)] if claim.method == LENGTHENED else []


def _quantised_speed_up(claim: Claim, evidence: Evidence) -> Judged:
    """How many times as long a forward takes in fp32 as with dynamic INT8, on a CPU, where its kernels are."""
    costs = evidence.costs
    forwards = costs[(costs["mode"] == "infer") & (costs["device"] == "cpu") & costs["model"].isin(claim.keys)]
    timed = latency_ratios(forwards, {"precision": "fp32"}, {"precision": "int8"}, evidence.paired)
    off = joined(f"{one.first.model} {units.distance(one.second.logit_error)}" for one in timed)
    beside = "only linear layers multiply 8-bit integers, attention's own products stay in fp32"
    return by_time(claim, timed, "latency over that of INT8", f"{beside}; logits off by {off}" if timed else beside)


def _quantised_size(claim: Claim, evidence: Evidence) -> Judged:
    """Bytes of the state dict in fp32 over those after dynamic INT8."""
    saved = {key: sizes for key in claim.keys if (sizes := _saved_bytes(key, evidence))}
    if not saved:
        return undecided(claim, f"the bytes of {joined(claim.keys)} on disk")
    ratios = {key: exact_ratio(*sizes) for key, sizes in saved.items()}
    derived = "; ".join(f"{key}: {_sizes(sizes)}, {times(ratios[key])}" for key, sizes in saved.items())
    word = worst(word_on(claim.claimed, ratio) for ratio in ratios.values())
    return verdict_on(claim, word, derived, f"state dicts; {_left_in_fp32(claim, evidence)}", "vbench claims")


def _saved_bytes(key: str, evidence: Evidence) -> tuple[float, float] | None:
    """In fp32 and quantised, by the records where they hold both, else as saved now."""
    rows = evidence.costs[(evidence.costs["model"] == key) & evidence.costs["serialized_bytes"].notna()]
    for fp32, int8 in pairs(rows, {"precision": "fp32"}, {"precision": "int8"}):
        return float(fp32.serialized_bytes), float(int8.serialized_bytes)
    now = evidence.quantised_networks.get(key)
    return (now.fp32_bytes, now.int8_bytes) if now else None


def _left_in_fp32(claim: Claim, evidence: Evidence) -> str:
    known = {key: one.untouched for key, one in evidence.quantised_networks.items() if key in claim.keys}
    left = joined(f"{key} {len(names)}" for key, names in known.items())
    return f"tensors of two axes or more that stay in fp32: {left or 'not looked at'}"


SAVING_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    HALVED: _autocast_memory,
    HASTENED: _autocast_speed_up,
    LENGTHENED: _checkpointed_length,
    QUICKENED: _quantised_speed_up,
    SHRUNK: _quantised_size,
}
