"""A machine's own ceilings: how fast it multiplies matrices in each precision, and how fast it copies memory.

What a network reaches is set against these. Square products of several sizes, each several times, and the best of all:
a ceiling is what the machine can do, not what it does on average. A copy reads and writes arrays that no cache holds.
Sizes go up while a product of the next one promises to take no longer than `LONGEST_S`: a processor without
instructions for 16-bit numbers multiplies them much more slowly, and its small products tell enough. All of it is done
in several rounds with a pause between them: a process that happens to end while the first is under way would halve a
ceiling, or stop at its smallest product.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from vbench.measure.latency import CLOCKS
from vbench.measure.precision import set_float32_products
from vbench.measure.protocol import Ceilings

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRODUCTS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}
SIDES = {"cpu": (256, 512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}  # rows and columns
COPIED_BYTES = {"cpu": 2**27, "cuda": 2**30}
REPEATS, LEAST_S, LONGEST_S = 3, 0.05, 0.15  # of one size: so often, and for so long at least; one call at most
ROUNDS, PAUSE_S = 3, 0.5


def ceilings_here(
    device: str = "cpu", *, sides: Sequence[int] | None = None, copied_bytes: int | None = None
) -> Ceilings:
    """Measure a device, cpu or cuda, with the threads that this process has."""
    rounds = []
    for number in range(ROUNDS):
        time.sleep(PAUSE_S if number else 0.0)
        rounds.append(_round(device, sides or SIDES[device], copied_bytes or COPIED_BYTES[device]))
    products, copies = zip(*rounds, strict=True)
    return Ceilings(
        matmul_flops_per_second={name: max(found[name] for found in products) for name in PRODUCTS[device]},
        copy_bytes_per_second=max(copies),
    )


def _round(device: str, sides: Sequence[int], copied_bytes: int) -> tuple[dict[str, float], float]:
    with torch.inference_mode():
        copy = copy_bytes_per_second(device, copied_bytes)
        return {name: matmul_flops_per_second(name, device, sides) for name in PRODUCTS[device]}, copy


def matmul_flops_per_second(precision: str, device: str, sides: Sequence[int]) -> float:
    """The best rate of square products with these sides, smallest first, in FLOP/s."""
    set_float32_products(precision)
    best = 0.0
    for side in sides:
        flops = 2 * side**3
        if best and flops / best > LONGEST_S:
            break
        best = max(best, flops / _best_s(_product(side, DTYPES[precision], device), device))
    return best


def copy_bytes_per_second(device: str, size: int) -> float:
    """The best rate at which `size` bytes are read and as many written, in bytes/s."""
    source = torch.ones(size // 4, device=device)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / _best_s(lambda: target.copy_(source), device)


def _product(side: int, dtype: torch.dtype, device: str) -> Callable[[], object]:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    c = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=c)


def _best_s(run: Callable[[], object], device: str) -> float:
    """Seconds of the quickest call, the first left out: threads start, kernels are chosen, pages are touched."""
    clock = CLOCKS[device]
    clock(run, 1)
    samples_s: list[float] = []
    while len(samples_s) < REPEATS or sum(samples_s) < LEAST_S:
        samples_s.append(clock(run, 1))
    return min(samples_s)
