"""Claims of the literature on formulas, each with a verdict and its evidence; none is bent to fit.

A claim names the systems that it speaks of and the method by which it is judged. Methods are functions of counted
evidence alone: derived certificates, and a few counts that no certificate holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
import sympy

from vbench.analysis.certificate import Certificate
from vbench.analysis.polynomial import H, T, W
from vbench.analysis.verdict import Verdict, judge, parse_claim

KEPT_FRACTIONS = (0.125, 0.25, 0.5, 1.0)
VIT_B_WIDTH = 768


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One row of the claims."""

    id: str
    statement: str
    claimed: str
    formula: str
    keys: tuple[str, ...]
    method: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A claim's verdict: what was derived, what it rests on, and the command that makes it again."""

    id: str
    statement: str
    claimed: str
    verdict: str
    derived: str
    evidence: str
    reproduce: str
    source: str

    def to_json(self) -> dict[str, str]:
        """The judged claim as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the claims are judged by: certificates by key, and counts of MACs that they do not hold."""

    certificates: Mapping[str, Certificate]
    core_by_fraction: Mapping[str, Mapping[float, int]]  # pattern -> kept fraction -> attention MACs
    masked_strided_macs: int  # of the sketch that masks, at the default grid
    strided_macs: int  # of the pattern that skips, at the same grid
    window: tuple[tuple[int, ...], tuple[int, ...]]  # Video Swin's window and its shift, in tokens


def read_claims() -> list[Claim]:
    """The project's claims, in their order."""
    with files("vbench.data").joinpath("claims.csv").open(encoding="utf-8") as file:
        rows: list[dict[Any, Any]] = pd.read_csv(file, keep_default_na=False).to_dict("records")
    return [Claim(**{**row, "keys": tuple(str(row["keys"]).split())}) for row in rows]


def judge_claims(claims: Iterable[Claim], evidence: Evidence) -> list[Judged]:
    """Every claim with its verdict."""
    return [_METHODS[claim.method](claim, evidence) for claim in claims]


def keys_of(claims: Iterable[Claim]) -> list[str]:
    """The systems that need a certificate, each once."""
    return list(dict.fromkeys(key for claim in claims for key in claim.keys))


def _judged(claim: Claim, verdict: str, derived: str, evidence: str, reproduce: str = "") -> Judged:
    command = reproduce or f"vbench certify {' '.join(claim.keys)}"
    return Judged(
        id=claim.id, statement=claim.statement, claimed=claim.claimed, verdict=verdict, derived=derived,
        evidence=evidence, reproduce=command, source=claim.source,
    )  # fmt: skip


def _core(claim: Claim, evidence: Evidence) -> Judged:
    certificate = evidence.certificates[claim.keys[0]]
    verdict = _verdict(certificate, claim.formula)
    return _judged(claim, verdict.word, _formula(certificate), verdict.reason)


def _per_token(claim: Claim, evidence: Evidence) -> Judged:
    """The claim speaks of one token: hold it against the core divided by the number of tokens."""
    core = _core_of(evidence, claim.keys[0])
    per_token = None if core is None else sympy.expand(core / (T * H * W))
    verdict = judge(per_token, parse_claim(claim.formula))
    return _judged(claim, verdict.word, f"{per_token} MACs per token", verdict.reason)


def _each_core(claim: Claim, evidence: Evidence) -> Judged:
    """One claim on several systems: the worst verdict stands, and the evidence names each."""
    verdicts = {key: _verdict(evidence.certificates[key], claim.formula) for key in claim.keys}
    worst = max((verdict.word for verdict in verdicts.values()), key=_SEVERITY.index)
    derived = "; ".join(f"{key}: {_formula(evidence.certificates[key])}" for key in claim.keys)
    return _judged(claim, worst, derived, "; ".join(f"{key}: {verdict.word}" for key, verdict in verdicts.items()))


def _memory_stream(claim: Claim, evidence: Evidence) -> Judged:
    certificate = evidence.certificates[claim.keys[0]]
    found = "the cache has a fixed size, so each clip of a stream costs the same: linear in the number of clips"
    missing = "undecided for whole models: wants MeMViT, a memory bank and STM over a growing stream"
    return _judged(claim, "undecided", f"per clip {_formula(certificate)}", f"{found}; {missing}")


def _fused_memory(claim: Claim, evidence: Evidence) -> Judged:
    """Degrees of the predicted peak along T, by kernel and bias."""
    certificate = evidence.certificates[claim.keys[0]]
    degrees = {
        (part.kernel, part.bias): max((regime.degree or 0) for regime in part.regimes)
        for part in certificate.memory
        if part.axis == "T"
    }
    words = {
        f"{kernel}{' with an additive bias' if bias else ''}": f"n**{degree}"
        for (kernel, bias), degree in degrees.items()
    }
    holds = degrees[("fused", False)] == 1 and degrees[("math", False)] == 2
    exception = "; not with an additive bias, which is an n x n tensor itself" if degrees[("fused", True)] == 2 else ""
    evidence_text = ", ".join(f"{name}: {growth}" for name, growth in words.items())
    return _judged(claim, "agrees" if holds else "contradicted", evidence_text, f"predicted peaks{exception}")


def _token_count(claim: Claim, evidence: Evidence) -> Judged:
    """32 x 14 x 14 tokens; pairs are not operations."""
    tokens, pairs = 32 * 14 * 14, (32 * 14 * 14) ** 2
    core = _core_of(evidence, "joint")
    if core is None:
        return _judged(claim, "undecided", f"{tokens:,} tokens", "the core has no polynomial")
    core = core.subs({T: 32, H: 14, W: 14})
    projections = 4 * tokens * VIT_B_WIDTH**2
    derived = f"{tokens:,} tokens; {pairs:,} pairs; attention core {int(core):,} MACs, projections {projections:,} MACs"
    reason = (
        f"the token count is right; {pairs / 1e6:.0f} million are pairs of tokens, each worth {2 * VIT_B_WIDTH} MACs"
    )
    return _judged(claim, "contradicted", derived, reason, "vbench count joint --grids 32x14x14")


def _kept_fraction(claim: Claim, evidence: Evidence) -> Judged:
    """The growth of the core's MACs in the kept fraction."""
    degrees = {}
    for key in claim.keys:
        counts = evidence.core_by_fraction[key]
        low, high = min(counts), max(counts)
        degrees[key] = _log_ratio(counts[high] / counts[low], high / low)
    derived = "; ".join(f"{key}: core ~ fraction**{degree:.2f}" for key, degree in degrees.items())
    reason = "in MACs; how much of it becomes saved time is for `nox -s bench` to say"
    fits = all(round(degree) in (1, 2) and abs(degree - round(degree)) < 0.05 for degree in degrees.values())
    return _judged(claim, "agrees" if fits else "contradicted", derived, reason)


def _pyramid(claim: Claim, evidence: Evidence) -> Judged:
    certificate = evidence.certificates[claim.keys[0]]
    verdict = _verdict(certificate, claim.formula)
    reason = (
        "the paper has no pyramid of feature maps: its pyramid is the radii 3, 3, 4, 4 of the heads; "
        f"against joint attention the core is cheaper ({verdict.reason})"
    )
    return _judged(claim, "contradicted", _formula(certificate), reason)


def _crossover_in_t(claim: Claim, evidence: Evidence) -> Judged:
    """Axial against divided, per token: whether T decides."""
    axial, divided = (_core_of(evidence, key) for key in ("axial", "divided"))
    if axial is None or divided is None:
        return _judged(claim, "undecided", "no polynomial", "a core has no polynomial")
    difference = sympy.factor(sympy.expand((divided - axial) / (T * H * W)))
    if difference.has(T):
        return _judged(claim, "undecided", f"divided - axial per token: {difference}", "the crossover depends on T")
    reason = "the difference of the cores does not depend on T: axial is cheaper where H*W > H + W, at any length"
    return _judged(claim, "contradicted", f"divided - axial per token: {difference} MACs", reason)


def _masked_sketch(claim: Claim, evidence: Evidence) -> Judged:
    masked, skipping = evidence.masked_strided_macs, evidence.strided_macs
    derived = f"masked {masked:,} MACs, skipping {skipping:,} MACs of attention at 8x14x14"
    reason = "a mask is applied after the product that it should have saved"
    return _judged(claim, "contradicted", derived, reason)


def _window_shift(claim: Claim, evidence: Evidence) -> Judged:
    """Whether the shift is half of a window or half of the video."""
    size, shift = evidence.window
    derived = f"windows of {size} tokens are shifted by {shift}"
    halves = shift == tuple(extent // 2 for extent in size)
    reason = "half of the window, rounded down, whatever the video's T, H and W" if halves else "neither of both halves"
    return _judged(claim, "contradicted", derived, reason, "vbench show video_swin_t")


def _keys_per_patch(claim: Claim, evidence: Evidence) -> Judged:
    """The derived core of a layer, HW T**2 + T (HW + 1)**2 pairs, says which keys there are."""
    certificate = evidence.certificates[claim.keys[0]]
    core = _core_of(evidence, claim.keys[0])
    depth_width = 12 * 2 * VIT_B_WIDTH
    expected = sympy.expand(depth_width * (H * W * T**2 + T * (H * W + 1) ** 2))
    reason = (
        "the official code lets temporal attention see T patches and no class token, and spatial attention H*W patches "
        "and the class token: N + F + 1 keys"
    )
    verdict = "contradicted" if core is not None and sympy.expand(core - expected) == 0 else "undecided"
    return _judged(claim, verdict, _formula(certificate), reason)


def _core_of(evidence: Evidence, key: str) -> sympy.Expr | None:
    formula = evidence.certificates[key].attention_macs
    return None if formula is None else parse_claim(formula)


def _verdict(certificate: Certificate, formula: str) -> Verdict:
    derived = None if certificate.attention_macs is None else parse_claim(certificate.attention_macs)
    return judge(derived, parse_claim(formula))


def _formula(certificate: Certificate) -> str:
    return f"{certificate.attention_macs} MACs" if certificate.attention_macs else "no polynomial"


def _log_ratio(numerator: float, denominator: float) -> float:
    return float(sympy.log(numerator) / sympy.log(denominator))


_SEVERITY = ("exact", "same order", "over-states", "not polynomial", "under-states")
_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    "core": _core,
    "per token": _per_token,
    "each core": _each_core,
    "memory stream": _memory_stream,
    "fused memory": _fused_memory,
    "token count": _token_count,
    "kept fraction": _kept_fraction,
    "pyramid": _pyramid,
    "crossover in T": _crossover_in_t,
    "masked sketch": _masked_sketch,
    "keys per patch": _keys_per_patch,
    "window shift": _window_shift,
}
