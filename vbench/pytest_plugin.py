"""A fixture for other people's tests: what a model or a pattern may cost, in one line.

    def test_my_attention_is_linear(cost):
        cost.grows_as(my_attention, "T*H*W")

    def test_my_network_stays_small(cost):
        cost.is_within(my_network, frames=16, height=112, width=112, macs=40e9, params=30e6)

pytest loads this file wherever vbench is installed, so it imports nothing before a test asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vbench.analysis.certificate import Certificate
    from vbench.grid import Extent
    from vbench.measure.cost import Cost
    from vbench.measure.held import Subject

GRANTED = ("exact", "same order")


class CostAssertions:
    """Statements about cost that fail a test with what was found."""

    def grows_as(self, subject: Subject, formula: str, *, dim: int | None = None) -> Certificate:
        """The derived cost of the attention core is `formula`, in T, H and W, up to a constant or bounded factor."""
        from vbench.api import certify
        from vbench.report.certificates import certificate_text

        found = certify(subject, claim=formula, dim=dim)
        if found.verdict not in GRANTED:
            pytest.fail(f"the cost does not grow as {formula}\n{certificate_text(found)}", pytrace=False)
        return found

    def is_within(
        self, subject: Subject, *, params: float | None = None, macs: float | None = None,
        predicted_peak_bytes: float | None = None, frames: int | None = None, height: int | None = None,
        width: int | None = None, grid: Extent | str | None = None, batch: int = 1, mode: str = "infer",
        dim: int | None = None,
    ) -> Cost:  # fmt: skip
        """Exact counts and the predicted tensor peak are at most what is given."""
        from vbench.api import count

        found = count(
            subject, frames=frames, height=height, width=width, grid=grid, batch=batch, mode=mode, dim=dim
        )  # fmt: skip
        limits = {"params": params, "macs": macs, "predicted_peak_bytes": predicted_peak_bytes}
        over = [
            f"{name} {getattr(found, name):,} > {limit:,.0f}"
            for name, limit in limits.items()
            if limit is not None and getattr(found, name) > limit
        ]
        if over:
            pytest.fail(f"{found.name}: {'; '.join(over)}", pytrace=False)
        return found


@pytest.fixture(scope="session")
def cost() -> CostAssertions:
    """What a model or a pattern may cost, in one line of a test."""
    return CostAssertions()
