"""The room that oneDNN sets aside for the sums in fp32 of a bf16 convolution of one place.

Each thread has room for its share of the result. oneDNN gives threads either other places of the result or, in groups,
other channels of it; who has a share of the places has room for all of them none the less. The choice and its numbers
are read from cpu/x64/jit_avx512_core_bf16_1x1_conv_kernel.cpp (`init_conf`, `init_scratchpad`): processors that
multiply bf16 by AVX-512, channels in blocks, all of one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

BLOCK = 16  # channels
FLOAT_BYTES, ALIGNMENT = 4, 128
FEW_LINES = 14  # rows of the result, over all its frames; fewer are not looked at but as places
MOST_THREADS_WEIGHED = 28  # more are divided without looking at costs
CALCULATION, SHARED_TRAFFIC = 0.01, 1.3  # costs beside reading a number once where no other thread reads it
SMALL_INPUT = 4096  # numbers
WEIGHTS_IN_CACHE = 2**19  # bf16 numbers in a core's second cache; oneDNN asks the processor, 1 MiB is that of EPYC


@dataclass(frozen=True)
class Pointwise:
    """One convolution; channels are whole blocks, `extents` are those of the result in space and time."""

    inputs: int
    outputs: int
    clips: int
    extents: tuple[int, ...]
    threads: int

    @property
    def sums_bytes(self) -> int:
        """For all threads together, aligned."""
        threads = self._working_threads
        shares = _divided(threads, _divided(threads, self._groups))
        channels = _divided(_divided(self.outputs, shares), BLOCK) * BLOCK
        return threads * self._parts * self._at_once * channels * FLOAT_BYTES + ALIGNMENT

    @property
    def _working_threads(self) -> int:
        """As many as there are, but for a small input that has fewer parts."""
        blocks, numbers = self.outputs // BLOCK, self.clips * self._places * self.inputs
        if numbers < SMALL_INPUT and self._parts * blocks < self.threads:
            return max(self._parts, blocks)
        return self.threads

    @property
    def _places(self) -> int:
        return prod(self.extents)

    @property
    def _parts(self) -> int:
        return _divided(self._places, self._at_once)

    @property
    def _spreads_inputs(self) -> bool:
        """An input is spread over a register before it is multiplied."""
        return 8 * self.clips >= self.threads

    @cached_property
    def _at_once(self) -> int:
        """Places that are in registers together: most that divide the lines, else those with the largest remainder."""
        lines = prod(self.extents[:-1])
        most, least = (9, 6) if self._spreads_inputs else (30, 9)
        if self._spreads_inputs and 128 < self.outputs < 256 and 10 < lines < 28:
            most, least = 6, 5
        choices = range(most, least - 1, -1)
        for divided in (lines if lines >= FEW_LINES else self._places, self._places):
            dividing = [size for size in choices if divided % size == 0]
            if dividing:
                return dividing[0]
        return min(self._places, max(choices, key=lambda size: self._places % size))

    @cached_property
    def _groups(self) -> int:
        """Into how many groups the threads go, each with channels of its own."""
        if self._spreads_inputs and self._places <= 64 and self.inputs * self.outputs >= WEIGHTS_IN_CACHE:
            return max(self._cheapest, 4)
        widens = self.outputs > 512 and self.outputs >= 4 * self.inputs
        if widens and self._places <= 49 and self.clips <= self.threads:
            return max(self._cheapest, 2)
        return self._cheapest

    @property
    def _cheapest(self) -> int:
        """The number of groups whose busiest thread has least to do, or that leaves fewest threads idle."""
        if self.clips < self.threads <= MOST_THREADS_WEIGHED and self.outputs // BLOCK * self._parts > self.threads:
            choices = range(1, self.threads + 1)
            return min(reversed(choices) if self.outputs > self.clips * self._places else choices, key=self._cost)
        fewest = min(self.threads, _divided(self.threads, self.clips * self._parts))
        return min(range(fewest, min(self.threads, 2 * fewest) + 1), key=self._idle)

    def _idle(self, count: int) -> float:
        """The share of threads that groups of `count` would lack."""
        lacking = -self.threads % count
        return lacking / (self.threads + lacking)

    def _cost(self, groups: int) -> float:
        """Of the busiest thread: its products and what it reads, for each channel of the input."""
        blocks, threads = self.outputs // BLOCK, self.threads
        traffic = 1.0 if _divided(threads, groups) == 1 else SHARED_TRAFFIC

        def cost(own_blocks: int, sharing: int) -> float:
            places, channels = self.clips * _divided(self._parts, sharing) * self._at_once, own_blocks * BLOCK
            return CALCULATION * places * channels + traffic * (places + channels)

        if threads % groups < blocks % groups:
            return cost(_divided(blocks, groups), threads // groups)
        return max(cost(_divided(blocks, groups), _divided(threads, groups)), cost(blocks // groups, threads // groups))


def _divided(whole: int, part: int) -> int:
    """Divided, rounded up."""
    return -(-whole // part)
