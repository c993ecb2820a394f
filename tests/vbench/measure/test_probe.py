"""The fixed task beside every measurement: what it does, and that it leaves nothing behind."""

import pytest
import torch

from vbench.measure.memory import status_bytes
from vbench.measure.precision import precision_context
from vbench.measure.probe import COPY, PRODUCT, Probe


def test_the_probe_gives_its_memory_back() -> None:
    Probe()()  # threads and scratch buffers of the first product
    before = status_bytes("VmRSS")
    probe = Probe()
    probe()
    held = status_bytes("VmRSS") - before
    del probe
    assert held > 15 * COPY  # source and copy, 8 bytes a number, but for a few pages
    assert status_bytes("VmRSS") - before < held / 8


def test_the_probe_does_what_it_says() -> None:
    probe = Probe()
    probe._source.mul_(3.0)
    product_s, copy_s = probe()
    assert product_s > 0
    assert copy_s > 0
    assert torch.equal(probe._c, torch.full((PRODUCT, PRODUCT), float(PRODUCT), dtype=torch.float64))
    assert torch.equal(probe._copy, torch.full((COPY,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_probe_is_the_same_task_in_every_precision(precision: str) -> None:
    """1/3 has no short form: a product that autocast had rounded would differ from the exact one."""
    probe = Probe()
    probe._a.fill_(1 / 3)
    with precision_context(precision, "cpu"):
        probe()
    torch.testing.assert_close(probe._c, torch.full_like(probe._c, PRODUCT / 3), rtol=1e-12, atol=0)
