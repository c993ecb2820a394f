"""The certificate of one cost: the derived formula, the verdict on the claimed one, and the regimes of its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import sympy

from vbench.analysis.latency_law import LatencyLaw
from vbench.analysis.polynomial import SYMBOLS, Announce, Count, Derived, Extent, Line, derive, unheard
from vbench.analysis.regimes import Regime, regimes
from vbench.analysis.verdict import Verdict, dominant_terms, judge, parse_claim
from vbench.errors import AxisError

MEMORY_SIZES = (1, 2, 3, 4, 6, 8, 12, 16)  # lattice points along an axis
MEMORY_BASE: Extent = (8, 14, 14)
SHARE_GRIDS: tuple[Extent, ...] = ((8, 14, 14), (32, 14, 14), (96, 14, 14))
SHARE_CLIPS: tuple[Extent, ...] = ((8, 256, 256), (32, 256, 256), (96, 256, 256))  # in frames and pixels
NO_CLAIM = "no claim"

Hint = Callable[[Count], list[Line] | None]
MemoryPeak = Callable[[Extent, str, bool], int]  # grid, kernel, with an additive bias -> bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted on one grid, in multiply-adds."""

    macs: int
    attention_macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRegimes:
    """Predicted peak bytes along one axis, the others held."""

    axis: str
    held: str
    kernel: str
    bias: bool
    regimes: tuple[Regime, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What was derived and how it was judged; formulas in T, H, W of `units`, in multiply-adds."""

    name: str
    units: str
    macs: str | None
    attention_macs: str | None
    lattice: Extent | None
    domain: Extent | None
    claimed: str | None
    verdict: str
    reason: str
    held_out_checked: int
    largest_excess: float
    attention_share: dict[str, float]
    memory: tuple[MemoryRegimes, ...]
    latency: LatencyLaw | None = None

    def to_json(self) -> dict[str, Any]:
        """The certificate as one JSON object."""
        return asdict(self)

    @property
    def latex(self) -> str:
        """The attention core's formula in LaTeX, its dominant terms first."""
        if self.attention_macs is None:
            return r"\text{no polynomial}"
        return str(sympy.latex(_parsed(self.attention_macs)))

    @property
    def dominant(self) -> str:
        """The attention core's terms that no other outgrows."""
        if self.attention_macs is None or self.attention_macs == "0":
            return ""
        return " + ".join(str(term) for term in dominant_terms(_parsed(self.attention_macs)))


def certificate(
    name: str,
    units: str,
    figures: Callable[[Extent], Figures],
    *,
    claim: str | None,
    memory: MemoryPeak | None = None,
    hint: Hint = lambda _: None,
    share_grids: Iterable[Extent] = SHARE_GRIDS,
    announce: Announce = unheard,
) -> Certificate:
    """Derive, check and judge. `figures` counts a grid; `memory` predicts its peak; `hint` knows the lattice.

    `announce` is told which grids will be counted, some time before.

    Raises:
        AxisError: the claim cannot be parsed.
    """
    claimed = parse_claim(claim) if claim else None
    core = _derived(lambda grid: figures(grid).attention_macs, hint, announce)
    total = _derived(lambda grid: figures(grid).macs, hint, announce)
    verdict = _judged(core, total, claimed) if claimed is not None else None
    lattice = _common(core, total)
    return Certificate(
        name=name,
        units=units,
        macs=_text(total),
        attention_macs=_text(core),
        lattice=lattice and lattice[0],
        domain=lattice and lattice[1],
        claimed=claim,
        verdict=verdict.word if verdict else NO_CLAIM,
        reason=verdict.reason if verdict else "",
        held_out_checked=min((part.held_out_checked for part in (core, total) if part), default=0),
        largest_excess=max((part.largest_excess for part in (core, total) if part), default=0.0),
        attention_share=_shares(figures, core, total, share_grids, announce),
        memory=tuple(_memory(memory, lattice[0] if lattice else (1, 1, 1))) if memory else (),
    )


def _judged(core: Derived | None, whole: Derived | None, claim: sympy.Expr) -> Verdict:
    """The claim against the attention core; a module that multiplies no queries with keys against its whole cost."""
    if core is None or core.expression != 0:
        return judge(core and core.expression, claim)
    return judge(whole and whole.expression, claim, cost="the whole, for want of an attention core,")


def degrees_of(formula: str | None) -> Extent | None:
    """The degrees of a formula along T, H and W."""
    if formula is None:
        return None
    t, h, w = sympy.Poly(_parsed(formula), *SYMBOLS).degree_list()
    return max(t, 0), max(h, 0), max(w, 0)  # SymPy gives nought the degree of minus infinity


def _derived(count: Count, hint: Hint, announce: Announce) -> Derived | None:
    return derive(count, hint(count), announce)


def _text(derived: Derived | None) -> str | None:
    return None if derived is None else str(derived.expression)


def _common(core: Derived | None, total: Derived | None) -> tuple[Extent, Extent] | None:
    """The coarser of the two lattices and the later of the two starts, axis by axis."""
    known = [part for part in (core, total) if part]
    if not known:
        return None
    lattice = tuple(max(steps) for steps in zip(*(part.lattice for part in known), strict=True))
    domain = tuple(max(starts) for starts in zip(*(part.domain for part in known), strict=True))
    return (lattice[0], lattice[1], lattice[2]), (domain[0], domain[1], domain[2])


def _shares(
    figures: Callable[[Extent], Figures], core: Derived | None, total: Derived | None, grids: Iterable[Extent],
    announce: Announce,
) -> dict[str, float]:  # fmt: skip
    """The core's share of all MACs on the grids that the model takes: by the formulas where they hold, else counted."""
    grids = list(grids)
    lattice = _common(core, total)
    announce(grid for grid in grids if not (lattice and _holds(lattice, grid)))
    shares = {}
    for grid in grids:
        if core and total and lattice and _holds(lattice, grid):
            counted = Figures(macs=_value(total, grid), attention_macs=_value(core, grid))
        else:
            try:
                counted = figures(grid)
            except AxisError:
                continue
        if counted.macs:
            shares["x".join(map(str, grid))] = counted.attention_macs / counted.macs
    return shares


def _holds(lattice: tuple[Extent, Extent], grid: Extent) -> bool:
    """Whether a grid lies on the lattice and in the domain."""
    return all(size % step == 0 and size >= start for step, start, size in zip(*lattice, grid, strict=True))


def _value(derived: Derived, grid: Extent) -> int:
    return int(derived.expression.subs(dict(zip(SYMBOLS, grid, strict=True))))


def _memory(peak: MemoryPeak, lattice: Extent) -> Iterable[MemoryRegimes]:
    for index, symbol in enumerate("THW"):
        sizes = [lattice[index] * size for size in MEMORY_SIZES]
        grids = [(*MEMORY_BASE[:index], size, *MEMORY_BASE[index + 1 :]) for size in sizes]
        held = "x".join(symbol if axis == index else str(size) for axis, size in enumerate(MEMORY_BASE))
        for kernel in ("fused", "math"):
            for bias in (False, True):
                values = [peak((grid[0], grid[1], grid[2]), kernel, bias) for grid in grids]
                found = tuple(regimes(symbol, sizes, values))
                yield MemoryRegimes(axis=symbol, held=held, kernel=kernel, bias=bias, regimes=found)


def _parsed(text: str) -> sympy.Expr:
    return parse_claim(text) if any(symbol in text for symbol in "THW") else sympy.Integer(int(text))
