"""Claims on hand-made evidence: each method says yes to what fits and no to what does not."""

import json
from dataclasses import replace

import pytest

from vbench.analysis.certificate import NO_CLAIM, Certificate, MemoryRegimes
from vbench.analysis.claims import (
    METHODS,
    Claim,
    Evidence,
    Judged,
    judge_claims,
    keys_to_certify,
    keys_to_count,
    read_claims,
)
from vbench.analysis.frame import records_frame
from vbench.analysis.regimes import Regime
from vbench.analysis.verdict import parse_claim

DIVIDED = "T*(H*W)**2 + H*W*T**2"
AXIAL = "T*H*W*(T + H + W)"
TIMESFORMER_B = "18432*(H*W*T**2 + T*(H*W + 1)**2)"  # 12 layers x 2 products x 768 channels
WORDS = {
    "exact", "same order", "over-states", "under-states", "not polynomial",
    "agrees", "contradicted", "other row", "quoted", "undecided",
}  # fmt: skip
KERNELS = [(kernel, bias) for kernel in ("fused", "math") for bias in (False, True)]


def proved(name: str, core: str | None, memory: tuple[MemoryRegimes, ...] = ()) -> Certificate:
    """A certificate of which only the core's formula and the memory are looked at."""
    return Certificate(
        name=name, units="tokens", macs=core, attention_macs=core, lattice=(1, 1, 1), domain=(1, 1, 1), claimed=None,
        verdict=NO_CLAIM, reason="", held_out_checked=8, largest_excess=0.0, attention_share={}, memory=memory,
    )  # fmt: skip


def evidence(cores: dict[str, str | None] | None = None, **changes: object) -> Evidence:
    known = Evidence(
        certificates={key: proved(key, core) for key, core in (cores or {}).items()},
        counted=records_frame([], {}),
        masked_strided_macs=400,
        full_macs=400,
        strided_macs=100,
        window=((8, 7, 7), (4, 3, 3), (16, 14, 14)),
    )
    return replace(known, **changes)


def claim(method: str, keys: str, formula: str = "", claimed: str = "") -> Claim:
    return Claim(
        id="X01", statement="it is so", claimed=claimed or formula, formula=formula, keys=tuple(keys.split()),
        method=method, source="somewhere",
    )  # fmt: skip


def judge(one: Claim, known: Evidence) -> Judged:
    (judged,) = judge_claims([one], known)
    return judged


def peaks(**degrees: int | None) -> tuple[MemoryRegimes, ...]:
    """Memory along T: a short regime without a law, then one of the named degree for each kernel, with a bias or not.

    Along H everything is quadratic.
    """
    parts = []
    for kernel, bias in KERNELS:
        degree = degrees[f"{kernel}_bias" if bias else kernel]
        for axis, known in (("T", degree), ("H", 2)):
            law = (Regime(1, 2, "", None), Regime(3, 32, f"{axis}**{known}", known))
            parts.append(MemoryRegimes(axis=axis, held="", kernel=kernel, bias=bias, regimes=law))
    return tuple(parts)


def test_every_claim_has_an_id_of_its_own_and_says_what_where_and_by_what() -> None:
    claims = read_claims()
    assert len({one.id for one in claims}) == len(claims) > 0
    assert all(one.statement and one.claimed and one.source and one.method in METHODS for one in claims)


def test_every_formula_of_the_claims_is_one() -> None:
    for one in read_claims():
        if one.formula:
            parse_claim(one.formula)


def test_the_catalog_knows_every_system_that_the_claims_speak_of() -> None:
    from vbench_models import card_of

    assert all(card_of(key).title for one in read_claims() for key in one.keys)


def test_every_claim_is_judged_once_in_order_with_a_known_word_and_a_command() -> None:
    claims = read_claims()
    memory = peaks(fused=1, math=2, fused_bias=2, math_bias=2)
    known = evidence(
        certificates={key: proved(key, DIVIDED, memory) for key in keys_to_certify(claims)},
        core_by_fraction={"pruned": {0.5: 1, 1.0: 2}, "token_selection": {0.5: 1, 1.0: 4}},
    )
    judged = judge_claims(claims, known)
    assert [entry.id for entry in judged] == [one.id for one in claims]
    assert {entry.verdict for entry in judged} <= WORDS
    assert all(entry.derived and entry.evidence for entry in judged)
    assert all(entry.reproduce.startswith("vbench ") for entry in judged)


def test_the_systems_that_need_a_certificate_or_a_count_are_named_once() -> None:
    claims = [claim("core", "joint divided"), claim("core", "divided axial"), claim("table row", "c3d c3d")]
    assert keys_to_certify(claims) == ["joint", "divided", "axial"]
    assert keys_to_count(claims) == ["c3d"]


def test_the_document_of_a_judged_claim_has_the_promised_keys() -> None:
    judged = judge(claim("core", "joint", "(T*H*W)**2"), evidence({"joint": "(T*H*W)**2"}))
    document = json.loads(json.dumps(judged.to_json()))
    assert document.keys() >= {"id", "verdict", "derived", "evidence", "reproduce"}
    assert document["reproduce"] == "vbench certify joint"


@pytest.mark.parametrize(
    ("core", "formula", "word"),
    [
        (DIVIDED, f"5*({DIVIDED})", "exact"),
        (DIVIDED, "2*T*H*W", "under-states"),
        (DIVIDED, "(T*H*W)**2", "over-states"),
        (None, DIVIDED, "not polynomial"),
    ],
)
def test_a_core_is_held_against_the_formula(core: str | None, formula: str, word: str) -> None:
    assert judge(claim("core", "divided", formula), evidence({"divided": core})).verdict == word


@pytest.mark.parametrize(
    ("formula", "word"),
    [("H*W + T", "exact"), ("T**2 + (H*W)**2", "over-states"), ("T + H", "under-states")],
)
def test_what_is_said_of_one_token_is_held_against_the_core_over_the_tokens(formula: str, word: str) -> None:
    judged = judge(claim("per token", "divided", formula), evidence({"divided": DIVIDED}))
    assert judged.verdict == word
    assert judged.derived == "H*W + T MACs per token"


@pytest.mark.parametrize(
    ("cores", "word"),
    [
        (("T*H*W", "7*T*H*W"), "exact"),
        (("T*H*W", "T*H*W + T"), "same order"),
        (("T*H*W + T", "T*H"), "over-states"),
        (("T*H", None), "not polynomial"),
        (("T**2*H*W", None), "under-states"),
        (("T**2*H*W", "T*H*W"), "under-states"),
    ],
)
def test_of_several_systems_the_worst_stands_and_each_is_named(cores: tuple[str | None, str | None], word: str) -> None:
    for order in (cores, cores[::-1]):
        known = evidence(dict(zip(("first", "second"), order, strict=True)))
        judged = judge(claim("each core", "first second", "T*H*W"), known)
        assert judged.verdict == word
        assert all(f"{name}: " in judged.derived and f"{name}: " in judged.evidence for name in ("first", "second"))


@pytest.mark.parametrize(
    ("fused", "math", "verdict"),
    [(1, 2, "agrees"), (2, 2, "contradicted"), (1, 1, "contradicted"), (None, 2, "contradicted")],
)
def test_fused_memory_is_linear_in_time_and_math_memory_quadratic(fused: int | None, math: int, verdict: str) -> None:
    memory = peaks(fused=fused, math=math, fused_bias=2, math_bias=2)
    judged = judge(claim("fused memory", "joint"), evidence(certificates={"joint": proved("joint", DIVIDED, memory)}))
    assert judged.verdict == verdict
    assert f"fused: n**{fused or 0}" in judged.derived
    assert f"math: n**{math}" in judged.derived


@pytest.mark.parametrize("degree", [1, 2])
def test_a_bias_is_an_exception_only_where_it_is_quadratic(degree: int) -> None:
    memory = peaks(fused=1, math=2, fused_bias=degree, math_bias=2)
    judged = judge(claim("fused memory", "joint"), evidence(certificates={"joint": proved("joint", DIVIDED, memory)}))
    assert judged.verdict == "agrees"
    assert ("not with an additive bias" in judged.evidence) == (degree == 2)


@pytest.mark.parametrize(
    ("claimed", "verdict", "says"),
    [
        ("6272; 39e6", "contradicted", "39 million are pairs of tokens"),
        (f"6272; {1536 * 6272**2}", "agrees", "the token count is right"),
        (f"6272; {2 * 1536 * 6272**2}", "agrees", "the token count is right"),
        (f"6273; {1536 * 6272**2}", "contradicted", "the token count is wrong"),
        ("6272; 5e9", "contradicted", "5000 million, against"),
    ],
)
def test_tokens_and_operations_are_each_held_against_the_count(claimed: str, verdict: str, says: str) -> None:
    judged = judge(claim("token count", "joint", claimed=claimed), evidence({"joint": "1536*(T*H*W)**2"}))
    assert judged.verdict == verdict
    assert says in judged.evidence
    assert "6,272 tokens" in judged.derived
    assert f"attention core {1536 * 6272**2:,} MACs" in judged.derived
    assert f"projections {4 * 6272 * 768**2:,} MACs" in judged.derived


@pytest.mark.parametrize(
    ("powers", "verdict"),
    [
        ((1, 2), "agrees"),
        ((2, 2), "agrees"),
        ((1, 1.5), "contradicted"),
        ((1, 0), "contradicted"),
        ((0.3, 2), "contradicted"),
        ((1, 3), "contradicted"),
    ],
)
def test_the_core_falls_with_the_kept_fraction_or_its_square_and_with_nothing_else(
    powers: tuple[float, float], verdict: str
) -> None:
    fractions = (0.125, 0.5, 1.0)
    counts = {
        name: {fraction: round(10**12 * fraction**power) for fraction in fractions}
        for name, power in zip(("first", "second"), powers, strict=True)
    }
    judged = judge(claim("kept fraction", "first second"), evidence(core_by_fraction=counts))
    assert all(f"core ~ fraction**{power:.2f}" in judged.derived for power in powers)
    assert judged.verdict == verdict


@pytest.mark.parametrize(
    ("places", "core", "verdict"),
    [
        (1, "9*T**2*H*W", "contradicted"),
        (3, "9*T**2*H*W", "agrees"),
        (3, "9*(T*H*W)**2", "contradicted"),
        (None, "9*T**2*H*W", "undecided"),
    ],
)
def test_a_pyramid_takes_several_levels_and_a_cheaper_core(places: int | None, core: str, verdict: str) -> None:
    known = evidence({"constrained": core}, attending_modules={} if places is None else {"pcsa": places})
    assert judge(claim("pyramid", "constrained", "(T*H*W)**2"), known).verdict == verdict


def test_a_crossover_in_time_is_contradicted_where_time_cancels() -> None:
    judged = judge(claim("crossover in T", "axial divided"), evidence({"axial": AXIAL, "divided": DIVIDED}))
    assert judged.verdict == "contradicted"
    assert "H*W" in judged.derived
    assert "T" not in judged.derived


def test_a_crossover_in_time_is_undecided_where_time_stays() -> None:
    known = evidence({"axial": "T*H*W*(2*T + H + W)", "divided": DIVIDED})
    judged = judge(claim("crossover in T", "axial divided"), known)
    assert judged.verdict == "undecided"
    assert "depends on T" in judged.evidence


@pytest.mark.parametrize(("masked", "verdict"), [(4000, "contradicted"), (3999, "agrees")])
def test_a_mask_saves_only_what_it_takes_off_the_unmasked_count(masked: int, verdict: str) -> None:
    known = evidence(masked_strided_macs=masked, full_macs=4000, strided_macs=1000)
    judged = judge(claim("masked sketch", "strided"), known)
    assert judged.verdict == verdict
    assert "skipping 1,000" in judged.derived


@pytest.mark.parametrize(
    ("core", "verdict"),
    [
        (TIMESFORMER_B, "contradicted"),
        ("18432*(H*W*T**2 + T*(H*W + 2)**2)", "undecided"),
        ("18432*(H*W*(T + 1)**2 + T*(H*W + 1)**2)", "undecided"),
    ],
)
def test_the_core_of_a_layer_says_which_keys_a_patch_has(core: str, verdict: str) -> None:
    judged = judge(claim("keys per patch", "timesformer_b"), evidence({"timesformer_b": core}))
    assert judged.verdict == verdict


@pytest.mark.parametrize(
    ("shift", "verdict", "says"),
    [
        ((4, 3, 3), "contradicted", "half of the window"),
        ((8, 7, 7), "agrees", "half of the video"),
        ((1, 1, 1), "undecided", "neither"),
    ],
)
def test_a_window_s_shift_is_told_in_tokens(shift: tuple[int, int, int], verdict: str, says: str) -> None:
    judged = judge(claim("window shift", "shifted_window"), evidence(window=((8, 7, 7), shift, (16, 14, 14))))
    assert judged.verdict == verdict
    assert says in judged.evidence
    assert str(shift) in judged.derived
