"""Claims of the literature, each with a verdict and its evidence; none is bent to fit.

A claim names the systems that it speaks of and the method by which it is judged. Methods are functions of evidence
alone: derived certificates, counts, published figures, and a few observations that no catalog key holds. What was only
read in a source says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vbench.analysis.claims.accuracies import ACCURACY_METHODS
from vbench.analysis.claims.advice import ADVICE_METHODS, clips_to_count
from vbench.analysis.claims.claim import (
    KEPT_FRACTIONS,
    Blindness,
    Claim,
    Evidence,
    Judged,
    Quantised,
    Stream,
    read_claims,
)
from vbench.analysis.claims.formulas import FORMULA_METHODS
from vbench.analysis.claims.structure import STREAM_METHOD, STRUCTURE_METHODS

METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    **FORMULA_METHODS,
    **STRUCTURE_METHODS,
    **ACCURACY_METHODS,
    **ADVICE_METHODS,
}


def judge_claims(claims: Iterable[Claim], evidence: Evidence) -> list[Judged]:
    """Every claim with its verdict."""
    return [METHODS[claim.method](claim, evidence) for claim in claims]


def keys_to_certify(claims: Iterable[Claim]) -> list[str]:
    """The systems that need a certificate, each once."""
    return _keys(claims, FORMULA_METHODS)


def keys_to_count(claims: Iterable[Claim]) -> list[str]:
    """The systems whose default clip must be counted, each once."""
    return _keys(claims, ACCURACY_METHODS)


def keys_to_stream(claims: Iterable[Claim]) -> list[str]:
    """The systems whose cost along a stream must be counted, each once."""
    return _keys(claims, (STREAM_METHOD,))


def _keys(claims: Iterable[Claim], methods: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key for claim in claims if claim.method in methods for key in claim.keys))


__all__ = [
    "KEPT_FRACTIONS",
    "METHODS",
    "Blindness",
    "Claim",
    "Evidence",
    "Judged",
    "Quantised",
    "Stream",
    "clips_to_count",
    "judge_claims",
    "keys_to_certify",
    "keys_to_count",
    "keys_to_stream",
    "read_claims",
]
