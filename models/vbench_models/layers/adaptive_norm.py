"""The block with adaptive norms (adaLN-Zero): a vector decides each norm's scale and shift, and each update's gate.

Peebles & Xie, "Scalable Diffusion Models with Transformers" (DiT), ICCV 2023, sec. 3.2,
https://arxiv.org/abs/2212.09748. The norms have no parameters of their own; SiLU and one linear layer a block make six
vectors of the condition. That layer begins at zero, so that every block begins as the identity. Differs from DiT: what
the condition is made of is the caller's.
"""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.mlp import MLP


class Modulation(nn.Module):
    """`parts` vectors for each clip from its condition, with axes for the tokens' grid; all zero at the beginning."""

    def __init__(self, embed_dim: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(embed_dim, parts * embed_dim)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, condition: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b 1 1 1 c"], ...]:
        """Shifts, scales and gates, in the order in which the caller names them."""
        vectors: Tensor = self.linear(F.silu(condition))
        return rearrange(vectors, "b (parts c) -> parts b 1 1 1 c", parts=self.parts).unbind()


class AdaptiveNormBlock(nn.Module):
    """x + gate attention(modulated(norm(x))), then x + gate mlp(modulated(norm(x))), on a grid of tokens."""

    def __init__(self, embed_dim: int, attention: nn.Module, mlp: MLP, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.modulation = Modulation(embed_dim, 6)
        self.attention_norm = nn.LayerNorm(embed_dim, eps=norm_eps, elementwise_affine=False)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps, elementwise_affine=False)
        self.mlp = mlp

    def forward(self, x: Float[Tensor, "b t h w c"], condition: Float[Tensor, "b c"]) -> Float[Tensor, "b t h w c"]:
        """The residual stream after the block; each clip under its own condition."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(condition)
        x = x + gate * self.attention(modulated(self.attention_norm(x), shift, scale))
        out: Tensor = x + mlp_gate * self.mlp(modulated(self.mlp_norm(x), mlp_shift, mlp_scale))
        return out


def modulated(
    x: Float[Tensor, "b t h w c"], shift: Float[Tensor, "b 1 1 1 c"], scale: Float[Tensor, "b 1 1 1 c"]
) -> Float[Tensor, "b t h w c"]:
    """Normalised tokens, scaled and shifted clip by clip; a scale of 0 leaves them as they are."""
    return x * (1 + scale) + shift
