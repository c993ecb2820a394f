"""Certificates of planted costs: what is put in comes out, with its lattice, its verdict and its memory."""

import json
import math
from collections.abc import Callable

import pytest
import sympy

from vbench.analysis.certificate import NO_CLAIM, Certificate, Figures, certificate
from vbench.analysis.polynomial import SYMBOLS, H, Line, T, W
from vbench.errors import AxisError

Grid = tuple[int, int, int]
Cost = Callable[[Grid], int]

DIVIDED = 6 * T * (H * W) ** 2 + 6 * H * W * T**2
TOKENS = T * H * W


def counting(core: sympy.Expr, rest: sympy.Expr = TOKENS) -> Callable[[Grid], Figures]:
    """Figures whose attention costs `core` and everything else `rest`."""
    of_core, of_rest = (sympy.lambdify(SYMBOLS, cost, modules="math") for cost in (core, rest))
    return lambda grid: Figures(macs=int(of_core(*grid) + of_rest(*grid)), attention_macs=int(of_core(*grid)))


def padded(steps: Grid) -> Cost:
    """The number of tokens of a grid whose every axis is filled up to a multiple."""
    return lambda grid: math.prod(-(-extent // step) * step for extent, step in zip(grid, steps, strict=True))


def certified(core: sympy.Expr = DIVIDED, claim: str | None = None) -> Certificate:
    return certificate("planted", "tokens", counting(core), claim=claim)


def test_the_formulas_are_the_planted_ones() -> None:
    found = certificate("planted", "tokens", counting(DIVIDED, 10 * TOKENS + 3), claim=None)
    assert (found.name, found.units) == ("planted", "tokens")
    assert sympy.expand(sympy.sympify(found.attention_macs, locals={str(s): s for s in SYMBOLS}) - DIVIDED) == 0
    whole = sympy.sympify(found.macs, locals={str(s): s for s in SYMBOLS})
    assert sympy.expand(whole - DIVIDED - 10 * TOKENS - 3) == 0
    assert found.held_out_checked > 0
    assert (found.lattice, found.domain, found.largest_excess) == ((1, 1, 1), (1, 1, 1), 0)


def test_the_lattice_is_the_coarser_of_the_core_s_and_the_whole_s() -> None:
    core, whole = padded((4, 1, 7)), padded((8, 1, 1))
    found = certificate("planted", "tokens", lambda g: Figures(core(g) + 9 * whole(g), core(g)), claim=None)
    assert found.lattice == (8, 1, 7)
    assert found.attention_macs == str(TOKENS)
    assert found.largest_excess > 0


def test_the_domain_begins_where_both_laws_hold() -> None:
    def figures(grid: Grid) -> Figures:
        core = max(grid[0], 6) * grid[1] * grid[2]
        return Figures(macs=core + max(grid[1], 9), attention_macs=core)

    found = certificate("planted", "tokens", figures, claim=None)
    assert found.domain == (6, 9, 1)
    assert found.attention_macs == str(TOKENS)


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ("T*(H*W)**2 + H*W*T**2", "exact"),
        ("T*(H*W)**2 + 2*H*W*T**2", "same order"),
        ("(T*H*W)**2", "over-states"),
        ("T*H*W", "under-states"),
    ],
)
def test_the_verdict_is_on_the_core_and_not_on_the_whole(claim: str, word: str) -> None:
    found = certificate("planted", "tokens", counting(DIVIDED, 1000 * TOKENS**2), claim=claim)
    assert (found.claimed, found.verdict) == (claim, word)
    assert found.reason


def test_without_a_claim_there_is_no_verdict() -> None:
    found = certified(claim=None)
    assert (found.claimed, found.verdict, found.reason) == (None, NO_CLAIM, "")


def test_what_is_no_polynomial_has_no_formula_and_says_so() -> None:
    def figures(grid: Grid) -> Figures:
        cost = math.prod(grid) * math.isqrt(math.prod(grid))
        return Figures(macs=2 * cost, attention_macs=cost)

    found = certificate("planted", "tokens", figures, claim="T*H*W")
    assert (found.attention_macs, found.macs, found.lattice, found.domain) == (None, None, None, None)
    assert (found.verdict, found.held_out_checked) == ("not polynomial", 0)
    assert (found.latex, found.dominant) == (r"\text{no polynomial}", "")
    assert found.attention_share["8x14x14"] == pytest.approx(0.5)


def test_a_core_without_a_law_leaves_the_whole_s_formula() -> None:
    def figures(grid: Grid) -> Figures:
        return Figures(macs=padded((4, 1, 1))(grid), attention_macs=math.isqrt(math.prod(grid)))

    found = certificate("planted", "tokens", figures, claim="T*H*W")
    assert (found.attention_macs, found.verdict) == (None, "not polynomial")
    assert (found.macs, found.lattice) == (str(TOKENS), (4, 1, 1))


@pytest.mark.parametrize(("claim", "word"), [("T*H*W", "exact"), ("T**2*H*W", "over-states"), ("T*H", "under-states")])
def test_what_has_no_attention_is_held_against_its_whole_cost_and_says_so(claim: str, word: str) -> None:
    found = certificate("planted", "frames and pixels", lambda g: Figures(3 * math.prod(g), 0), claim=claim)
    assert (found.attention_macs, found.latex, found.dominant) == ("0", "0", "")
    assert found.verdict == word
    assert "the whole, for want of an attention core," in found.reason


def test_a_claim_that_is_none_is_refused_before_anything_is_counted() -> None:
    def figures(grid: Grid) -> Figures:
        raise AssertionError("counted")

    with pytest.raises(AxisError, match="cannot parse the claim"):
        certificate("planted", "tokens", figures, claim="T*H*")


def test_latex_is_the_core_s() -> None:
    assert certified(5 * T**2 * H).latex == "5 H T^{2}"


def test_dominant_terms_are_those_that_no_other_outgrows() -> None:
    found = certified(DIVIDED + 100 * TOKENS + 7)
    terms = {sympy.sympify(term, locals={str(s): s for s in SYMBOLS}) for term in found.dominant.split(" + ")}
    assert terms == {6 * T * H**2 * W**2, 6 * T**2 * H * W}


def test_attention_s_share_is_its_part_of_the_whole() -> None:
    found = certificate(
        "planted", "tokens", counting(T**2 * H, 3 * T * H), claim=None, share_grids=[(1, 5, 5), (9, 2, 7)]
    )
    assert found.attention_share == {"1x5x5": 1 / 4, "9x2x7": 9 / 12}


def test_a_share_on_the_lattice_follows_from_the_formulas_and_any_other_is_counted() -> None:
    asked: list[Grid] = []

    def count(grid: Grid) -> Figures:
        asked.append(grid)
        return Figures(*(padded((2, 1, 1))(grid) * factor for factor in (4, 1)))

    certificate("planted", "tokens", count, claim=None, share_grids=[(1000, 14, 14), (1001, 14, 14)])
    assert (1000, 14, 14) not in asked
    assert (1001, 14, 14) in asked


def test_a_hint_names_the_lattice() -> None:
    found = certificate(
        "planted",
        "tokens",
        lambda g: Figures(padded((9, 1, 1))(g), padded((9, 1, 1))(g)),
        claim=None,
        hint=lambda _: [Line(9, 9, 1), Line(1, 1, 1), Line(1, 1, 1)],
    )
    assert found.lattice == (9, 1, 1)


def memory(grid: Grid, kernel: str, bias: bool) -> int:
    """Activations of n tokens; the scores of the math kernel, and a bias, n x n."""
    n = math.prod(grid)
    return 1000 * n + (8 * n * n if kernel == "math" else 0) + (4 * n * n if bias else 0)


def test_memory_is_told_for_each_axis_kernel_and_bias() -> None:
    found = certificate("planted", "tokens", counting(DIVIDED), claim=None, memory=memory)
    assert {(part.axis, part.held) for part in found.memory} == {("T", "Tx14x14"), ("H", "8xHx14"), ("W", "8x14xW")}
    assert len({(part.axis, part.kernel, part.bias) for part in found.memory}) == len(found.memory) == 3 * 2 * 2
    for part in found.memory:
        (regime,) = part.regimes
        assert regime.degree == (2 if part.kernel == "math" or part.bias else 1)
        axis = sympy.Symbol(part.axis)
        held = {"T": 14 * 14, "H": 8 * 14, "W": 8 * 14}[part.axis]
        planted = 1000 * held * axis + (8 * (part.kernel == "math") + 4 * part.bias) * held**2 * axis**2
        assert sympy.expand(sympy.sympify(regime.expression) - planted) == 0


def test_a_peak_that_moves_to_another_place_is_two_regimes() -> None:
    def peak(grid: Grid, kernel: str, bias: bool) -> int:
        return max(10**6 + grid[0], 50_000 * grid[0] ** 2)

    found = certificate("planted", "tokens", counting(DIVIDED), claim=None, memory=peak)
    for part in found.memory:
        assert len(part.regimes) == (2 if part.axis == "T" else 1)
    first, second = found.memory[0].regimes
    assert (first.expression, second.expression) == ("T + 1000000", "50000*T**2")
    assert first.largest < math.sqrt(20) < second.smallest


def test_memory_is_asked_for_on_the_lattice_alone() -> None:
    asked: list[Grid] = []

    def peak(grid: Grid, kernel: str, bias: bool) -> int:
        asked.append(grid)
        return math.prod(grid)

    cost = padded((8, 7, 7))
    certificate("planted", "tokens", lambda g: Figures(cost(g), cost(g)), claim=None, memory=peak)
    assert all(t % 8 == h % 7 == w % 7 == 0 for t, h, w in asked)
    assert asked


def test_without_a_peak_no_memory_is_told() -> None:
    assert certified().memory == ()


def test_the_document_has_the_keys_that_are_promised_and_survives_json() -> None:
    found = certificate("planted", "tokens", counting(DIVIDED), claim="T*H*W", memory=memory)
    promised = {
        "name", "units", "macs", "attention_macs", "lattice", "domain", "claimed", "verdict", "held_out_checked",
        "latency", "memory",
    }  # fmt: skip
    document = json.loads(json.dumps(found.to_json()))
    assert document.keys() >= promised
    assert document["lattice"] == [1, 1, 1]
    assert (document["latency"], document["verdict"]) == (None, "under-states")
    assert {"axis", "held", "kernel", "bias", "regimes"} <= document["memory"][0].keys()


def test_grids_that_the_model_refuses_have_no_share_and_a_fixed_clip_no_polynomial() -> None:
    def fixed(grid: tuple[int, int, int]) -> Figures:
        if grid != (8, 14, 14):
            raise AxisError("the clip is fixed")
        return Figures(macs=10, attention_macs=5)

    found = certificate("fixed", "tokens", fixed, claim=None)
    assert (found.macs, found.attention_macs, found.lattice) == (None, None, None)
    assert found.attention_share == {"8x14x14": 0.5}
