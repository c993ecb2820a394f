"""Two networks, one set of numbers: seeded noise for every tensor, and one measure of how far two outputs are apart."""

import math

import torch
from torch import Tensor, nn


def fill_with_noise(module: nn.Module, seed: int) -> None:
    """Overwrite every parameter and every stored floating-point buffer of `module`, in place, with seeded noise.

    Noise rather than the initial values: a bias that is zero or a scale that is one hides that it is not used.
    Kernels and matrices keep the variance of what they are given, scales and variances stay near one and positive,
    and everything else (biases, tokens, tables) is wide enough to show. Integer buffers are structure, and stay.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(_noise(name, tensor, generator))


def relative_difference(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||, in double precision; the shapes must be the same, nothing is broadcast."""
    assert a.shape == b.shape, f"{tuple(a.shape)} against {tuple(b.shape)}"
    a, b = a.double(), b.double()
    return float((a - b).norm() / b.norm())


def _noise(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    unit = torch.randn(tensor.shape, generator=generator)
    if name.endswith("running_var"):
        return 1 + 0.2 * unit.abs()
    if name.endswith("weight"):
        return 1 + 0.1 * unit if tensor.ndim < 2 else unit / math.sqrt(tensor[0].numel())
    return 0.1 * unit
