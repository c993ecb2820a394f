"""Models that remember, over a long video: what each clip costs on paper, and how much is kept between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vbench.measure.catalog_counts import default_cell
from vbench.measure.count import tally_call
from vbench.measure.subject import build_network, input_shape
from vbench_models.architectures.stm import joined
from vbench_models.layers.stream import state_bytes

CLIPS = 16


def stream_costs(name: str, clips: int = CLIPS) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """MACs of each clip of a stream, and the bytes remembered after it, in fp32; counted on the meta device."""
    macs, remembered = zip(*_costs(name, clips), strict=True)
    return macs, remembered


def _costs(name: str, clips: int) -> Iterator[tuple[int, int]]:
    cell = default_cell(name)
    network, clip = build_network(cell, torch.device("meta")), torch.empty(input_shape(cell), device="meta")
    step, memory = (_frame_of_stm, None) if name.startswith("stm") else (_clip_of_stream, network.empty_memory())  # type: ignore[operator]
    for _ in range(clips):
        counted, memory = tally_call(network, step(network), clip, memory)
        yield counted.macs, state_bytes(memory)


def _clip_of_stream(network: nn.Module) -> Callable[[Tensor, Any], Any]:
    """One clip through a network that takes its memory and returns the next."""
    return lambda clip, memory: network(clip, memory).memory


def _frame_of_stm(network: nn.Module) -> Callable[[Tensor, Any], Any]:
    """One frame of STM: the frame before it is memorised with its mask, then the frame is segmented."""

    def step(clip: Tensor, memory: Any) -> Any:
        frame = clip[:, :, 0]
        mask = frame[:, :1]
        before = network.memorise(frame, mask)  # type: ignore[operator]
        memory = before if memory is None else joined((memory, before))
        network.segment(frame, memory)  # type: ignore[operator]
        return memory

    return step
