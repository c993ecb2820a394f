"""Work in parts: the same result, cut on a CPU alone, or where fake tensors stand for its own."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vbench_models.layers import cache
from vbench_models.layers.cache import in_parts, rows_at_once

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_cache_of_100_values_for_each_of_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHED_VALUES", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.parametrize(("rows", "values", "expected"), [(50, 10, 20), (50, 4, 50), (50, 7, 28), (50, 1000, 1)])
def test_as_many_rows_as_the_caches_of_all_threads_hold_and_at_least_one(rows: int, values: int, expected: int) -> None:
    assert rows_at_once(CPU, rows, values) == expected


@pytest.mark.parametrize("device", ["cuda", "meta"])
def test_nothing_is_cut_on_other_devices(device: str) -> None:
    assert rows_at_once(torch.device(device), 50, 1000) == 50


def test_a_prediction_is_cut_as_the_work_that_it_predicts() -> None:
    with FakeTensorMode():
        assert rows_at_once(CPU, 50, 1000) == 1


def test_nothing_is_cut_where_a_graph_is_traced() -> None:
    @torch.compile(backend="eager", fullgraph=True)
    def plus_rows(x: Tensor) -> Tensor:
        return x + rows_at_once(x.device, 50, 1000)

    assert plus_rows(torch.zeros(())) == 50
    assert rows_at_once(CPU, 50, 1000) == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6])
def test_parts_are_taken_in_turn_and_put_together_again(rows: int) -> None:
    x, y = torch.arange(30.0).reshape(2, 5, 3), torch.arange(10.0).reshape(2, 5)
    sizes = []

    def of_part(x: Tensor, y: Tensor) -> Tensor:
        sizes.append(x.shape[1])
        return x.sum(-1) * y

    out = in_parts(of_part, rows, x, y, dim=1)
    assert torch.equal(out, torch.tensor([[(3 * i * 3 + 3) * i for i in range(start, start + 5)] for start in (0, 5)]))
    assert sizes == [rows] * (5 // rows) + [5 % rows] * (5 % rows > 0)
