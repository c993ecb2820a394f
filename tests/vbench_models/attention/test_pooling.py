from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vbench_models.attention.pooling import PoolingAttention, PoolingConfig
from vbench_models.layers.pooling import TokenPooling
from vbench_models.video import TokenGrid

CONFIG = PoolingConfig(embed_dim=12, num_heads=4)
GRIDS = [TokenGrid(3, 8, 4), TokenGrid(2, 5, 7), TokenGrid(1, 3, 1)]


def attention(config: PoolingConfig) -> PoolingAttention:
    torch.manual_seed(0)
    pooling = PoolingAttention(config).double()
    for pool in (pooling.pool_q, pooling.pool_k, pooling.pool_v):
        torch.nn.init.normal_(pool.norm.weight)
        torch.nn.init.normal_(pool.norm.bias)
    return pooling


def pooled_head(pool: TokenPooling, x: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """One head's `b t h w d`, convolved and normalised by hand, as `b n d`."""
    channels = x.shape[-1]
    out = F.conv3d(x.permute(0, 4, 1, 2, 3), pool.conv.weight, stride=stride, padding=1, groups=channels)
    out = out.flatten(2).mT
    out = (out - out.mean(-1, keepdim=True)) / (out.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
    return out * pool.norm.weight + pool.norm.bias


@pytest.mark.parametrize("stride", [(1, 4, 4), (2, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_core_equals_dense_attention_over_pooled_keys_head_by_head(
    grid: TokenGrid, stride: tuple[int, int, int], qkv: Callable[..., list[Tensor]]
) -> None:
    pooling, (q, k, v) = attention(replace(CONFIG, kv_stride=stride)), qkv(grid)
    out = pooling.core(q, k, v)
    for head in range(4):
        queries = pooled_head(pooling.pool_q, q[:, head], (1, 1, 1))
        keys, values = pooled_head(pooling.pool_k, k[:, head], stride), pooled_head(pooling.pool_v, v[:, head], stride)
        expected = (queries @ keys.mT / 3**0.5).softmax(-1) @ values
        torch.testing.assert_close(out[:, head].flatten(1, 3), expected)


def test_queries_keys_and_values_between_one_another_in_memory_are_pooled_alike(
    qkv: Callable[..., list[Tensor]],
) -> None:
    pooling, tensors = attention(CONFIG), qkv(GRIDS[1])
    mixed = torch.stack(tensors, dim=-1).unbind(-1)
    assert not mixed[0].is_contiguous()
    torch.testing.assert_close(pooling.core(*mixed), pooling.core(*tensors))


def test_the_pooling_survives_where_norms_are_taken_out() -> None:
    pooling = attention(CONFIG)
    assert not any(isinstance(module, torch.nn.LayerNorm) for module in pooling.modules())
    assert pooling.pool_k.conv.weight.shape == (3, 1, 3, 3, 3)  # one head's channels, shared by all heads
    assert pooling.pool_k.conv.bias is None
