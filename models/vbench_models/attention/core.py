"""A pattern's bare attention on given q, k, v: what remains of it when every projection is taken away."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import split_heads
from vbench_models.video import TokenGrid


class CoreOnly(nn.Module):
    """The attention of `pattern` alone, fed as its projection would feed it.

    `pattern` loses its linear layers and its norms, so that only what the attention itself needs is left to count:
    a table of relative positions, say. Its `forward` is gone with them, its `core` is not.
    """

    def __init__(self, pattern: nn.Module, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pattern: Any = without_projections(pattern)

    def forward(self, qkv: Float[Tensor, "b t h w qkv"]) -> Float[Tensor, "b heads t h w d"]:
        """The attention's output for `qkv`, one tensor whose channels are laid out (three heads d)."""
        out: Tensor = self.pattern.core(*split_heads(qkv, self.num_heads))
        return out


def build(pattern_builder: Callable[..., nn.Module], grid: TokenGrid, dim: int, num_heads: int) -> CoreOnly:
    """The core of the pattern that `pattern_builder(grid, dim, num_heads)` builds.

    Raises:
        ModelError: the pattern does not take this grid, width or number of heads.
    """
    return CoreOnly(pattern_builder(grid, dim, num_heads), num_heads)


def without_projections(pattern: nn.Module) -> nn.Module:
    """`pattern` itself, with every linear layer and layer norm inside it taken out."""
    for module in list(pattern.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear | nn.LayerNorm):
                delattr(module, name)
    return pattern
