import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vbench.measure.kernels import KernelWitness, kernel_context


def attend(q: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, q, q)


@pytest.mark.parametrize(("kernel", "ran"), [("math", "math"), ("flash", "flash")])
def test_the_kernel_that_is_asked_for_is_the_one_that_is_seen(kernel: str, ran: str) -> None:
    with torch.no_grad(), kernel_context(kernel), KernelWitness() as witness:
        attend(torch.randn(1, 2, 64, 16))
    assert witness.kernel_ran == ran


def test_a_network_without_attention_has_no_kernel() -> None:
    with torch.no_grad(), KernelWitness() as witness:
        torch.ones(3) @ torch.ones(3)
    assert witness.kernel_ran == "none"


def test_both_are_told_where_both_ran() -> None:
    q = torch.randn(1, 2, 64, 16)
    with torch.no_grad(), KernelWitness() as witness:
        attend(q)
        with kernel_context("math"):
            attend(q)
    assert witness.kernel_ran == "flash+math"


def test_the_kernels_agree() -> None:
    q = torch.randn(2, 3, 50, 16, generator=torch.Generator().manual_seed(0))
    with kernel_context("math"):
        exact = attend(q)
    torch.testing.assert_close(attend(q), exact)
