"""Claims on formulas: held against polynomials derived from counts, and against predicted peaks."""

from __future__ import annotations

from collections.abc import Callable

import sympy

from vbench.analysis.certificate import Certificate
from vbench.analysis.claims.claim import Claim, Evidence, Judged, verdict_on
from vbench.analysis.polynomial import H, T, W
from vbench.analysis.verdict import Verdict, judge, parse_claim

VIT_B_WIDTH = 768
WITHIN = 0.01  # of a claimed number


def _judged(claim: Claim, verdict: str, derived: str, evidence: str, reproduce: str = "") -> Judged:
    return verdict_on(claim, verdict, derived, evidence, reproduce or f"vbench certify {' '.join(claim.keys)}")


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
    """The claimed tokens and operations of a layer, against 32 x 14 x 14 tokens and what the core costs on them."""
    claimed_tokens, claimed_operations = (float(part) for part in claim.claimed.split("; "))
    tokens, pairs = 32 * 14 * 14, (32 * 14 * 14) ** 2
    core = _core_of(evidence, "joint")
    if core is None:
        return _judged(claim, "undecided", f"{tokens:,} tokens", "the core has no polynomial")
    macs = int(core.subs({T: 32, H: 14, W: 14}))
    projections = 4 * tokens * VIT_B_WIDTH**2
    derived = f"{tokens:,} tokens; {pairs:,} pairs; attention core {macs:,} MACs, projections {projections:,} MACs"
    right_tokens = claimed_tokens == tokens
    right_operations = any(_is_close(claimed_operations, count) for count in (macs, 2 * macs))
    reason = f"the token count is {'right' if right_tokens else 'wrong'}"
    if not right_operations:
        are_pairs = " are pairs of tokens, each worth" if _is_close(claimed_operations, pairs) else ", against"
        reason += f"; {claimed_operations / 1e6:.0f} million{are_pairs} {2 * VIT_B_WIDTH} MACs a pair"
    verdict = "agrees" if right_tokens and right_operations else "contradicted"
    return _judged(claim, verdict, derived, reason, "vbench count joint --grids 32x14x14")


def _is_close(claimed: float, derived: float) -> bool:
    return abs(claimed / derived - 1) <= WITHIN


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
    """Whether the real model attends on several levels; and the core against joint attention's."""
    certificate = evidence.certificates[claim.keys[0]]
    against_joint = _verdict(certificate, claim.formula)
    places = evidence.attending_modules.get("pcsa")
    if places is None:
        return _judged(claim, "undecided", _formula(certificate), "the attention of pcsa was not counted")
    reason = (
        f"pcsa attends in {places} module{'s' * (places != 1)}, and one module has one level of features; "
        f"its pyramid is the radii 3, 3, 4, 4 of the heads; joint attention's formula {against_joint.word} its core"
    )
    cheaper = against_joint.word == "over-states"
    return _judged(claim, "agrees" if places > 1 and cheaper else "contradicted", _formula(certificate), reason)


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
FORMULA_METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    "core": _core,
    "per token": _per_token,
    "each core": _each_core,
    "fused memory": _fused_memory,
    "token count": _token_count,
    "kept fraction": _kept_fraction,
    "pyramid": _pyramid,
    "crossover in T": _crossover_in_t,
    "keys per patch": _keys_per_patch,
}
