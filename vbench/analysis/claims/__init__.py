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
    Limit,
    Quantised,
    Stream,
    read_claims,
)
from vbench.analysis.claims.formulas import FORMULA_METHODS
from vbench.analysis.claims.growth import GROWTH_METHODS, clips_crossing, limits_of
from vbench.analysis.claims.ratios import RATIO_METHODS, clips_compared
from vbench.analysis.claims.reach import COUNTED, FIELD, REACH_METHODS, limits_reached
from vbench.analysis.claims.savings import SAVING_METHODS, SHRUNK, cells_trained, limits_trained
from vbench.analysis.claims.structure import STREAM_METHOD, STRUCTURE_METHODS
from vbench.analysis.claims.work import WORK_METHODS, clips_inside
from vbench.cell import Cell

METHODS: dict[str, Callable[[Claim, Evidence], Judged]] = {
    **FORMULA_METHODS,
    **STRUCTURE_METHODS,
    **ACCURACY_METHODS,
    **ADVICE_METHODS,
    **RATIO_METHODS,
    **GROWTH_METHODS,
    **SAVING_METHODS,
    **REACH_METHODS,
    **WORK_METHODS,
}


TIMED_METHODS = (*RATIO_METHODS, *SAVING_METHODS, *WORK_METHODS)  # that set latencies against each other


def judge_claims(claims: Iterable[Claim], evidence: Evidence) -> list[Judged]:
    """Every claim with its verdict."""
    return [METHODS[claim.method](claim, evidence) for claim in claims]


def keys_to_certify(claims: Iterable[Claim]) -> list[str]:
    """The systems that need a certificate, each once."""
    return _keys(claims, FORMULA_METHODS)


def keys_to_count(claims: Iterable[Claim]) -> list[str]:
    """The systems whose default clip must be counted, each once."""
    return _keys(claims, (*ACCURACY_METHODS, *COUNTED))


def keys_to_stream(claims: Iterable[Claim]) -> list[str]:
    """The systems whose cost along a stream must be counted, each once."""
    return _keys(claims, (STREAM_METHOD,))


def keys_to_walk(claims: Iterable[Claim]) -> list[str]:
    """The convolutional networks whose receptive field along time must be derived, each once."""
    return _keys(claims, (FIELD,))


def keys_to_quantise(claims: Iterable[Claim]) -> list[str]:
    """The networks whose bytes on disk must be known, each once."""
    return _keys(claims, (SHRUNK,))


def cells_to_count(claims: Iterable[Claim]) -> list[Cell]:
    """The cells whose multiply-adds the claims on ratios compare, each once."""
    claims = list(claims)
    return list(dict.fromkeys([*clips_compared(claims), *clips_crossing(claims), *clips_inside(claims)]))


def limits_to_search(claims: Iterable[Claim]) -> list[Limit]:
    """The memories for which the longest clip must be found, each once."""
    asked = (limits_of, limits_trained, limits_reached)
    return list(dict.fromkeys(limit for claim in claims for limits in asked for limit in limits(claim)))


def _keys(claims: Iterable[Claim], methods: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key for claim in claims if claim.method in methods for key in claim.keys))


__all__ = [
    "KEPT_FRACTIONS",
    "METHODS",
    "TIMED_METHODS",
    "Blindness",
    "Claim",
    "Evidence",
    "Judged",
    "Limit",
    "Quantised",
    "Stream",
    "cells_to_count",
    "cells_trained",
    "clips_to_count",
    "judge_claims",
    "keys_to_certify",
    "keys_to_count",
    "keys_to_quantise",
    "keys_to_stream",
    "keys_to_walk",
    "limits_to_search",
    "read_claims",
]
