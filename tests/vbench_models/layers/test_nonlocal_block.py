"""The non-local block: its weighted sum taken in the other order, its pooled keys, and how it begins."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.layers.nonlocal_block import DotProductNonLocal, average_by_products


def noisy_block(channels: int, pool_size: tuple[int, int, int]) -> DotProductNonLocal:
    torch.manual_seed(0)
    block = DotProductNonLocal(channels, pool_size).double().eval()
    torch.nn.init.normal_(block.norm.weight)
    return block


def test_products_with_keys_first_equal_keys_with_values_first() -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 5, 3, 4, 2, dtype=torch.float64)
    key, value = torch.randn(2, 2, 5, 3, 2, 1, dtype=torch.float64)
    keys_with_values = torch.einsum("bcthw,bdthw->bcd", key, value) / (3 * 2 * 1)
    expected = torch.einsum("bcthw,bcd->bdthw", query, keys_with_values)
    torch.testing.assert_close(average_by_products(query, key, value), expected)


def test_keys_and_values_are_read_from_the_greatest_of_each_pool() -> None:
    block = noisy_block(6, (1, 2, 2))
    x = torch.randn(1, 6, 3, 4, 4, dtype=torch.float64)
    greatest = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
    with torch.no_grad():
        mixed = average_by_products(block.query(x), block.key(greatest), block.value(greatest))
        torch.testing.assert_close(block(x), x + block.norm(block.out(mixed)))


def test_every_position_reaches_every_other() -> None:
    block = noisy_block(4, (1, 2, 2))
    x = torch.randn(1, 4, 3, 4, 4, dtype=torch.float64)
    changed = x.clone()
    changed[..., 2, 3, 3] += 10
    with torch.no_grad():
        difference = (block(changed) - block(x)).abs().amax(1)
    assert (difference > 1e-9).all()


def test_a_new_block_is_the_identity() -> None:
    x = torch.randn(2, 4, 2, 4, 4)
    assert torch.equal(DotProductNonLocal(4, (1, 2, 2)).eval()(x), x)


def test_half_the_channels_are_embedded_and_every_pair_is_multiplied_twice() -> None:
    n, m, channels, inner = 3 * 4 * 6, 3 * 2 * 3, 8, 4
    with torch.device("meta"):
        block, x = DotProductNonLocal(channels, (1, 2, 2)).eval(), torch.empty(1, channels, 3, 4, 6)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        block(x)
    projections = (2 * n + 2 * m) * channels * inner
    assert counter.get_total_flops() == 2 * (projections + 2 * n * m * inner)
