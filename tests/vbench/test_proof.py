"""Certificates of the real catalog, by counting alone: what the papers' formulas and each file's price say is found."""

import importlib
import random
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import sympy
import torch

from vbench.analysis.claims import read_claims
from vbench.analysis.polynomial import BASE, SYMBOLS, Extent, Line, derive, line_of
from vbench.cell import Cell
from vbench.errors import UncountedOperatorError
from vbench.measure.count import tally_cell
from vbench.measure.subject import PATTERN_DIM, PATTERN_HEADS
from vbench.proof import certify, certify_each, judge_by_counts
from vbench_models import TokenGrid, load
from vbench_models.catalog import PATTERNS

T, H, W = SYMBOLS
TOKENS = T * H * W
PAIR = 2 * PATTERN_DIM  # multiply-adds of one query and one key: a product in q k^T and one in the sum of v
WHOLE_BLOCKS = {"pruned": (8, 8, 8), "token_selection": (2, 1, 1)}  # grids of which the kept fraction is a whole number
LOGARITHMIC = "s4"

USERS = """
import torch
import torch.nn.functional as F
from torch import nn


class OverTime(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x):
        b, t, h, w, c = x.shape
        places = self.qkv(x).permute(0, 2, 3, 1, 4).reshape(b * h * w, t, 3, self.num_heads, c // self.num_heads)
        q, k, v = places.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return out.reshape(b, h, w, self.num_heads, t, c // self.num_heads).permute(0, 4, 1, 2, 3, 5).reshape(x.shape)


class Uncounted(nn.Module):
    def forward(self, x):
        return x + torch.cdist(x, x).mean()


def build_pattern(grid, dim, num_heads):
    return OverTime(dim, num_heads)


def build_pattern_uncounted(grid, dim, num_heads):
    return Uncounted()
"""


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predicts every peak as one byte: where memory is not the question, tracing it is most of the time."""
    monkeypatch.setattr("vbench.proof.certification.footprint_of_cell", lambda *_, **__: SimpleNamespace(peak_bytes=1))


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(USERS)
    return file


def expression(text: str | None) -> sympy.Expr:
    assert text is not None
    return sympy.sympify(text, locals={str(symbol): symbol for symbol in SYMBOLS})


def is_same(text: str | None, expected: sympy.Expr) -> bool:
    return bool(sympy.expand(expression(text) - expected) == 0)


EXACT = {
    "joint": PAIR * TOKENS**2,
    "divided": PAIR * (T * (H * W) ** 2 + H * W * T**2),
    "axial": PAIR * TOKENS * (T + H + W),
    "shifted_window": PAIR * TOKENS * (8 * 7 * 7),
    "selective_scan": 2 * 2 * (2 * PATTERN_DIM) * 16 * TOKENS,  # both directions; 2 MACs for each of 2 c x 16 states
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.usefixtures("no_memory")
def test_the_core_is_the_paper_s_formula_times_its_constant(name: str) -> None:
    found = certify(name)
    assert is_same(found.attention_macs, EXACT[name])
    assert found.verdict == "exact"
    assert found.claimed == PATTERNS[name].claimed
    assert found.units == "tokens"
    assert found.held_out_checked > 0


@pytest.mark.usefixtures("no_memory")
def test_outside_the_joint_core_stand_four_projections_a_token() -> None:
    found = certify("joint")
    assert is_same(found.macs, PAIR * TOKENS**2 + 4 * PATTERN_DIM**2 * TOKENS)
    n = 8 * 14 * 14
    assert found.attention_share["8x14x14"] == pytest.approx(PAIR * n**2 / (PAIR * n**2 + 4 * PATTERN_DIM**2 * n))


@pytest.mark.usefixtures("no_memory")
def test_shifted_windows_hold_on_multiples_of_the_window_and_pad_off_them() -> None:
    found = certify("shifted_window")
    assert (found.lattice, found.domain) == ((8, 7, 7), (8, 7, 7))
    assert found.largest_excess > 0


@pytest.mark.usefixtures("no_memory")
def test_a_convolution_by_fft_is_no_polynomial() -> None:
    found = certify(LOGARITHMIC)
    assert (found.attention_macs, found.verdict) == (None, "not polynomial")


@pytest.mark.parametrize("name", ["strided", "knn"])
@pytest.mark.usefixtures("no_memory")
def test_a_fraction_of_the_keys_is_more_than_a_fixed_number_of_them(name: str) -> None:
    found = certify(name)
    assert (found.claimed, found.verdict) == ("T*H*W", "under-states")
    assert "grows without bound along T" in found.reason


def test_attention_is_three_to_four_percent_of_timesformer_at_any_of_its_lengths() -> None:
    found = certify("timesformer_b")
    assert found.verdict == "same order"
    assert found.units == "tokens of 1x16x16"
    shares = [found.attention_share[grid] for grid in ("8x14x14", "32x14x14", "96x14x14")]
    assert all(0.03 <= share <= 0.043 for share in shares)
    assert shares == sorted(shares)
    depth, n = 12, H * W
    assert is_same(found.attention_macs, depth * PAIR * (n * T**2 + T * (n + 1) ** 2))  # a class token in each frame
    assert found.memory == ()


@pytest.mark.usefixtures("no_memory")
def test_counting_side_by_side_gives_the_certificate_that_counting_alone_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench.proof.certification.WORTH_A_CREW_S", 0.0)
    asked: list[int] = []
    monkeypatch.setattr("vbench.proof.certification.tally_cell", lambda cell: asked.append(1) or tally_cell(cell))
    (together,) = certify_each(["i3d_r50"])
    assert len(asked) == 1  # the first grid shows how long one takes; the others are counted by the crew
    assert together == certify("i3d_r50")


def test_a_claim_of_the_caller_s_stands_in_for_the_card_s() -> None:
    found = certify("joint", claim="T*H*W")
    assert (found.claimed, found.verdict) == ("T*H*W", "under-states")


@pytest.mark.usefixtures("no_memory")
def test_a_user_s_own_pattern_is_certified_and_its_cost_found(users: Path) -> None:
    name = f"{users}:build_pattern"
    found = certify(name, claim="T**2*H*W")
    assert (found.name, found.units, found.verdict) == (name, "tokens", "exact")
    assert is_same(found.attention_macs, PAIR * T**2 * H * W)
    assert is_same(found.macs, PAIR * T**2 * H * W + 3 * PATTERN_DIM**2 * TOKENS)
    assert certify(name).verdict == "no claim"


def test_what_a_user_s_own_operator_costs_is_not_made_up(users: Path) -> None:
    with pytest.raises(UncountedOperatorError, match="cdist"):
        certify(f"{users}:build_pattern_uncounted")


def test_a_model_of_one_clip_alone_has_no_formula() -> None:
    found = certify("c3d")
    assert (found.macs, found.attention_macs, found.lattice, found.attention_share) == (None, None, None, {})


def test_fused_attention_is_linear_in_memory_and_the_math_kernel_quadratic() -> None:
    claims = {claim.id: claim for claim in read_claims()}
    quadratic, linear = judge_by_counts([claims["F01"], claims["F13"]])
    assert (quadratic.id, quadratic.verdict) == ("F01", "exact")
    assert (linear.id, linear.verdict) == ("F13", "agrees")
    memory = {(part.kernel, part.bias): part.regimes for part in certify("joint").memory if part.axis == "T"}
    last = {variant: regimes[-1].degree for variant, regimes in memory.items()}
    assert last == {("fused", False): 1, ("fused", True): 2, ("math", False): 2, ("math", True): 2}


@cache
def attention_macs(name: str, grid: Extent) -> int:
    t, h, w = grid
    return tally_cell(Cell(model=name, frames=t, height=h, width=w, unit="tokens")).attention_macs


def lines(name: str) -> list[Line] | None:
    """The lattice that the card names, or of whole blocks; None: to be found."""
    if name in WHOLE_BLOCKS:
        return [Line(step, step, 2) for step in WHOLE_BLOCKS[name]]
    steps = PATTERNS[name].lattice
    if steps is None:
        return None
    found = [
        line_of(lambda grid: attention_macs(name, grid), axis, step, step, BASE) for axis, step in enumerate(steps)
    ]
    known = [line for line in found if line is not None]
    return known if len(known) == len(found) else None


@pytest.mark.parametrize("name", [name for name in PATTERNS if name != LOGARITHMIC])
def test_the_derived_core_is_the_closed_form_of_its_file(name: str) -> None:
    derived = derive(lambda grid: attention_macs(name, grid), lines(name))
    assert derived is not None
    module = importlib.import_module(PATTERNS[name].builder.split(":")[0])
    chance = random.Random(name)
    for _ in range(5):
        steps = zip(derived.domain, derived.lattice, strict=True)
        t, h, w = (start + step * chance.randint(0, 9) for start, step in steps)
        grid = TokenGrid(t, h, w)
        with torch.device("meta"):
            config = load(name)(grid, PATTERN_DIM, PATTERN_HEADS).config
        at_grid = derived.expression.subs(dict(zip(SYMBOLS, (t, h, w), strict=True)))
        assert at_grid == module.core_macs(grid, config)
