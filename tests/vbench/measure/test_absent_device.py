"""Predicting for CUDA with a torch that knows nothing of it: square brackets by operators, casts that are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from vbench.cell import Cell
from vbench.errors import AxisError
from vbench.measure import absent_device
from vbench.measure.absent_device import by_operators, kept_casts, viewed
from vbench.measure.footprint import footprint_of_cell
from vbench.measure.precision import precision_context
from vbench.measure.stand_ins import FusedAttention

CHOSEN = torch.tensor([2, 0, 2])
MASK = torch.tensor([[True, False, True, True]] * 3)
OF_KNOWN_LENGTH = (
    0, -1, slice(1, None), slice(None, None, 2), None, ..., (0, 1), (slice(None), 1), (..., 0), (..., slice(1, 3)),
    (0, ..., None), (None, slice(None), 2, ..., -1), CHOSEN, (slice(None), CHOSEN), (..., CHOSEN, slice(None)),
    [1, 0], (slice(1), None, [0, 3]), (CHOSEN, CHOSEN),
)  # fmt: skip
BY_TRUTH = (MASK, (MASK, 0))  # how many are true is not known of a fake tensor
TIMESFORMER = Cell(model="timesformer_b", frames=2, height=32, width=32)


@pytest.mark.parametrize("index", [*OF_KNOWN_LENGTH, *BY_TRUTH], ids=str)
def test_operators_read_what_brackets_read(index: Any) -> None:
    tensor = torch.arange(3 * 4 * 5).reshape(3, 4, 5)
    view, chosen = viewed(tensor, index)
    read = torch.ops.aten.index.Tensor(view, chosen) if chosen else view
    assert torch.equal(read, tensor[index])


@pytest.mark.parametrize("index", OF_KNOWN_LENGTH, ids=str)
def test_fake_tensors_of_cuda_have_the_shape_that_brackets_give(index: Any) -> None:
    expected = torch.empty(3, 4, 5)[index].shape
    with FakeTensorMode(), by_operators("cuda"):
        index = tree_map_only(Tensor, lambda x: torch.empty(x.shape, dtype=x.dtype, device="cuda"), index)
        assert torch.empty(3, 4, 5, device="cuda")[index].shape == expected


def test_writing_by_brackets_writes_there_and_nowhere_else() -> None:
    with FakeTensorMode(), by_operators("cuda"):
        tensor = torch.empty(3, 4, 5, device="cuda")
        tensor[:, 1] = 0.0
        tensor[..., torch.empty(2, dtype=torch.long, device="cuda")] = torch.empty(3, 4, 2, device="cuda")
        assert tensor.shape == (3, 4, 5)


def test_a_cast_that_changes_nothing_is_the_tensor_itself_and_another_is_a_copy() -> None:
    with FakeTensorMode(), by_operators("cuda"):
        tensor = torch.empty(3, 4, device="cuda")
        assert tensor.to(torch.float32) is tensor.float() is tensor.to("cuda") is tensor
        half = tensor.to(dtype=torch.float16)
        assert (half.dtype, half.device.type, half.shape) == (torch.float16, "cuda", (3, 4))
        assert tensor.mT.contiguous().stride() == (3, 1)
        assert tensor.copy_(half) is tensor


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16_pure"])
def test_a_network_of_slices_needs_on_cuda_what_it_needs_on_a_cpu(precision: str) -> None:
    """But for kernels' own memory, and for blocks rounded up to 512 bytes."""
    cell = replace(TIMESFORMER, precision=precision)
    there = footprint_of_cell(replace(cell, device="cuda"), tensors_only=True)
    here = footprint_of_cell(cell, tensors_only=True)
    assert there.op_bytes == pytest.approx(here.op_bytes, rel=1e-4)
    assert here.peak_bytes <= there.peak_bytes < 1.01 * here.peak_bytes


def test_both_half_precisions_need_the_same_and_pure_ones_less_than_single() -> None:
    half, brain, pure, single = (
        footprint_of_cell(replace(TIMESFORMER, device="cuda", precision=precision), tensors_only=True)
        for precision in ("fp16", "bf16", "bf16_pure", "fp32")
    )
    assert (half.peak_bytes, half.op_bytes) == (brain.peak_bytes, brain.op_bytes)
    assert pure.op_bytes < 0.55 * single.op_bytes
    assert pure.peak_bytes < single.peak_bytes < half.peak_bytes  # autocast keeps its casts beside the parameters


def test_autocast_of_an_absent_device_ends_with_its_context() -> None:
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with FakeTensorMode(), precision_context("fp16", "cuda"):
        a = torch.empty(2, 2, device="cuda")
        assert (a @ a).dtype == torch.float16
    assert (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")) == before


def test_training_without_the_code_of_the_device_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent_device, "has_no_code", lambda device: device == "cuda")
    with pytest.raises(AxisError, match="training on 'cuda' cannot be predicted"), kept_casts("cuda", [], trains=True):
        pass
    with kept_casts("cpu", [], trains=True):
        pass


@pytest.mark.parametrize(("keys", "values"), [(32, 64), (64, 64), (320, 320)])
def test_attention_in_half_precision_has_the_width_of_its_values(keys: int, values: int) -> None:
    """The flash kernel takes keys and values of one width, 256 at most; another kernel takes the rest."""
    with FakeTensorMode(), FusedAttention(), by_operators("cuda"):
        query, key = (torch.empty(1, 2, 8, keys, device="cuda", dtype=torch.float16) for _ in range(2))
        value = torch.empty(1, 2, 8, values, device="cuda", dtype=torch.float16)
        assert F.scaled_dot_product_attention(query, key, value).shape == (1, 2, 8, values)
